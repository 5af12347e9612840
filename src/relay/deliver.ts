import { decodedText, decodingOf } from "../upstream/content-encoding.ts";
import { type AnswerOptions, clientAnswer } from "../upstream/headers.ts";
import { readMessageJson } from "../upstream/message-json.ts";
import { emptyReading, type UsageReading } from "../upstream/usage.ts";
import { passThrough, SILENCE_TIMEOUT_MS } from "./pass-through.ts";
import type { Sent } from "./send.ts";
import type { Outcome } from "./settlement.ts";

/** Whole answers up to this size are read before they are passed on; larger ones stream. */
const MAX_WHOLE_ANSWER_BYTES = 4 * 1024 * 1024;

/** How an answer ended, and what was read of it. */
export interface Ending {
  outcome: Outcome;
  reading: UsageReading;
}

export interface Delivery {
  /** Null where upstream broke off before a byte was passed on. */
  response: Response | null;
  /** Resolves when the last byte has gone, or the client has; never rejects. */
  ended: Promise<Ending>;
}

export interface DeliveryOptions extends AnswerOptions {
  /** False where nothing of the answer needs to be read. */
  metered: boolean;
  /** Tells that the client's connection was reset. */
  clientSignal: AbortSignal;
  /** Called once, as soon as the message's id is known. */
  onMessageId: (messageId: string) => void;
}

/**
 * Step 6: the answer to the client: status, headers and bytes as upstream sent them. Usage is read
 * beside the bytes, never in their way.
 */
export async function deliver(sent: Sent, options: DeliveryOptions): Promise<Delivery> {
  const { answer, errorBytes } = sent;
  if (errorBytes !== null) {
    return done(clientAnswer(errorBytes, answer, options), {
      outcome: "upstream_error",
      reading: emptyReading(),
    });
  }
  if (answer.body === null || !options.metered) {
    return done(clientAnswer(answer.body, answer, options), {
      outcome: "completed",
      reading: emptyReading(),
    });
  }
  const length = answer.headers.get("content-length");
  if (length !== null && Number(length) <= MAX_WHOLE_ANSWER_BYTES && !isEventStream(answer)) {
    return deliverWhole(answer, options);
  }
  return passThrough({
    body: answer.body,
    respond: (body) => clientAnswer(body, answer, options),
    isEventStream: isEventStream(answer),
    isJson: contentType(answer).startsWith("application/json"),
    length: length === null ? null : Number(length),
    decoding: decodingOf(answer.headers),
    abort: sent.abort,
    clientSignal: options.clientSignal,
    onMessageId: options.onMessageId,
    silenceTimeoutMs: SILENCE_TIMEOUT_MS,
  });
}

/** A small answer is one piece: it is read whole, which costs less than looking at it on its way. */
async function deliverWhole(answer: Response, options: DeliveryOptions): Promise<Delivery> {
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await answer.arrayBuffer());
  } catch {
    return done(null, { outcome: "truncated", reading: { ...emptyReading(), estimated: true } });
  }
  // Almost always plain: then nothing is waited for.
  const isPlain = decodingOf(answer.headers).kind === "none";
  const reading = readMessageJson(isPlain ? bytes : await decodedText(bytes, answer.headers));
  if (reading.messageId !== null) options.onMessageId(reading.messageId);
  return done(clientAnswer(bytes, answer, options), { outcome: "completed", reading });
}

function done(response: Response | null, ending: Ending): Delivery {
  return { response, ended: Promise.resolve(ending) };
}

function isEventStream(answer: Response): boolean {
  return contentType(answer).startsWith("text/event-stream");
}

function contentType(answer: Response): string {
  return answer.headers.get("content-type") ?? "";
}
