import { fail, ok, type Result } from "../result.ts";
import { readWebhookAddress } from "./address.ts";
import type { AlertFormat, AlertMessage } from "./alert.ts";
import { refusalIn, shapeOf } from "./formats.ts";

/** Chat services answer within a second; whoever needs longer is tried again. */
const TIMEOUT_MS = 10_000;
/** Of an answer only a code is wanted. */
const ANSWER_MAX_BYTES = 4_096;
const SECOND_MS = 1_000;

/** Where a message goes, with the secrets in the clear: in memory only, for one try. */
export interface Target {
  format: AlertFormat;
  address: string;
  secret: string | null;
}

/** Why a try failed, in words without the address; and when the receiver asks to be tried again. */
export interface DeliveryFailure {
  message: string;
  retryAfterMs: number | null;
}

export interface Sender {
  fetch: typeof fetch;
  now(): number;
  allowsLocal: boolean;
}

/** Makes one try. Redirects are not followed: they could lead where the address may not. */
export async function deliver(
  { fetch, now, allowsLocal }: Sender,
  { format, address, secret }: Target,
  message: AlertMessage,
): Promise<Result<null, DeliveryFailure>> {
  const checked = readWebhookAddress(address, allowsLocal);
  if (!checked.ok) return failed(`its address ${checked.error}`);
  const { url, headers, body } = await shapeOf(format, checked.value.href, secret, message, now());
  let answer: Response;
  let text: string;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    answer = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
    text = await boundedText(answer);
  } catch (error) {
    const isTimeout = error instanceof Error && error.name === "TimeoutError";
    return failed(
      isTimeout
        ? `it did not answer within ${TIMEOUT_MS / SECOND_MS} s`
        : "it could not be reached: does its host exist, and does its certificate hold?",
    );
  }
  const { status } = answer;
  if (status >= 300 && status < 400) {
    return failed(
      `it answered ${status}, a redirect, which is not followed: give its final address`,
    );
  }
  if (!answer.ok) return failed(statusWords(status), retryAfterMs(answer.headers));
  const refusal = refusalIn(format, text);
  return refusal === null ? ok(null) : failed(refusal);
}

function failed(message: string, retryAfterMs: number | null = null) {
  return fail<DeliveryFailure>({ message, retryAfterMs });
}

function statusWords(status: number): string {
  if (status === 401 || status === 403)
    return `it answered ${status}: it does not accept this sender`;
  if (status === 404 || status === 410) {
    return `it answered ${status}: this webhook does not exist there any more`;
  }
  if (status === 429) return "it answered 429: it takes no more messages for now";
  return `it answered ${status}`;
}

function retryAfterMs(headers: Headers): number | null {
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  return seconds > 0 ? seconds * SECOND_MS : null;
}

/** The beginning of an answer; the rest is not waited for. */
async function boundedText(answer: Response): Promise<string> {
  if (answer.body === null) return "";
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    text += decoder.decode(value, { stream: true });
    if (bytes >= ANSWER_MAX_BYTES) {
      await reader.cancel();
      return text.slice(0, ANSWER_MAX_BYTES);
    }
  }
}
