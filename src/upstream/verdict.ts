import { readKeyLimits, readUnifiedLimits, retryAfterAtMs, type Windows } from "./rate-limits.ts";

/**
 * What an answer of upstream means for the account that got it, and for the request. The table is
 * in docs/architecture.md under Errors; this file is its only implementation.
 */
export type Verdict =
  /** Served. */
  | { kind: "served" }
  /** The request's own doing, or not the account's fault: passed through untouched. */
  | { kind: "passed" }
  | { kind: "rate_limited"; scope: "account" | "family"; untilMs: number | null }
  /** Money, not rate: unusable until then, or until a person acts. */
  | { kind: "spend_limited"; untilMs: number | null; detail: string }
  /** The vendor switched the organisation or its OAuth off. Passed through, and the account rests. */
  | { kind: "org_disabled"; detail: string }
  | { kind: "credential_rejected" }
  /** The whole API or model is overloaded, not this account. */
  | { kind: "overloaded" }
  | { kind: "server_error"; status: number }
  | { kind: "unreachable"; detail: "connection" | "timeout" };

export interface UpstreamAnswer {
  status: number;
  headers: Headers;
  /** The body of an error answer as text; empty for all others. */
  errorBody: string;
}

/** Claims of `representative-claim` that bind one model family, not the whole account. */
const FAMILY_CLAIM = /^seven_day_(?!$)/;
const SPEND_LIMIT_CODE = "enforced_spend_limit_reached";
const DETAIL_MAX_CHARS = 300;
/** Said by status or code: the words beside it are not known, and may repeat what the client sent. */
const PAYMENT_DETAIL = "Anthropic asks for a payment (402).";
const MONTHLY_LIMIT_DETAIL = "The organisation's monthly spend limit is reached.";

export function judge(answer: UpstreamAnswer, nowMs: number): Verdict {
  const { status, headers } = answer;
  if (status < 400) return { kind: "served" };
  const error = readErrorBody(answer.errorBody);
  switch (status) {
    case 400:
      return judgeBadRequest(error.message, nowMs);
    case 401:
      return { kind: "credential_rejected" };
    case 402:
      return { kind: "spend_limited", untilMs: null, detail: PAYMENT_DETAIL };
    case 403:
      return isOrgDisabled(error.message)
        ? { kind: "org_disabled", detail: error.message }
        : { kind: "passed" };
    case 429:
      return judgeRateLimit(headers, error, nowMs);
    case 529:
      return { kind: "overloaded" };
    default:
      return status >= 500 ? { kind: "server_error", status } : { kind: "passed" };
  }
}

/** Whether the answer goes to the client as it came; otherwise another account may do better. */
export function goesToClient(verdict: Verdict): boolean {
  switch (verdict.kind) {
    case "served":
    case "passed":
    case "org_disabled":
      return true;
    case "credential_rejected":
    case "overloaded":
    case "rate_limited":
    case "spend_limited":
    case "server_error":
    case "unreachable":
      return false;
  }
}

/**
 * Whether upstream asks for a fault of its own not to be tried again. Then no other account is asked
 * either. A refusal of the account (401, 402, 429) may say so as well, of the account: another one
 * is another matter.
 */
export function forbidsRetry(verdict: Verdict, headers: Headers): boolean {
  const isFault = verdict.kind === "server_error" || verdict.kind === "overloaded";
  return isFault && headers.get("x-should-retry")?.trim().toLowerCase() === "false";
}

/**
 * What an error event after a 200 means for the account, by its `error.type`: the same as the refusal
 * would that names no time. Null where it teaches nothing of the account.
 */
export function judgeStreamError(errorType: string | null): Verdict | null {
  switch (errorType) {
    case "rate_limit_error":
      return { kind: "rate_limited", scope: "family", untilMs: null };
    case "overloaded_error":
      return { kind: "overloaded" };
    default:
      return null;
  }
}

/** Whether it counts towards the account's circuit breaker: its own way upstream failed. */
export function isAccountFailure({ kind }: Verdict): boolean {
  return kind === "server_error" || kind === "unreachable";
}

// Messages are matched from their very beginning: further in, upstream repeats what the client sent,
// and no client may talk an account out of service.

function judgeBadRequest(message: string, nowMs: number): Verdict {
  if (/^your credit balance is too low/i.test(message)) {
    return { kind: "spend_limited", untilMs: null, detail: message };
  }
  if (/^you have reached your specified api usage limits/i.test(message)) {
    return { kind: "spend_limited", untilMs: statedTimeMs(message, nowMs), detail: message };
  }
  return isOrgDisabled(message) ? { kind: "org_disabled", detail: message } : { kind: "passed" };
}

function judgeRateLimit(headers: Headers, error: ErrorBody, nowMs: number): Verdict {
  if (error.code === SPEND_LIMIT_CODE) {
    return {
      kind: "spend_limited",
      untilMs: startOfNextMonthMs(nowMs),
      detail: MONTHLY_LIMIT_DETAIL,
    };
  }
  // Long-context and extra-usage refusals concern this request's size, not a window of the account.
  if (/extra usage|long context/i.test(error.message)) return { kind: "passed" };
  const unified = readUnifiedLimits(headers, nowMs);
  const retryAtMs = retryAfterAtMs(headers, nowMs);
  // A window that still allows requests did not cause this: a burst did.
  if (unified.resetAtMs !== null && !unified.isAllowed) {
    const scope = FAMILY_CLAIM.test(unified.representativeClaim ?? "") ? "family" : "account";
    return { kind: "rate_limited", scope, untilMs: unified.resetAtMs };
  }
  // API-key limits are counted per model class [documented], and a 429 with neither header may be a
  // limit of one model family: both rest the family only.
  return { kind: "rate_limited", scope: "family", untilMs: retryAtMs };
}

/** The windows that an answer carries, for the account's memory. @param family of the model asked */
export function windowsOf(headers: Headers, family: string, nowMs: number): Windows {
  return { ...readUnifiedLimits(headers, nowMs).windows, ...readKeyLimits(headers, family, nowMs) };
}

interface ErrorBody {
  message: string;
  code: string | null;
}

function readErrorBody(text: string): ErrorBody {
  try {
    const parsed: unknown = JSON.parse(text);
    const error = field(parsed, "error");
    const message = field(error, "message");
    const code = field(field(error, "details"), "error_code");
    return {
      message: typeof message === "string" ? message.slice(0, DETAIL_MAX_CHARS) : "",
      code: typeof code === "string" ? code : null,
    };
  } catch {
    return { message: "", code: null };
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function isOrgDisabled(message: string): boolean {
  return /^(?:this organization has been disabled|oauth authentication is currently not allowed for this organization)/i.test(
    message,
  );
}

/** "You will regain access on 2026-12-01 at 00:00 UTC." */
function statedTimeMs(message: string, nowMs: number): number | null {
  const match = /(\d{4}-\d{2}-\d{2})(?: at (\d{2}:\d{2}))?/.exec(message);
  if (match === null) return null;
  const atMs = Date.parse(`${match[1]}T${match[2] ?? "00:00"}:00Z`);
  return Number.isNaN(atMs) || atMs <= nowMs ? null : atMs;
}

function startOfNextMonthMs(nowMs: number): number {
  const now = new Date(nowMs);
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1);
}
