import {
  estimateTokens,
  isRecord,
  type JsonRecord,
  textOrNull,
  UsageAccumulator,
  type UsageReading,
} from "./usage.ts";

/** A longer event is skipped: nothing that usage is read from comes near it. */
const maxEventChars = 1024 * 1024;
/** UTF-8 needs at most 3 bytes for a UTF-16 unit, so a longer line is surely over the limit. */
const maxLineBytes = maxEventChars * 3;
const firstTailBytes = 4096;
/** A tail buffer above this is given back once its line is read. */
const maxIdleTailBytes = 64 * 1024;

const lineFeed = 10;
const carriageReturn = 13;
const letterU = 117;
const noBackslash = Number.MAX_SAFE_INTEGER;

/** A delta that streams output, up to its text. Signatures and citations are not output tokens. */
const deltaShape =
  '\\{"type":"content_block_delta","index":\\d+,"delta":\\{"type":' +
  '"(?:text_delta","text|input_json_delta","partial_json|thinking_delta","thinking)":"';
const deltaHead = new RegExp(deltaShape, "y");
const deltaLines = new RegExp(`(?:event: content_block_delta\n)?data: ${deltaShape}`, "y");

/** Index behind the match of a sticky pattern at `at`, or -1. */
function matchAt(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : -1;
}

/** Length in UTF-16 units of the JSON string that starts at `at`, or -1 if it ends after `end`. */
function jsonStringLength(text: string, at: number, end: number, firstBackslash: number): number {
  let quote = text.indexOf('"', at);
  let backslash = firstBackslash;
  let escaped = 0;
  while (backslash >= 0 && backslash < quote) {
    // \uXXXX is six characters for one, every other escape two.
    const size = text.charCodeAt(backslash + 1) === letterU ? 6 : 2;
    escaped += size - 1;
    const next = backslash + size;
    if (quote < next) quote = text.indexOf('"', next);
    backslash = text.indexOf("\\", next);
  }
  return quote < 0 || quote >= end ? -1 : quote - at - escaped;
}

/** The streamed characters of a parsed delta of any shape. */
function countParsedDelta(event: JsonRecord): number {
  if (!isRecord(event.delta)) return 0;
  const { type, text, thinking, partial_json: json } = event.delta;
  if (type === "text_delta" && typeof text === "string") return text.length;
  if (type === "thinking_delta" && typeof thinking === "string") return thinking.length;
  if (type === "input_json_delta" && typeof json === "string") return json.length;
  return 0;
}

/**
 * Reads usage from the event stream of the Messages API as its bytes go by. Push any chunking of
 * the body, then call `finish` once. It never throws, buffers at most one unfinished line, and
 * parses as JSON only the few events that carry usage.
 *
 * The 5m/1h split of cache writes comes from `message_start`; the last non-null value of all else
 * wins, since `message_delta` is cumulative (SDK: BetaMessageDeltaUsage). If the stream ends
 * without a final `output_tokens`, they are estimated from what was streamed.
 */
export class MessageStreamReader {
  readonly #usage = new UsageAccumulator();
  // Bytes are decoded by whole lines, so a character is never split; the BOM is handled below.
  readonly #decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

  #tail = new Uint8Array(firstTailBytes);
  #tailBytes = 0;
  #skippingLine = false;
  #endedWithCr = false;
  #atStart = true;

  #data: string | null = null;
  #eventName = "";
  #oversized = false;

  #started = false;
  #characters = 0;
  /** Characters streamed when the last count of output tokens came, or -1. */
  #charactersAtCount = -1;
  #sawStop = false;
  #sawError = false;
  #end: UsageReading["end"] | null = null;

  /** Known from `message_start` on. */
  get messageId(): string | null {
    return this.#usage.reading.messageId;
  }

  /** `message_stop` was read. */
  get sawStop(): boolean {
    return this.#sawStop;
  }

  /** An error event was read. */
  get sawError(): boolean {
    return this.#sawError;
  }

  /** The message is whole: `message_stop` came, and no error before it. */
  get endsCleanly(): boolean {
    return this.#end === "complete";
  }

  push(chunk: Uint8Array): void {
    let start = 0;
    if (this.#skippingLine) {
      start = this.#afterSkippedLine(chunk);
      if (start < 0) return;
    }
    let end = chunk.lastIndexOf(lineFeed);
    if (end < start) end = chunk.lastIndexOf(carriageReturn);
    if (end < start) {
      this.#keep(start === 0 ? chunk : chunk.subarray(start));
      return;
    }
    if (this.#tailBytes === 0) {
      this.#readBlock(chunk.subarray(start, end + 1));
    } else {
      this.#append(chunk.subarray(start, end + 1));
      const block = this.#tail.subarray(0, this.#tailBytes);
      this.#tailBytes = 0;
      this.#readBlock(block);
      if (this.#tail.length > maxIdleTailBytes) this.#tail = new Uint8Array(firstTailBytes);
    }
    if (end + 1 < chunk.length) this.#keep(chunk.subarray(end + 1));
  }

  /** Ends the reading. An event that no blank line closed was never dispatched to the client. */
  finish(): UsageReading {
    if (this.#tailBytes > 0) {
      this.push(Uint8Array.of(lineFeed));
    }
    // Its usage still counts: upstream sent it. Only the end that it may announce does not.
    if (this.#data !== null && this.#end === null) {
      this.#dispatch();
      this.#end = this.#sawError ? "error" : null;
      this.#sawStop = false;
    }
    const { reading } = this.#usage;
    reading.end = this.#end ?? "truncated";
    const final =
      this.#charactersAtCount >= 0 &&
      (this.#sawStop || this.#charactersAtCount >= this.#characters);
    if (!final && (this.#started || this.#characters > 0)) {
      const { tokens } = reading;
      tokens.outputTokens = Math.max(tokens.outputTokens, estimateTokens(this.#characters));
      reading.estimated = true;
    }
    return this.#usage.finish();
  }

  /** Index behind the end of the line being skipped, or -1 if it goes on. */
  #afterSkippedLine(chunk: Uint8Array): number {
    const index = chunk.findIndex((byte) => byte === lineFeed || byte === carriageReturn);
    if (index < 0) return -1;
    this.#skippingLine = false;
    this.#oversized = true;
    this.#endedWithCr = chunk[index] === carriageReturn;
    return index + 1;
  }

  #keep(bytes: Uint8Array): void {
    if (this.#tailBytes + bytes.length <= maxLineBytes) {
      this.#append(bytes);
      return;
    }
    this.#skippingLine = true;
    this.#tailBytes = 0;
    this.#tail = new Uint8Array(firstTailBytes);
  }

  #append(bytes: Uint8Array): void {
    const size = this.#tailBytes + bytes.length;
    if (size > this.#tail.length) {
      const larger = new Uint8Array(Math.max(size, this.#tail.length * 2));
      larger.set(this.#tail.subarray(0, this.#tailBytes));
      this.#tail = larger;
    }
    this.#tail.set(bytes, this.#tailBytes);
    this.#tailBytes = size;
  }

  /** Reads whole lines: `bytes` ends with a line end. */
  #readBlock(bytes: Uint8Array): void {
    let text = this.#decoder.decode(bytes);
    if (this.#atStart && text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    this.#atStart = false;
    if (this.#endedWithCr && text.charCodeAt(0) === lineFeed) text = text.slice(1);
    this.#endedWithCr = text.charCodeAt(text.length - 1) === carriageReturn;
    if (text.includes("\r")) text = text.replace(/\r\n?/g, "\n");
    this.#readLines(text);
  }

  #readLines(text: string): void {
    let pos = 0;
    let backslash = -1;
    while (pos < text.length) {
      const start = this.#data === null && !this.#oversized ? matchAt(deltaLines, text, pos) : -1;
      if (start > 0) {
        const end = text.indexOf("\n", start);
        // One look-ahead serves many events, so that the search for escapes stays linear.
        if (backslash < start) {
          backslash = text.indexOf("\\", start);
          if (backslash < 0) backslash = noBackslash;
        }
        const length = jsonStringLength(text, start, end, backslash);
        const eventIsWhole = text.charCodeAt(end + 1) === lineFeed;
        if (length >= 0 && eventIsWhole && end - pos <= maxEventChars) {
          this.#characters += length;
          this.#eventName = "";
          pos = end + 2;
          continue;
        }
      }
      const end = text.indexOf("\n", pos);
      this.#readLine(text, pos, end);
      pos = end + 1;
    }
  }

  #readLine(text: string, start: number, end: number): void {
    if (start === end) {
      if (this.#data !== null && !this.#oversized) this.#dispatch();
      this.#data = null;
      this.#eventName = "";
      this.#oversized = false;
      return;
    }
    const isData = text.startsWith("data:", start);
    if (!isData && !text.startsWith("event:", start)) return;
    const colon = text.indexOf(":", start);
    // Field values lose one leading space, no more.
    const value = text.slice(text[colon + 1] === " " ? colon + 2 : colon + 1, end);
    if (!isData) {
      this.#eventName = value;
      return;
    }
    this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    if (this.#data.length > maxEventChars) {
      this.#data = "";
      this.#oversized = true;
    }
  }

  #dispatch(): void {
    const data = this.#data ?? "";
    // The same shortcut as in #readLines, so that no chunking changes a reading.
    const start = matchAt(deltaHead, data, 0);
    if (start > 0) {
      const length = jsonStringLength(data, start, data.length, data.indexOf("\\", start));
      if (length >= 0) {
        this.#characters += length;
        return;
      }
    }
    let event: unknown = null;
    try {
      event = JSON.parse(data);
    } catch {
      // One malformed event must not cost the reading of the others.
    }
    const record = isRecord(event) ? event : {};
    const type = textOrNull(record.type) ?? this.#eventName;
    if (event !== null || type === "error") this.#readEvent(type, record);
  }

  #readEvent(type: string, event: JsonRecord): void {
    const { reading } = this.#usage;
    switch (type) {
      case "message_start": {
        if (this.#started || !isRecord(event.message)) return;
        this.#started = true;
        reading.messageId = textOrNull(event.message.id);
        reading.model = textOrNull(event.message.model);
        // Its output_tokens is a placeholder of a few tokens, so it is not a final count.
        this.#usage.add(event.message.usage);
        return;
      }
      case "message_delta":
        if (this.#usage.add(event.usage)) this.#charactersAtCount = this.#characters;
        if (isRecord(event.delta)) {
          reading.stopReason = textOrNull(event.delta.stop_reason) ?? reading.stopReason;
        }
        return;
      case "content_block_delta":
        this.#characters += countParsedDelta(event);
        return;
      case "content_block_start": {
        // A fallback model took over in mid-stream; its block names it.
        const block = event.content_block;
        if (isRecord(block) && block.type === "fallback" && isRecord(block.to)) {
          reading.model = textOrNull(block.to.model) ?? reading.model;
        }
        return;
      }
      case "message_stop":
        this.#sawStop = true;
        this.#end ??= "complete";
        return;
      case "error":
        this.#sawError = true;
        this.#end ??= "error";
        if (isRecord(event.error)) reading.errorType ??= textOrNull(event.error.type);
        return;
    }
  }
}
