import { canonicalModel } from "./model-names.ts";
import { LISTED_PRICES, type Prices } from "./price-list.ts";
import { type PriceRow, priceIdOf, type Ratio } from "./prices.ts";
import { type IterationUsage, noTokens, type TokenCounts, type UsageReading } from "./usage.ts";

/** $10 per 1000 searches. Web fetches have no fee of their own. */
const nanoDollarsPerWebSearch = 10_000_000;
const nanoDollarsPerUsd = 1_000_000_000;
const batchDiscount: Ratio = { numerator: 1, denominator: 2 };
/** For a model that reports fast mode but has no listed price for it: what most models charge. */
const unlistedFast: Ratio = { numerator: 2, denominator: 1 };

export interface CostLine {
  /** The iteration's type, `message` for the top-level usage, or `web_search`. */
  kind: string;
  model: string;
  priceId: string;
  nanoDollars: number;
}

export interface Cost {
  /** Sum of the lines, a safe integer. 1e9 nano-dollars are one dollar. */
  nanoDollars: number;
  /** False if any line was priced by a stand-in: an unlisted model, or an unlisted fast price. */
  priceKnown: boolean;
  /** The price row of the message's model with its date; stored, so that nothing is re-priced. */
  priceId: string;
  lines: CostLine[];
  /** What was billed, over all lines: more than the top-level usage where iterations are given. */
  tokens: TokenCounts;
}

interface BillingItem {
  kind: string;
  model: string;
  tokens: TokenCounts;
}

function clampToSafe(amount: bigint): number {
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(amount > most ? most : amount);
}

function promptTokens(tokens: TokenCounts): number {
  const { inputTokens, cacheReadTokens, cacheWrite5mTokens, cacheWrite1hTokens } = tokens;
  return inputTokens + cacheReadTokens + cacheWrite5mTokens + cacheWrite1hTokens;
}

/** Whether `parts` sum up to at least `whole` in every category. */
function covers(parts: readonly TokenCounts[], whole: TokenCounts): boolean {
  const sum = (of: (tokens: TokenCounts) => number) => parts.reduce((all, t) => all + of(t), 0);
  const writes = (t: TokenCounts) => t.cacheWrite5mTokens + t.cacheWrite1hTokens;
  return (
    sum((t) => t.inputTokens) >= whole.inputTokens &&
    sum((t) => t.outputTokens) >= whole.outputTokens &&
    sum((t) => t.cacheReadTokens) >= whole.cacheReadTokens &&
    sum(writes) >= writes(whole)
  );
}

/**
 * What is billed, by Anthropic's pages on compaction, the advisor tool, and refusals and fallback:
 * `usage.iterations` is the record of the bill where it is given. Each entry costs its own model's
 * price (without one: the message's). The top-level usage leaves out compaction, advisors and
 * attempts of other models, and of a tool loop's prompts it holds only the first.
 *
 * So the entries are the lines, with two cautions. An attempt of another model that declined
 * before any output is not charged. And if the message's own entries fall short of the top-level
 * usage (a cut list, an estimate), the top-level usage takes their place.
 */
function billingItems(reading: UsageReading, model: string): BillingItem[] {
  const canonical = canonicalModel(model);
  const isOwn = (entry: IterationUsage) =>
    entry.type !== "compaction" &&
    entry.type !== "advisor_message" &&
    (entry.model === null || canonicalModel(entry.model) === canonical);
  const whole: BillingItem = { kind: "message", model, tokens: reading.tokens };
  const wholeReplacesOwn = !covers(reading.iterations.filter(isOwn), reading.tokens);

  const items = wholeReplacesOwn || reading.iterations.length === 0 ? [whole] : [];
  for (const entry of reading.iterations) {
    const own = isOwn(entry);
    if (own && wholeReplacesOwn) continue;
    if (!own && entry.type === "message" && entry.outputTokens === 0) continue;
    items.push({ kind: entry.type ?? "message", model: entry.model ?? model, tokens: entry });
  }
  return items;
}

/** The multipliers that stack on a row's prices, and whether each of them is listed. */
function ratiosFor(reading: UsageReading, row: PriceRow, ownModel: boolean) {
  const ratios: Ratio[] = [];
  let listed = true;
  // The speed is the message's; nothing says that an advisor ran fast too.
  if (reading.speed === "fast" && ownModel) {
    ratios.push(row.fast ?? unlistedFast);
    listed = row.fast !== undefined;
  }
  if (reading.inferenceGeo === "us" && row.geoUs !== undefined) ratios.push(row.geoUs);
  if (reading.serviceTier === "batch") ratios.push(batchDiscount);
  return { ratios, listed };
}

/** The line's amount, rounded half up once, after all its multipliers. */
function amountOf(tokens: TokenCounts, row: PriceRow, ratios: readonly Ratio[]): bigint {
  const { longPrompt } = row;
  const isLong = longPrompt !== undefined && promptTokens(tokens) > longPrompt.thresholdTokens;
  const price = isLong ? longPrompt : row;
  let amount =
    BigInt(tokens.inputTokens) * BigInt(price.input) +
    BigInt(tokens.outputTokens) * BigInt(price.output) +
    BigInt(tokens.cacheWrite5mTokens) * BigInt(price.write5m) +
    BigInt(tokens.cacheWrite1hTokens) * BigInt(price.write1h) +
    BigInt(tokens.cacheReadTokens) * BigInt(price.read);
  let denominator = 1n;
  for (const ratio of ratios) {
    amount *= BigInt(ratio.numerator);
    denominator *= BigInt(ratio.denominator);
  }
  return (2n * amount + denominator) / (2n * denominator);
}

/**
 * The price of one answer, in integer nano-dollars, at a time in epoch milliseconds.
 * The model that answered decides; `requestedModel` stands in where the answer names none.
 * The arithmetic is exact, and the total stops at `Number.MAX_SAFE_INTEGER` (some $9 million).
 * A prompt over a row's threshold puts its whole line, output too, at the long-prompt prices.
 */
export function costOf(
  reading: UsageReading,
  requestedModel: string,
  atMs: number,
  prices: Prices = LISTED_PRICES,
): Cost {
  const model = reading.model ?? requestedModel;
  const own = prices.find(model, atMs).row;
  const lines: CostLine[] = [];
  let total = 0n;
  let priceKnown = true;
  const addLine = (kind: string, lineModel: string, row: PriceRow, amount: bigint) => {
    total += amount;
    const nanoDollars = clampToSafe(amount);
    lines.push({ kind, model: lineModel, priceId: priceIdOf(row), nanoDollars });
  };
  const tokens = noTokens();
  for (const item of billingItems(reading, model)) {
    for (const kind of Object.keys(tokens) as (keyof TokenCounts)[]) {
      tokens[kind] += item.tokens[kind];
    }
    const { row, known } = prices.find(item.model, atMs);
    const { ratios, listed } = ratiosFor(reading, row, row === own);
    if (!known || !listed) priceKnown = false;
    addLine(item.kind, item.model, row, amountOf(item.tokens, row, ratios));
  }
  if (reading.webSearchRequests > 0) {
    const searches = BigInt(reading.webSearchRequests);
    addLine("web_search", model, own, searches * BigInt(nanoDollarsPerWebSearch));
  }
  return { nanoDollars: clampToSafe(total), priceKnown, priceId: priceIdOf(own), lines, tokens };
}

/** Dollars for JSON output. The nano-dollar amount stays the one that is stored and summed. */
export function nanoDollarsToUsd(nanoDollars: number): number {
  return nanoDollars / nanoDollarsPerUsd;
}
