import { fail, ok, type Result } from "../result.ts";
import type { Refusal } from "./refusal.ts";

/** Anthropic's limit for messages and count_tokens. */
export const MAX_BODY_BYTES = 32 * 1024 * 1024;

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
  if (declared !== null && Number(declared) > MAX_BODY_BYTES) {
    return fail({ kind: "body_too_large" });
  }
  if (request.body === null) return fail({ kind: "body_empty" });
  try {
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

/** @returns null where the body is over the limit */
async function readCounted(body: ReadableStream<Uint8Array>): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.byteLength;
    // Leaving the loop cancels the rest of the body.
    if (length > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}
