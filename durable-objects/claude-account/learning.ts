import { RETURN_MS } from "../../src/accounts/roster-row.ts";
import { mergeWindows, type Windows, windowsMoved } from "../../src/upstream/rate-limits.ts";
import type { Verdict } from "../../src/upstream/verdict.ts";
import type { AccountState, StoredCoolDown } from "./state.ts";

/** A 429 that names no time: rest 15 s, doubling to 5 min while it goes on. */
const FIRST_REST_MS = 15_000;
const LONGEST_REST_MS = 5 * 60_000;
/** Without a strike for this long, the doubling starts over. */
const STRIKES_FORGOTTEN_MS = 10 * 60_000;
/** 529 says nothing of the account: it only steps aside for a moment. */
const OVERLOADED_REST_MS = 2_000;
/** Circuit breaker: this many failures within this time open it. */
const BREAKER_FAILURES = 5;
const BREAKER_WINDOW_MS = 30_000;
const BREAKER_FIRST_REST_MS = 10_000;
const BREAKER_LONGEST_REST_MS = 2 * 60_000;
/** Scope of a cool-down that rests the whole account. */
const WHOLE_ACCOUNT = "*";

export interface Lesson {
  verdict: Verdict;
  family: string;
  windows: Windows;
  atMs: number;
}

/**
 * What an account learns from one answer of upstream, after the failure table in
 * docs/architecture.md. Pure: returns the next state, or the same object where nothing changed.
 */
export function learn(state: AccountState, lesson: Lesson): AccountState {
  const { verdict, family, atMs } = lesson;
  const next = withWindows(state, lesson.windows, atMs);
  switch (verdict.kind) {
    case "served":
    case "passed":
      return recovered(next, family, atMs);
    case "rate_limited": {
      const scope = verdict.scope === "account" ? WHOLE_ACCOUNT : family;
      return coolDown(next, scope, verdict.untilMs, atMs);
    }
    case "overloaded":
      return restUntil(next, family, atMs + OVERLOADED_REST_MS, OVERLOADED, atMs);
    case "server_error":
      return failed(next, `upstream answered ${verdict.status} several times`, atMs);
    case "unreachable":
      return failed(next, "upstream could not be reached several times", atMs);
    case "spend_limited":
    case "org_disabled":
      return {
        ...next,
        trouble: {
          kind: verdict.kind,
          detail: verdict.detail,
          sinceMs: atMs,
          untilMs: verdict.kind === "spend_limited" ? verdict.untilMs : null,
        },
      };
    case "credential_rejected":
      // Decided in `acquire`, which knows whether a newer credential is there already.
      return next;
  }
}

/** The rests that a lesson began; one that only grew longer is not among them. */
export function begunRests(
  before: AccountState,
  after: AccountState,
  atMs: number,
): StoredCoolDown[] {
  const rests = new Set(
    before.coolDowns.filter(({ untilMs }) => untilMs > atMs).map(({ scope }) => scope),
  );
  return after.coolDowns.filter(({ scope, untilMs }) => untilMs > atMs && !rests.has(scope));
}

function withWindows(state: AccountState, windows: Windows, atMs: number): AccountState {
  if (!windowsMoved(state.windows, windows)) return state;
  return { ...state, windows: mergeWindows(state.windows, windows, atMs) };
}

/**
 * An answer ends the strikes of its family and closes the breaker. A running cool-down stays, and one
 * that ended a moment ago, since new work comes back step by step after it.
 */
function recovered(state: AccountState, family: string, atMs: number): AccountState {
  const coolDowns = state.coolDowns.filter(
    ({ scope, untilMs }) =>
      untilMs + RETURN_MS > atMs || (scope !== family && scope !== WHOLE_ACCOUNT),
  );
  const { trouble, rejections } = state;
  const passed = trouble !== null && trouble.untilMs !== null && trouble.untilMs <= atMs;
  const mended = passed || trouble?.kind === "credential_rejected";
  const { breaker } = state;
  const isClosed = breaker.failures === 0 && breaker.openings === 0;
  const unchanged = coolDowns.length === state.coolDowns.length && isClosed;
  if (unchanged && !mended && rejections === 0) return state;
  return {
    ...state,
    trouble: mended ? null : trouble,
    rejections: 0,
    coolDowns,
    breaker: { failures: 0, firstFailureAtMs: 0, openings: 0 },
  };
}

/** Why an account rests, as a kind and in words. */
type Why = Pick<StoredCoolDown, "kind" | "reason">;

const RATE_LIMITED: Why = { kind: "rate_limited", reason: "rate limited by upstream (429)" };
const OVERLOADED: Why = { kind: "overloaded", reason: "upstream is overloaded (529)" };

function coolDown(
  state: AccountState,
  scope: string,
  untilMs: number | null,
  atMs: number,
): AccountState {
  if (untilMs !== null) return restUntil(state, scope, untilMs, RATE_LIMITED, atMs);
  const known = state.coolDowns.find((candidate) => candidate.scope === scope);
  // Answers to requests sent before the rest began are the same strike, not another one.
  if (known !== undefined && known.untilMs > atMs) return state;
  const recent = known !== undefined && atMs - known.untilMs < STRIKES_FORGOTTEN_MS;
  const strikes = recent ? known.strikes + 1 : 1;
  const restMs = Math.min(FIRST_REST_MS * 2 ** (strikes - 1), LONGEST_REST_MS);
  return withCoolDown(state, {
    ...RATE_LIMITED,
    scope,
    sinceMs: atMs,
    untilMs: atMs + restMs,
    strikes,
  });
}

function restUntil(
  state: AccountState,
  scope: string,
  untilMs: number,
  why: Why,
  atMs: number,
): AccountState {
  const known = state.coolDowns.find((candidate) => candidate.scope === scope);
  if (known !== undefined && known.untilMs >= untilMs && known.untilMs > atMs) return state;
  const strikes = known?.strikes ?? 0;
  return withCoolDown(state, { ...why, scope, sinceMs: atMs, untilMs, strikes });
}

function withCoolDown(state: AccountState, coolDown: StoredCoolDown): AccountState {
  const others = state.coolDowns.filter(({ scope }) => scope !== coolDown.scope);
  return { ...state, coolDowns: [...others, coolDown] };
}

/**
 * A failure of the account's own way: the breaker opens after several in a row, or at once where it
 * has just let a first request through again.
 */
function failed(state: AccountState, reason: string, atMs: number): AccountState {
  const { breaker } = state;
  const isResting = state.coolDowns.some(
    ({ scope, untilMs }) => scope === WHOLE_ACCOUNT && untilMs > atMs,
  );
  // Requests that were under way when the breaker opened say nothing new.
  if (isResting && breaker.openings > 0) return state;
  const inWindow = breaker.failures > 0 && atMs - breaker.firstFailureAtMs < BREAKER_WINDOW_MS;
  const failures = inWindow ? breaker.failures + 1 : 1;
  if (breaker.openings === 0 && failures < BREAKER_FAILURES) {
    const firstFailureAtMs = inWindow ? breaker.firstFailureAtMs : atMs;
    return { ...state, breaker: { ...breaker, failures, firstFailureAtMs } };
  }
  const openings = breaker.openings + 1;
  const restMs = Math.min(BREAKER_FIRST_REST_MS * 2 ** (openings - 1), BREAKER_LONGEST_REST_MS);
  const opened = { ...state, breaker: { failures: 0, firstFailureAtMs: 0, openings } };
  return restUntil(opened, WHOLE_ACCOUNT, atMs + restMs, { kind: "failing", reason }, atMs);
}
