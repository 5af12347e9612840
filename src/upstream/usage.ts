/**
 * What one answer of the Messages API says it used, and how that is read out of its JSON.
 * Every field is judged alone: a negative, huge, fractional or non-numeric value is dropped and the
 * value known before stays. Nothing here throws.
 */

/** Token counts of one message or of one sampling iteration. Non-negative integers. */
export interface TokenCounts {
  /** Prompt tokens that neither came from nor went to the cache. */
  inputTokens: number;
  outputTokens: number;
  cacheWrite5mTokens: number;
  cacheWrite1hTokens: number;
  cacheReadTokens: number;
}

/** One entry of `usage.iterations`: a sampling step, perhaps of another model than the message's. */
export interface IterationUsage extends TokenCounts {
  /** `message`, `compaction`, `advisor_message`, `fallback_message`, or what upstream adds next. */
  type: string | null;
  /** Null means: the model of the message. */
  model: string | null;
}

export interface UsageReading {
  messageId: string | null;
  /** The model that answered, as upstream wrote it, cut to 200 characters. */
  model: string | null;
  /** The top-level usage. With iterations it is not the whole bill; see `cost.ts`. */
  tokens: TokenCounts;
  webSearchRequests: number;
  webFetchRequests: number;
  serviceTier: string | null;
  speed: string | null;
  inferenceGeo: string | null;
  iterations: IterationUsage[];
  stopReason: string | null;
  end: "complete" | "error" | "truncated";
  /** `error.type` of the error that the answer is, or that broke the stream. */
  errorType: string | null;
  /** The output tokens are an estimate, since upstream's final count never arrived. */
  estimated: boolean;
  /** At least one count came from upstream. */
  hasUsage: boolean;
}

/** No request comes near this; anything above is a fault, not a count. */
const maxCount = 1e12;
const maxTextChars = 200;
/** A tool loop has some tens of iterations; more than this would only be stored for nothing. */
const maxIterations = 256;
/** Estimate used by Anthropic's own gateway for what a client got before it left. */
const charsPerToken = 4;

export type JsonRecord = Record<string, unknown>;

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A count as upstream gave it, or null where it is not a non-negative integer up to 1e12. */
export function countOrNull(value: unknown): number | null {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= maxCount
    ? value + 0 // turns -0 into 0
    : null;
}

/** A non-empty string cut to 200 characters, or null. */
export function textOrNull(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value.slice(0, maxTextChars) : null;
}

/** Output tokens that so many streamed characters stand for, rounded up. */
export function estimateTokens(characters: number): number {
  return Math.ceil(characters / charsPerToken);
}

export function noTokens(): TokenCounts {
  return {
    inputTokens: 0,
    outputTokens: 0,
    cacheWrite5mTokens: 0,
    cacheWrite1hTokens: 0,
    cacheReadTokens: 0,
  };
}

export function emptyReading(): UsageReading {
  return {
    messageId: null,
    model: null,
    tokens: noTokens(),
    webSearchRequests: 0,
    webFetchRequests: 0,
    serviceTier: null,
    speed: null,
    inferenceGeo: null,
    iterations: [],
    stopReason: null,
    end: "truncated",
    errorType: null,
    estimated: false,
    hasUsage: false,
  };
}

/**
 * Sets the cache writes to `total`, shared between the two lifetimes as `write5m : write1h`.
 * The hour's part is rounded down and the rest counts as five minutes, the cheaper of the two;
 * with no split known, all of it does.
 */
function splitWrites(counts: TokenCounts, total: number, write5m: number, write1h: number): void {
  const known = write5m + write1h;
  // BigInt, because the product of two counts can pass 2^53.
  const hour = known === 0 ? 0 : Number((BigInt(total) * BigInt(write1h)) / BigInt(known));
  counts.cacheWrite1hTokens = hour;
  counts.cacheWrite5mTokens = total - hour;
}

/** What one usage object told about cache writes and output. */
interface CountsSeen {
  any: boolean;
  output: boolean;
  split: boolean;
}

/**
 * Merges the counts of one usage object: the last valid value of each field wins.
 * The 5m/1h split stands only in `message_start` and in `iterations[].cache_creation`. A later
 * total that differs from the split's sum is shared in the split's proportion.
 */
function mergeCounts(counts: TokenCounts, usage: JsonRecord): CountsSeen {
  const input = countOrNull(usage.input_tokens);
  const output = countOrNull(usage.output_tokens);
  const read = countOrNull(usage.cache_read_input_tokens);
  const total = countOrNull(usage.cache_creation_input_tokens);
  if (input !== null) counts.inputTokens = input;
  if (output !== null) counts.outputTokens = output;
  if (read !== null) counts.cacheReadTokens = read;

  const creation = isRecord(usage.cache_creation) ? usage.cache_creation : {};
  const write5m = countOrNull(creation.ephemeral_5m_input_tokens);
  const write1h = countOrNull(creation.ephemeral_1h_input_tokens);
  const split = write5m !== null || write1h !== null;
  const part5m = split ? (write5m ?? 0) : counts.cacheWrite5mTokens;
  const part1h = split ? (write1h ?? 0) : counts.cacheWrite1hTokens;
  if (split || total !== null) splitWrites(counts, total ?? part5m + part1h, part5m, part1h);

  const any = input !== null || output !== null || read !== null || total !== null || split;
  return { any, output: output !== null, split: split && part5m + part1h > 0 };
}

function readIterations(list: unknown[]): IterationUsage[] {
  const iterations: IterationUsage[] = [];
  for (const entry of list.slice(0, maxIterations)) {
    if (!isRecord(entry)) continue;
    const iteration = {
      ...noTokens(),
      type: textOrNull(entry.type),
      model: textOrNull(entry.model),
    };
    mergeCounts(iteration, entry);
    iterations.push(iteration);
  }
  return iterations;
}

/** Gathers the usage objects of one message in the order in which they arrive. */
export class UsageAccumulator {
  readonly reading: UsageReading = emptyReading();
  #splitKnown = false;

  /** Merges one `usage` value; says whether it held a valid `output_tokens`. */
  add(usage: unknown): boolean {
    if (!isRecord(usage)) return false;
    const reading = this.reading;
    const seen = mergeCounts(reading.tokens, usage);
    if (seen.any) reading.hasUsage = true;
    if (seen.split) this.#splitKnown = true;
    if (isRecord(usage.server_tool_use)) {
      const tools = usage.server_tool_use;
      reading.webSearchRequests =
        countOrNull(tools.web_search_requests) ?? reading.webSearchRequests;
      reading.webFetchRequests = countOrNull(tools.web_fetch_requests) ?? reading.webFetchRequests;
    }
    reading.serviceTier = textOrNull(usage.service_tier) ?? reading.serviceTier;
    reading.speed = textOrNull(usage.speed) ?? reading.speed;
    reading.inferenceGeo = textOrNull(usage.inference_geo) ?? reading.inferenceGeo;
    if (Array.isArray(usage.iterations)) reading.iterations = readIterations(usage.iterations);
    return seen.output;
  }

  /** Settles what only the whole message can tell, and returns the reading. */
  finish(): UsageReading {
    const { tokens, iterations } = this.reading;
    const total = tokens.cacheWrite5mTokens + tokens.cacheWrite1hTokens;
    if (!this.#splitKnown && total > 0) {
      let write5m = 0;
      let write1h = 0;
      for (const iteration of iterations) {
        write5m += iteration.cacheWrite5mTokens;
        write1h += iteration.cacheWrite1hTokens;
      }
      splitWrites(tokens, total, write5m, write1h);
    }
    // A stream's message_start names the model that was asked; the entry of the fallback that
    // served the answer names the one that gave it (SDK: BetaFallbackMessageIterationUsage).
    const fallback = iterations.findLast((entry) => entry.type === "fallback_message");
    this.reading.model = fallback?.model ?? this.reading.model;
    return this.reading;
  }
}
