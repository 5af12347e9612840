import { fail, ok, type Result } from "../result.ts";
import type { Opening } from "./conversation.ts";
import { parseSlice, type Slice, scanObject } from "./json-scan.ts";
import type { Refusal } from "./refusal.ts";

/** What the relay reads of a message; everything else is upstream's business. */
export interface MessageFields {
  /** Bounded; upstream judges whether it exists. */
  model: string;
  stream: boolean;
  /** The session inside `metadata.user_id`, in either of its forms. */
  userSession: string | null;
  /** Whether the message belongs to a thread, and which message it continues. */
  thread: boolean;
  previousMessageId: string | null;
  /** Where the conversation's beginning stands; null where the body does not hold it. */
  opening: Opening | null;
}

const WANTED = new Set(["model", "stream", "metadata", "thread"]);
/** Upstream judges them; where one stands twice, that is no reason to refuse it here. */
const NOTED = new Set(["system", "messages"]);
/** Longer than any model's name. */
const MODEL_MAX_CHARS = 200;
/** Values that are parsed are small; a larger one is left alone. */
const VALUE_MAX_BYTES = 16 * 1024;
export const SESSION_MAX_CHARS = 200;
const MESSAGE_ID_MAX_CHARS = 200;
/** `user_<64 hex>_account_<uuid or empty>_session_<uuid>` of Claude Code before 2.1.78. */
const OLD_USER_ID = /_session_([0-9a-f-]{36})$/;

/** Step 2b: one bounded parse of the body. */
export function readMessageFields(bytes: Uint8Array): Result<MessageFields, Refusal> {
  const scan = scanObject(bytes, WANTED, NOTED);
  switch (scan.kind) {
    case "not_json":
      return fail({ kind: "body_not_json", atByte: scan.atByte });
    case "too_deep":
      return fail({ kind: "body_too_deep" });
    case "repeated":
      return fail({ kind: "field_repeated", field: scan.name });
    case "object":
      break;
  }
  const value = (name: string): unknown => smallValue(bytes, scan.found.get(name));
  const model = value("model");
  if (typeof model !== "string" || model === "") return fail({ kind: "model_missing" });
  const thread = value("thread");
  const previousMessageId = boundedText(
    member(thread, "previous_message_id"),
    MESSAGE_ID_MAX_CHARS,
  );
  const messages = scan.found.get("messages");
  return ok({
    model: model.slice(0, MODEL_MAX_CHARS),
    stream: value("stream") === true,
    userSession: sessionOfUserId(member(value("metadata"), "user_id")),
    thread: thread !== undefined && thread !== null,
    previousMessageId,
    // A thread's next message brings only what is new.
    opening:
      messages === undefined || previousMessageId !== null
        ? null
        : { system: scan.found.get("system") ?? null, messages },
  });
}

/** Tolerant: what is no known form gives no session, and the value itself is never changed. */
function sessionOfUserId(userId: unknown): string | null {
  if (typeof userId !== "string") return null;
  const old = OLD_USER_ID.exec(userId);
  if (old !== null) return old[1] ?? null;
  if (!userId.startsWith("{")) return null;
  try {
    return boundedText(member(JSON.parse(userId), "session_id"), SESSION_MAX_CHARS);
  } catch {
    return null;
  }
}

function smallValue(bytes: Uint8Array, slice: Slice | undefined): unknown {
  if (slice === undefined || slice.end - slice.start > VALUE_MAX_BYTES) return undefined;
  return parseSlice(bytes, slice);
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function boundedText(value: unknown, maxChars: number): string | null {
  return typeof value === "string" && value !== "" && value.length <= maxChars ? value : null;
}
