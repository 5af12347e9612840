import type { Answer } from "../../../bench/load/connection.ts";

const STREAM_END = "message_stop";
const SHEDDING_STATUSES: ReadonlySet<string> = new Set(["429", "503"]);
const RETRY_AFTER = /\r\nretry-after: *\d+(?:\r\n|$)/i;

/** @param answerBytes bytes of a right answer; null: it must end as a stream does */
export function isWhole({ bodyBytes, tail }: Answer, answerBytes: number | null): boolean {
  return answerBytes === null ? tail.includes(STREAM_END) : bodyBytes === answerBytes;
}

/** Why an answer is no honest refusal, or null: a status that says to come again, when, and the API's form. */
export function refusalFault({ status, head, tail }: Answer): string | null {
  if (!SHEDDING_STATUSES.has(status)) return `answered ${status}: ${tail}`;
  if (!RETRY_AFTER.test(head)) return `${status} without a retry-after: ${tail}`;
  try {
    const { type, error, request_id } = JSON.parse(tail) as {
      type?: unknown;
      error?: { type?: unknown; message?: unknown };
      request_id?: unknown;
    };
    const isForm =
      type === "error" &&
      typeof error?.type === "string" &&
      typeof error.message === "string" &&
      typeof request_id === "string";
    return isForm ? null : `${status} in no form that clients know: ${tail}`;
  } catch {
    return `${status} without JSON: ${tail}`;
  }
}
