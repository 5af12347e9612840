import { fail, ok, type Result } from "../result.ts";
import type { Refusal } from "./refusal.ts";

/** Anthropic's limit for messages and count_tokens. */
export const MAX_BODY_BYTES = 32 * 1024 * 1024;

/**
 * How much of a body that is refused is read and dropped all the same: a client that is still
 * sending when the connection closes sees a broken pipe, and never the answer that says why.
 */
const MAX_DROPPED_BYTES = 32 * 1024 * 1024;

const DROPPED_AT_ONCE_BYTES = 32 * 1024;

/**
 * Step 2a: the body as bytes, whole and unchanged. The bytes that go upstream are the bytes that
 * came in; they are kept until an account has answered.
 */
export async function readBody(request: Request): Promise<Result<Uint8Array, Refusal>> {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    return fail({ kind: "body_compressed", encoding: encoding.slice(0, 40) });
  }
  const declared = request.headers.get("content-length");
  if (request.body === null) return fail({ kind: "body_empty" });
  try {
    if (declared !== null && Number(declared) > MAX_BODY_BYTES) {
      await drop(request.body, MAX_BODY_BYTES + MAX_DROPPED_BYTES);
      return fail({ kind: "body_too_large" });
    }
    // With a declared length the runtime itself stops at it; without one the limit is counted here.
    const bytes =
      declared === null
        ? await readCounted(request.body)
        : new Uint8Array(await request.arrayBuffer());
    if (bytes === null) return fail({ kind: "body_too_large" });
    return bytes.byteLength === 0 ? fail({ kind: "body_empty" }) : ok(bytes);
  } catch {
    return fail({ kind: "body_unreadable" });
  }
}

/** For a request that is refused unread. Never rejects. */
export async function dropBody(request: Request): Promise<void> {
  try {
    if (request.body !== null) await drop(request.body, MAX_DROPPED_BYTES);
  } catch {
    // The client has gone, and with it whoever would have seen the answer.
  }
}

/** @returns null where the body is over the limit */
async function readCounted(body: ReadableStream<Uint8Array>): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length > MAX_BODY_BYTES) {
      chunks.length = 0;
      reader.releaseLock();
      await drop(body, MAX_DROPPED_BYTES);
      return null;
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

/**
 * Reads on without keeping anything, up to a bound, and cancels what is left. In large pieces: where many
 * are refused, reading what they sent must cost less than serving them.
 */
async function drop(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<void> {
  const reader = body.getReader({ mode: "byob" });
  let buffer = new ArrayBuffer(DROPPED_AT_ONCE_BYTES);
  let left = maxBytes;
  while (left > 0) {
    const { done, value } = await reader.readAtLeast(buffer.byteLength, new Uint8Array(buffer));
    if (done || value === undefined) return;
    left -= value.byteLength;
    buffer = value.buffer as ArrayBuffer;
  }
  await reader.cancel();
}
