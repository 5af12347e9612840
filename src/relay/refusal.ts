import type { NoChoice } from "../accounts/choose.ts";
import type { Standing } from "../accounts/roster-row.ts";
import type { KeyRecord, PolicyRefusal } from "../keys/key-record.ts";
import type { LimitRefusal } from "../keys/limit-refusal.ts";
import { nanoDollarsToUsd } from "../upstream/cost.ts";

/** Every reason for which the relay itself answers a client with an error. */
export type Refusal =
  | PolicyRefusal
  | LimitRefusal
  | { kind: "key_missing" }
  | { kind: "key_malformed" }
  | { kind: "too_many_wrong_keys" }
  | { kind: "address_unreadable" }
  | { kind: "route_unknown"; path: string }
  | { kind: "method_not_allowed"; allow: string }
  | { kind: "body_empty" }
  | { kind: "body_compressed"; encoding: string }
  | { kind: "body_not_json"; atByte: number }
  | { kind: "body_too_deep" }
  | { kind: "body_too_large" }
  | { kind: "headers_too_large" }
  | { kind: "body_unreadable" }
  | { kind: "model_missing" }
  | { kind: "field_repeated"; field: string }
  | { kind: "model_unknown"; model: string }
  | { kind: "no_account" }
  | {
      kind: "no_account_free";
      none: NoChoice;
      causes: Cause[];
      /** False where accounts are left that were not tried. */
      allRuledOut: boolean;
      /** What the key is bound to, where that may be the reason. */
      boundTo: KeyRecord["boundTo"];
    }
  | { kind: "relay_overloaded" }
  | { kind: "key_store_unavailable" }
  | { kind: "meter_unavailable" }
  | { kind: "accounts_unavailable" }
  | { kind: "client_gone" }
  | { kind: "upstream_unreachable"; timedOut: boolean }
  | { kind: "answer_broke_off" }
  | { kind: "not_configured"; problems: string[] }
  | { kind: "internal" };

/** Why an account that was tried could not serve. */
export interface Cause {
  words: string;
  /** True where only a person can mend it. */
  needsPerson: boolean;
}

type ErrorType =
  | "authentication_error"
  | "permission_error"
  | "rate_limit_error"
  | "billing_error"
  | "invalid_request_error"
  | "not_found_error"
  | "request_too_large"
  | "api_error";

interface WireError {
  status: number;
  type: ErrorType;
  message: string;
  /** Seconds, where waiting helps. */
  retryAfterS?: number;
  /** True where only a person can mend it: the client should not try again by itself. */
  final: boolean;
  allow?: string;
}

const SECOND_MS = 1000;
/** A hiccup of storage is over within seconds. */
const HICCUP_RETRY_S = 5;
const UPSTREAM_RETRY_S = 10;
/** What is waiting then is let in within a second or two. */
const OVERLOAD_RETRY_S = 2;
/** Nobody knows when a running request ends: soon enough not to idle, seldom enough not to press. */
const CONCURRENCY_RETRY_S = 2;
const WRONG_KEYS_RETRY_S = 1;
/** Where a person must act: clients that wait anyway should not ask often. */
const PERSON_RETRY_S = 60;
/** Messages name at most this many accounts' reasons. */
const MAX_CAUSES = 3;

/** The one place where a refusal becomes an answer: Anthropic's shape, so that SDKs understand it. */
export function refuse(refusal: Refusal, requestId: string, nowMs: number): Response {
  const wire = wireErrorOf(refusal, nowMs);
  const headers = new Headers({
    "content-type": "application/json",
    "request-id": requestId,
    "x-relay-request-id": requestId,
  });
  if (wire.retryAfterS !== undefined) headers.set("retry-after", String(wire.retryAfterS));
  if (wire.final) headers.set("x-should-retry", "false");
  if (wire.allow !== undefined) headers.set("allow", wire.allow);
  const body = {
    type: "error",
    error: { type: wire.type, message: `Relay: ${wire.message}` },
    request_id: requestId,
  };
  return new Response(JSON.stringify(body), { status: wire.status, headers });
}

function wireErrorOf(refusal: Refusal, nowMs: number): WireError {
  switch (refusal.kind) {
    case "key_missing":
      return unauthenticated(
        "no relay key was sent. Send it as x-api-key, or as Authorization: Bearer. It begins with cr_.",
      );
    case "key_malformed":
      return unauthenticated(
        "that is no relay key. A relay key is cr_ followed by 64 characters from 0-9 and a-f; check that it was copied whole.",
      );
    case "too_many_wrong_keys":
      return limited(
        "too many wrong keys came from your network just now. If yours is right it passes in a moment.",
        WRONG_KEYS_RETRY_S,
      );
    case "key_unknown":
      return unauthenticated(
        "this relay key is not known here. It was deleted, or belongs to another relay; ask whoever runs this one for a key.",
      );
    case "key_replaced":
      return unauthenticated(
        "this relay key was replaced by a new one. Ask whoever runs this relay for the new key.",
      );
    case "model_not_allowed":
      return forbidden(
        `this key may not use the model ${refusal.model}. GET /v1/models lists those that it may.`,
      );
    case "concurrency_reached":
      return limited(
        refusal.limit === 0
          ? "this key may not run any request."
          : `this key already runs ${refusal.limit} at once, which is its limit. Try again when one has ended.`,
        refusal.limit === 0 ? null : CONCURRENCY_RETRY_S,
      );
    case "window_reached": {
      const { measure, limit, minutes, freeAtMs } = refusal;
      const most = measure === "cost" ? usd(limit) : `${limit} ${measure}`;
      const until = freeAtMs === null ? "" : ` It has room again at ${utc(freeAtMs)}.`;
      return limited(
        `this key may use ${most} in ${minutes} minutes, and has.${until}`,
        freeAtMs === null ? null : secondsUntil(freeAtMs, nowMs),
      );
    }
    case "spend_limit_reached":
      return spendLimited(refusal, nowMs);
    case "key_disabled":
      return forbidden("this key is switched off. Ask whoever runs this relay to switch it on.");
    case "key_revoked":
      return forbidden("this key was revoked. Ask whoever runs this relay for a new one.");
    case "key_expired":
      return forbidden(
        `this key expired on ${utc(refusal.expiredAtMs)}. Ask whoever runs this relay to extend it.`,
      );
    case "route_unknown":
      return {
        status: 404,
        type: "not_found_error",
        message: `there is nothing at ${refusal.path}. Messages go to /v1/messages.`,
        final: true,
      };
    case "method_not_allowed":
      return {
        status: 405,
        type: "invalid_request_error",
        message: `this address takes ${refusal.allow} only.`,
        final: true,
        allow: refusal.allow,
      };
    case "body_empty":
      return invalid("the request has no body. A JSON object with a model is needed.");
    case "body_compressed":
      return invalid(
        `the body is compressed (content-encoding: ${refusal.encoding}). Send it as plain JSON.`,
      );
    case "body_not_json":
      return invalid(
        `the body is not a JSON object: reading stopped at byte ${refusal.atByte}. Nothing was sent to Anthropic.`,
      );
    case "body_too_deep":
      return invalid("the body is nested too deeply. Nothing was sent to Anthropic.");
    case "body_unreadable":
      return invalid("the body could not be read to its end.");
    case "model_missing":
      return invalid('the body has no "model", or it is not a text.');
    case "field_repeated":
      return invalid(
        `the body has more than one "${refusal.field}", so it is not clear which counts.`,
      );
    case "model_unknown":
      return {
        status: 404,
        type: "not_found_error",
        message: `there is no model "${refusal.model}" here.`,
        final: true,
      };
    case "body_too_large":
      return {
        status: 413,
        type: "request_too_large",
        message: "the body is larger than 32 MiB, which is the most that Anthropic takes.",
        final: true,
      };
    case "address_unreadable":
      return {
        status: 400,
        type: "invalid_request_error",
        message:
          "the request's host and path make no address. Check the base URL that the client was given, its port too.",
        final: true,
      };
    case "headers_too_large":
      return {
        status: 431,
        type: "invalid_request_error",
        message:
          "the request's headers are larger than 12 KiB, which is more than is sure to be taken upstream. Send fewer, or shorter ones.",
        final: true,
      };
    case "no_account":
      return unavailable(
        "no Claude account has been added to this relay yet. Whoever runs it has to add one.",
        PERSON_RETRY_S,
        true,
      );
    case "no_account_free":
      return noAccountFree(refusal, nowMs);
    case "relay_overloaded":
      return unavailable(
        "more requests are waiting here than can be let in soon. It is neither your key's fault nor Anthropic's; try again in a moment.",
        OVERLOAD_RETRY_S,
      );
    case "key_store_unavailable":
      return unavailable(
        "the store of relay keys does not answer, so this key could not be checked. It is not the key's fault; try again.",
        HICCUP_RETRY_S,
      );
    case "meter_unavailable":
      return unavailable(
        "this key's meter does not answer, so the request could not be let in. It is not the key's fault; try again.",
        HICCUP_RETRY_S,
      );
    case "accounts_unavailable":
      return unavailable(
        "the list of accounts could not be read. Try again in a moment.",
        HICCUP_RETRY_S,
      );
    case "client_gone":
      return { status: 499, type: "api_error", message: "the client went away.", final: false };
    case "upstream_unreachable":
      return unavailable(
        refusal.timedOut
          ? "Anthropic did not answer in time."
          : "Anthropic could not be reached: the connection failed before an answer came.",
        UPSTREAM_RETRY_S,
      );
    case "answer_broke_off":
      return unavailable(
        "Anthropic's answer broke off before its end. It may have been billed; try again.",
        HICCUP_RETRY_S,
      );
    case "not_configured":
      return unavailable(
        `it is not configured. ${refusal.problems.join(" ")}`,
        PERSON_RETRY_S,
        true,
      );
    case "internal":
      return {
        status: 500,
        type: "api_error",
        message:
          "something went wrong inside the relay. Its log has the details under this request id.",
        final: false,
      };
  }
}

/**
 * All rest: 429 until the first is back, or 503 where it is not a limit that they rest for. Otherwise
 * the true causes, for a person to mend.
 */
function noAccountFree(
  { none, causes, allRuledOut, boundTo }: Extract<Refusal, { kind: "no_account_free" }>,
  nowMs: number,
): WireError {
  let first: Extract<Standing, { kind: "cooling_down" }> | null = null;
  const words = new Set(causes.map((cause) => cause.words));
  let final = allRuledOut && causes.every(({ needsPerson }) => needsPerson);
  for (const { standing } of none.standings) {
    switch (standing.kind) {
      case "cooling_down":
        final = false;
        if (first === null || standing.untilMs < first.untilMs) first = standing;
        break;
      case "trouble":
        // A refused credential is tried again by itself, but it is a person who mends it.
        if (standing.trouble.untilMs !== null && standing.trouble.kind !== "credential_rejected") {
          final = false;
        }
        words.add(TROUBLE_IN_WORDS[standing.trouble.kind]);
        break;
      case "disabled":
        words.add("an account is switched off");
        break;
      case "expired":
        words.add(`an account was to serve until ${utc(standing.expiredAtMs)}`);
        break;
      case "not_schedulable":
        words.add("an account takes no new work");
        break;
      case "on_trial":
        final = false;
        words.add("an account failed several times and is being tried again");
        break;
      case "no_egress":
        words.add("an account has a proxy that this relay cannot dial");
    }
  }
  if (allRuledOut && none.standings.length === 0 && words.size === 0 && boundTo !== null) {
    words.add(
      boundTo.kind === "account"
        ? `this key is bound to an account that is not here (${boundTo.value})`
        : `this key is bound to accounts with the tag ${boundTo.value}, and none has it`,
    );
  }
  if (first !== null && first.rest !== "rate_limited") {
    return unavailable(
      `every account that could serve this is resting (${first.reason}). The first is tried again at ${utc(first.untilMs)}. It is not your key's fault.`,
      secondsUntil(first.untilMs, nowMs),
    );
  }
  if (first !== null) {
    return {
      status: 429,
      type: "rate_limit_error",
      message: `every account that could serve this is resting (${first.reason}). The first is back at ${utc(first.untilMs)}.`,
      retryAfterS: secondsUntil(first.untilMs, nowMs),
      final,
    };
  }
  const listed = [...words].slice(0, MAX_CAUSES).join("; ") || "none is left to try";
  return unavailable(
    `no account can serve this now: ${listed}. It is not your key's fault; whoever runs this relay has to look at its accounts.`,
    final ? PERSON_RETRY_S : UPSTREAM_RETRY_S,
    final,
  );
}

const TROUBLE_IN_WORDS = {
  needs_relogin: "an account needs to log in again",
  credential_rejected: "an account's credential was refused by Anthropic",
  spend_limited: "an account's credit or spend limit is used up",
  org_disabled: "an account's organisation was switched off by Anthropic",
} as const;

/** As Anthropic's own gateway says it, so that clients show it word for word and do not try again. */
function spendLimited(
  { period, family, limit, resetAtMs }: Extract<LimitRefusal, { kind: "spend_limit_reached" }>,
  nowMs: number,
): WireError {
  const which = family === null ? period : `${period} for ${family} models`;
  const resets = resetAtMs === null ? "" : `; resets ${utc(resetAtMs)}`;
  return {
    status: 429,
    type: "billing_error",
    message: `spend limit reached (${which}, ${usd(limit)}${resets}). Ask whoever runs this relay to raise it.`,
    ...(resetAtMs === null ? {} : { retryAfterS: secondsUntil(resetAtMs, nowMs) }),
    final: true,
  };
}

/** @param retryAfterS null where no waiting helps */
function limited(message: string, retryAfterS: number | null): WireError {
  const rest = retryAfterS === null ? { final: true } : { retryAfterS, final: false };
  return { status: 429, type: "rate_limit_error", message, ...rest };
}

function usd(nanoDollars: number): string {
  return `$${nanoDollarsToUsd(nanoDollars)}`;
}

function secondsUntil(atMs: number, nowMs: number): number {
  return Math.max(1, Math.ceil((atMs - nowMs) / SECOND_MS));
}

function unauthenticated(message: string): WireError {
  return { status: 401, type: "authentication_error", message, final: true };
}

function forbidden(message: string): WireError {
  return { status: 403, type: "permission_error", message, final: true };
}

function invalid(message: string): WireError {
  return { status: 400, type: "invalid_request_error", message, final: true };
}

function unavailable(message: string, retryAfterS: number, final = false): WireError {
  return { status: 503, type: "api_error", message, retryAfterS, final };
}

/** "2026-11-23 14:05:09 UTC" */
function utc(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
