import {
  estimateTokens,
  isRecord,
  type JsonRecord,
  textOrNull,
  UsageAccumulator,
  type UsageReading,
} from "./usage.ts";

/** `id`, `type` and `model` stand before the content, within the first few hundred characters. */
const headChars = 2048;

const decoder = new TextDecoder();

function firstMatch(text: string, pattern: RegExp): string | null {
  return textOrNull(pattern.exec(text)?.[1]);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The last `usage` object that is whole in a body that is not. */
function lastWholeUsage(text: string): unknown {
  const start = text.lastIndexOf('"usage":');
  if (start < 0) return null;
  const open = text.indexOf("{", start);
  // Usage holds no free text, so the matching brace is one of the next few.
  for (let close = text.indexOf("}", open); close > 0; close = text.indexOf("}", close + 1)) {
    const usage = parse(text.slice(open, close + 1));
    if (usage !== undefined) return usage;
    if (close - open > headChars * 8) return null;
  }
  return null;
}

/** What a body that was cut short still tells: id, model, perhaps usage, else an estimate. */
function readCutMessage(text: string): UsageReading {
  const usage = new UsageAccumulator();
  const head = text.slice(0, headChars);
  const { reading } = usage;
  reading.messageId = firstMatch(head, /"id"\s*:\s*"(msg_[^"\\]*)"/);
  reading.model = firstMatch(head, /"model"\s*:\s*"([^"\\]*)"/);
  if (!usage.add(lastWholeUsage(text)) && reading.messageId !== null) {
    const content = text.indexOf('"content"');
    const received = content < 0 ? 0 : text.length - content;
    reading.tokens.outputTokens = Math.max(reading.tokens.outputTokens, estimateTokens(received));
    reading.estimated = true;
  }
  reading.end = "truncated";
  return usage.finish();
}

function readWholeMessage(body: JsonRecord): UsageReading {
  const usage = new UsageAccumulator();
  const { reading } = usage;
  if (body.type === "error" || isRecord(body.error)) {
    reading.end = "error";
    reading.errorType = isRecord(body.error) ? textOrNull(body.error.type) : null;
    return reading;
  }
  reading.end = "complete";
  reading.messageId = textOrNull(body.id);
  reading.model = textOrNull(body.model);
  reading.stopReason = textOrNull(body.stop_reason);
  usage.add(body.usage);
  return usage.finish();
}

/**
 * Reads usage from the body of an answer that was not streamed.
 * A whole message gives the same reading as its stream. An error body gives `end: "error"`, any
 * other body without usage `end: "complete"` and `hasUsage: false`; a JSON body that breaks off
 * gives `end: "truncated"` with what can be known. Never throws.
 */
export function readMessageJson(body: string | Uint8Array): UsageReading {
  const text = typeof body === "string" ? body : decoder.decode(body);
  const value = parse(text);
  if (isRecord(value)) return readWholeMessage(value);
  if (value === undefined && text.trimStart().startsWith("{")) return readCutMessage(text);
  return readWholeMessage({});
}
