import type { Decoding } from "../upstream/content-encoding.ts";
import { readMessageJson } from "../upstream/message-json.ts";
import { MessageStreamReader } from "../upstream/message-stream.ts";
import { emptyReading, type UsageReading } from "../upstream/usage.ts";
import type { Delivery, Ending } from "./deliver.ts";
import { TapPace } from "./tap-pace.ts";

/** The tap's buffer: small for the many streams that need no more, doubled where a read fills it. */
const TAP_LEAST_BYTES = 4 * 1024;
const TAP_MOST_BYTES = 64 * 1024;
/** After the pipe failed: an error of upstream reaches the tap at once, a client's leaving never. */
const BLAME_WAIT_MS = 100;
/** After a client has left: what was streamed to it is read to its end, which is there already. */
const REST_WAIT_MS = 100;
/** A whole answer is read up to this size for its usage; a larger one is billed as estimated. */
const JSON_READ_MAX_BYTES = 16 * 1024 * 1024;

/** Upstream pings every few seconds: after this long in silence it is gone, and was never going to say so. */
export const SILENCE_TIMEOUT_MS = 5 * 60_000;

export interface PassThrough {
  body: ReadableStream<Uint8Array>;
  /** Makes the answer to the client around what is streamed. */
  respond: (body: ReadableStream<Uint8Array>) => Response;
  isEventStream: boolean;
  isJson: boolean;
  /** The length that upstream declared, or null. */
  length: number | null;
  decoding: Decoding;
  /** Cancels upstream. */
  abort: () => void;
  /** A client that resets its connection is noticed at once, even while upstream is silent. */
  clientSignal: AbortSignal;
  onMessageId: (messageId: string) => void;
  silenceTimeoutMs: number;
}

/** What the tap made of the stream: the usage, and whether the end it saw was a whole answer's. */
type TapResult =
  | { kind: "ended"; reading: UsageReading; whole: boolean }
  /** Upstream broke, or the relay cancelled it. */
  | { kind: "broken"; reading: UsageReading }
  /** The tap itself failed: the client must never notice. */
  | { kind: "blind" };

/**
 * Streams an answer natively, with a tap beside it that reads usage.
 *
 * The body is teed. One branch is piped by the runtime into the client's stream; the pipe's failure
 * is how a client's leaving is noticed. The other is read by the tap, seldom and in large pieces.
 * The client's stream is closed only when the answer was whole: an answer that broke off ends in an
 * error event, or where none can be added, in an aborted connection.
 */
export function passThrough(options: PassThrough): Delivery {
  const [clientBranch, tapBranch] = options.body.tee();
  const { readable, writable } =
    options.length === null ? new IdentityTransformStream() : new FixedLengthStream(options.length);
  const piped = new PipeEnd();
  const tap = new Tap(tapBranch, options, piped);
  const tapped = tap.run();
  options.clientSignal.addEventListener("abort", options.abort, { once: true });
  const pipe = clientBranch.pipeTo(writable, { preventClose: true, preventAbort: true }).then(
    () => true,
    () => false,
  );
  const ended = pipe.then((whole) => {
    piped.end();
    return whole ? finish(options, writable, tapped) : settleBreak(options, writable, tap, tapped);
  });
  return { response: options.respond(readable), ended };
}

/** Upstream ended without an error: was it the end of an answer? */
async function finish(
  options: PassThrough,
  writable: WritableStream<Uint8Array>,
  tapped: Promise<TapResult>,
): Promise<Ending> {
  const result = await tapped;
  const writer = writable.getWriter();
  if (result.kind === "ended" && !result.whole) {
    return breakOff(options, writer, result.reading);
  }
  const closed = await succeeds(writer.close());
  if (result.kind !== "ended") return { outcome: "completed", reading: unread() };
  if (!closed) return { outcome: "client_closed", reading: result.reading };
  const failed = result.reading.end === "error";
  return { outcome: failed ? "upstream_error" : "completed", reading: result.reading };
}

/** The pipe failed: either the client left, or upstream broke. The tap can tell. */
async function settleBreak(
  options: PassThrough,
  writable: WritableStream<Uint8Array>,
  tap: Tap,
  tapped: Promise<TapResult>,
): Promise<Ending> {
  const { clientSignal } = options;
  const early = clientSignal.aborted
    ? undefined
    : await Promise.race([tapped, scheduler.wait(BLAME_WAIT_MS)]);
  const writer = writable.getWriter();
  if (early?.kind === "broken" && !clientSignal.aborted) {
    return breakOff(options, writer, early.reading);
  }
  options.abort();
  // What the tap has not read yet was streamed all the same, and is billed.
  await Promise.race([tapped, scheduler.wait(REST_WAIT_MS)]);
  await tap.cancel();
  const result = await tapped;
  await succeeds(writer.abort());
  return { outcome: "client_closed", reading: result.kind === "blind" ? unread() : result.reading };
}

/** Ends the client's stream so that it cannot be taken for a whole answer. */
async function breakOff(
  { isEventStream, decoding, length }: PassThrough,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  reading: UsageReading,
): Promise<Ending> {
  if (reading.end === "error") {
    // Upstream has said itself that the answer failed.
    await succeeds(writer.close());
    return { outcome: "upstream_error", reading };
  }
  if (isEventStream && decoding.kind === "none" && length === null) {
    const told =
      (await succeeds(writer.write(BROKE_OFF_EVENT))) && (await succeeds(writer.close()));
    return { outcome: told ? "truncated" : "client_closed", reading };
  }
  await succeeds(writer.abort(new Error("upstream broke off in the middle of its answer")));
  return { outcome: "truncated", reading };
}

/** The blank lines end whatever event was cut, so that this one stands alone. */
const BROKE_OFF_EVENT = new TextEncoder().encode(
  `\n\nevent: error\ndata: ${JSON.stringify({
    type: "error",
    error: {
      type: "api_error",
      message:
        "Relay: Anthropic's answer broke off before its end. What came so far is incomplete.",
    },
  })}\n\n`,
);

/** Reads the second branch without holding up the first. */
class Tap {
  readonly #reader: ReadableStreamBYOBReader | ReadableStreamDefaultReader<Uint8Array> | null;
  readonly #options: PassThrough;
  readonly #piped: PipeEnd;
  readonly #branch: ReadableStream<Uint8Array>;

  constructor(branch: ReadableStream<Uint8Array>, options: PassThrough, piped: PipeEnd) {
    this.#branch = branch;
    this.#options = options;
    this.#piped = piped;
    const { decoding } = options;
    switch (decoding.kind) {
      case "none":
        this.#reader = branch.getReader({ mode: "byob" });
        break;
      case "decode":
        this.#reader = branch
          .pipeThrough(new DecompressionStream(decoding.format))
          .getReader() as ReadableStreamDefaultReader<Uint8Array>;
        break;
      case "unknown":
        this.#reader = null;
    }
  }

  async run(): Promise<TapResult> {
    const reader = this.#reader;
    if (reader === null) {
      // An unread branch would be kept in memory to the end.
      await succeeds(this.#branch.cancel());
      return { kind: "blind" };
    }
    const { isEventStream, isJson, onMessageId } = this.#options;
    const sink = isEventStream ? new EventSink(onMessageId) : new JsonSink(isJson, onMessageId);
    try {
      return await this.#readInto(sink, reader);
    } catch {
      await this.cancel();
      return { kind: "blind" };
    }
  }

  async cancel(): Promise<void> {
    if (this.#reader !== null) await succeeds(this.#reader.cancel());
  }

  async #readInto(
    sink: EventSink | JsonSink,
    reader: ReadableStreamBYOBReader | ReadableStreamDefaultReader<Uint8Array>,
  ): Promise<TapResult> {
    const silence = new SilenceWatch(this.#options.silenceTimeoutMs, this.#options.abort);
    let buffer = new ArrayBuffer(TAP_LEAST_BYTES);
    const pace = new TapPace();
    try {
      for (;;) {
        const size = buffer.byteLength;
        let chunk: Uint8Array | undefined;
        try {
          const read =
            reader instanceof ReadableStreamBYOBReader
              ? await this.#readWhole(reader, buffer)
              : await reader.read();
          chunk = read.value;
          if (chunk !== undefined && chunk.byteLength > 0) sink.push(chunk);
          if (read.done) return sink.end();
        } catch {
          return { kind: "broken", reading: sink.end().reading };
        }
        silence.touch();
        pace.found(chunk?.byteLength ?? 0);
        const isFull = (chunk?.byteLength ?? 0) >= size;
        if (reader instanceof ReadableStreamBYOBReader && chunk !== undefined) {
          buffer = chunk.buffer as ArrayBuffer;
        }
        if (isFull) {
          // More is waiting: falling behind would keep it all in memory.
          if (size < TAP_MOST_BYTES) buffer = new ArrayBuffer(size * 2);
        } else {
          await this.#piped.orAfter(pace.sleepMs());
        }
      }
    } finally {
      silence.end();
    }
  }

  /** Once the client has everything nothing is held up any more: what is left is read in one go. */
  async #readWhole(
    reader: ReadableStreamBYOBReader,
    buffer: ArrayBuffer,
  ): Promise<{ done: boolean; value?: Uint8Array | undefined }> {
    const view = new Uint8Array(buffer);
    return this.#piped.hasEnded ? reader.readAtLeast(buffer.byteLength, view) : reader.read(view);
  }
}

/** Tells when nothing has come for so long. One timer for a whole stream: a timer a read costs more. */
class SilenceWatch {
  readonly #timeoutMs: number;
  readonly #onSilence: () => void;
  #heardAtMs = Date.now();
  #timer: ReturnType<typeof setTimeout>;

  constructor(timeoutMs: number, onSilence: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onSilence = onSilence;
    this.#timer = this.#after(timeoutMs);
  }

  touch(): void {
    this.#heardAtMs = Date.now();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #after(delayMs: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      const leftMs = this.#heardAtMs + this.#timeoutMs - Date.now();
      if (leftMs <= 0) this.#onSilence();
      else this.#timer = this.#after(leftMs);
    }, delayMs);
  }
}

class EventSink {
  readonly #events = new MessageStreamReader();
  readonly #onMessageId: (messageId: string) => void;
  #told = false;

  constructor(onMessageId: (messageId: string) => void) {
    this.#onMessageId = onMessageId;
  }

  push(chunk: Uint8Array): void {
    this.#events.push(chunk);
    if (this.#told || this.#events.messageId === null) return;
    this.#told = true;
    this.#onMessageId(this.#events.messageId);
  }

  end(): { kind: "ended"; reading: UsageReading; whole: boolean } {
    const reading = this.#events.finish();
    const whole = this.#events.endsCleanly || this.#events.sawError;
    return { kind: "ended", reading, whole };
  }
}

/** Any answer that is no event stream. Only where it calls itself JSON can its end be judged. */
class JsonSink {
  #text = "";
  #bytes = 0;
  readonly #decoder = new TextDecoder();
  readonly #isJson: boolean;
  readonly #onMessageId: (messageId: string) => void;

  constructor(isJson: boolean, onMessageId: (messageId: string) => void) {
    this.#isJson = isJson;
    this.#onMessageId = onMessageId;
  }

  push(chunk: Uint8Array): void {
    this.#bytes += chunk.byteLength;
    if (this.#bytes <= JSON_READ_MAX_BYTES) {
      this.#text += this.#decoder.decode(chunk, { stream: true });
    }
  }

  end(): { kind: "ended"; reading: UsageReading; whole: boolean } {
    // What was not read cannot be judged: HTTP itself said that it had ended.
    if (this.#bytes > JSON_READ_MAX_BYTES) return { kind: "ended", reading: unread(), whole: true };
    const reading = readMessageJson(this.#text);
    if (reading.messageId !== null) this.#onMessageId(reading.messageId);
    return { kind: "ended", reading, whole: !this.#isJson || reading.end !== "truncated" };
  }
}

/**
 * Lets the tap sleep, and wakes it when the client's branch has ended. Each sleep has a promise of its own:
 * a race with one that lasts would keep something of every round until the stream's end.
 */
class PipeEnd {
  hasEnded = false;
  #wake: () => void = () => {};

  end(): void {
    this.hasEnded = true;
    this.#wake();
  }

  async orAfter(delayMs: number): Promise<void> {
    if (this.hasEnded) return;
    await new Promise<void>((resolve) => {
      // A timer that is left behind would hold the whole request for as long as it runs.
      const timer = setTimeout(resolve, delayMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Nothing could be read of an answer that upstream has surely billed. */
function unread(): UsageReading {
  return { ...emptyReading(), estimated: true };
}

async function succeeds(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch {
    return false;
  }
}
