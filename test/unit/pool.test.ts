import { describe, expect, test } from "vitest";
import { learn } from "../../durable-objects/claude-account/learning.ts";
import type { AccountState } from "../../durable-objects/claude-account/state.ts";
import { LATER_SETTINGS, standingOf } from "../../src/accounts/roster-row.ts";
import {
  isNearLimit,
  mergeWindows,
  peakUtilisation,
  readKeyLimits,
  readUnifiedLimits,
  retryAfterAtMs,
  type WindowState,
  type Windows,
  windowsMoved,
} from "../../src/upstream/rate-limits.ts";
import {
  forbidsRetry,
  goesToClient,
  judge,
  judgeStreamError,
  type Verdict,
  windowsOf,
} from "../../src/upstream/verdict.ts";
import { rowOf } from "./roster-rows.ts";

const NOW_MS = Date.UTC(2026, 10, 23, 12, 0, 0);
const NOW_S = NOW_MS / 1000;
const HOUR_S = 3600;

describe("unified rate-limit headers", () => {
  test("every window is read, known or not; fractions and unix seconds", () => {
    const headers = new Headers({
      "anthropic-ratelimit-unified-status": "allowed",
      "anthropic-ratelimit-unified-5h-status": "allowed_warning",
      "anthropic-ratelimit-unified-5h-reset": String(NOW_S + HOUR_S),
      "anthropic-ratelimit-unified-5h-utilization": "0.86",
      "anthropic-ratelimit-unified-7d_oi-utilization": "1.02",
      "anthropic-ratelimit-unified-reset": String(NOW_S + HOUR_S),
      "anthropic-ratelimit-unified-representative-claim": "five_hour",
    });
    expect(readUnifiedLimits(headers, NOW_MS)).toEqual({
      windows: {
        "5h": {
          status: "allowed_warning",
          resetAtMs: NOW_MS + HOUR_S * 1000,
          utilisation: 0.86,
        },
        "7d_oi": { utilisation: 1.02 },
      },
      resetAtMs: NOW_MS + HOUR_S * 1000,
      isAllowed: true,
      representativeClaim: "five_hour",
    });
  });

  test.each([
    ["in the past", String(NOW_S - 1)],
    ["ten years ahead", String(NOW_S + 10 * 365 * 24 * HOUR_S)],
    ["no number", "soon"],
    ["empty", ""],
  ])("a reset %s is dropped alone", (_, reset) => {
    const headers = new Headers({
      "anthropic-ratelimit-unified-5h-reset": reset,
      "anthropic-ratelimit-unified-5h-utilization": "0.5",
      "anthropic-ratelimit-unified-reset": reset,
    });
    const limits = readUnifiedLimits(headers, NOW_MS);
    expect(limits.windows).toEqual({ "5h": { utilisation: 0.5 } });
    expect(limits.resetAtMs).toBeNull();
  });

  test("what upstream warns of is read, and a warning that is no number dropped", () => {
    const headers = new Headers({
      "anthropic-ratelimit-unified-5h-surpassed-threshold": "0.9",
      "anthropic-ratelimit-unified-7d-surpassed-threshold": "much",
      "anthropic-ratelimit-unified-7d-status": "allowed",
    });
    expect(readUnifiedLimits(headers, NOW_MS).windows).toEqual({
      "5h": { surpassedThreshold: 0.9 },
      "7d": { status: "allowed" },
    });
  });

  test("a window with a name that every object has is none", () => {
    const headers = new Headers();
    for (const name of ["__proto__", "constructor", "tostring", "valueof"]) {
      headers.set(`anthropic-ratelimit-unified-${name}-status`, "rejected");
    }
    expect(Object.keys(readUnifiedLimits(headers, NOW_MS).windows).sort()).toEqual([
      "tostring",
      "valueof",
    ]);
    expect(({} as { status?: string }).status).toBeUndefined();
    expect((Object as { status?: string }).status).toBeUndefined();
  });

  test("a hundred invented windows do not fill the memory", () => {
    const headers = new Headers();
    for (let index = 0; index < 100; index += 1) {
      headers.set(`anthropic-ratelimit-unified-w${index}-utilization`, "0.5");
    }
    const { windows } = readUnifiedLimits(headers, NOW_MS);
    expect(Object.keys(windows).length).toBeLessThan(20);
    let remembered: Windows = {};
    for (let index = 0; index < 100; index += 1) {
      remembered = mergeWindows(remembered, { [`w${index}`]: { utilisation: 0.5 } }, NOW_MS);
    }
    expect(Object.keys(remembered).length).toBeLessThan(50);
    expect(remembered.w99?.utilisation).toBe(0.5);
  });

  test("only a move of a hundredth or more is news", () => {
    const known = { "5h": { utilisation: 0.5, status: "allowed" } };
    expect(windowsMoved(known, { "5h": { utilisation: 0.505 } })).toBe(false);
    expect(windowsMoved(known, { "5h": { utilisation: 0.52 } })).toBe(true);
    expect(windowsMoved(known, { "5h": { status: "rejected" } })).toBe(true);
    expect(windowsMoved(known, {})).toBe(false);
  });

  test("retry-after is read as seconds and as a date, and never believed beyond days", () => {
    const at = (value: string) => retryAfterAtMs(new Headers({ "retry-after": value }), NOW_MS);
    expect(at("7")).toBe(NOW_MS + 7_000);
    expect(at(new Date(NOW_MS + 60_000).toUTCString())).toBe(NOW_MS + 60_000);
    expect(at("-5")).toBeNull();
    expect(at("99999999")).toBeNull();
    expect(at("later")).toBeNull();
  });
});

describe("the documented limits of an API key", () => {
  const keyHeaders = (used: number, resetAtMs = NOW_MS + 20_000) =>
    new Headers({
      "anthropic-ratelimit-requests-limit": "1000",
      "anthropic-ratelimit-requests-remaining": String(1000 - used),
      "anthropic-ratelimit-requests-reset": new Date(resetAtMs).toISOString(),
    });
  const read = (headers: Record<string, string>) =>
    readKeyLimits(new Headers(headers), "opus", NOW_MS);
  const tokens = (limit: string, remaining: string, reset = "2026-11-23T12:00:30Z") =>
    read({
      "anthropic-ratelimit-tokens-limit": limit,
      "anthropic-ratelimit-tokens-remaining": remaining,
      "anthropic-ratelimit-tokens-reset": reset,
    }).tokens_opus;

  test("all four are read, for the family that was asked; those of other lanes are not", () => {
    const reset = "2026-11-23T12:00:30Z";
    const headers: Record<string, string> = {
      "anthropic-priority-input-tokens-limit": "10",
      "anthropic-priority-input-tokens-remaining": "0",
      "anthropic-fast-output-tokens-limit": "10",
      "anthropic-fast-output-tokens-remaining": "0",
      "anthropic-ratelimit-unified-5h-utilization": "0.5",
    };
    for (const name of ["requests", "tokens", "input-tokens", "output-tokens"]) {
      headers[`anthropic-ratelimit-${name}-limit`] = "4000";
      headers[`anthropic-ratelimit-${name}-remaining`] = "1000";
      headers[`anthropic-ratelimit-${name}-reset`] = reset;
    }
    const state = { utilisation: 0.75, resetAtMs: NOW_MS + 30_000 };
    expect(windowsOf(new Headers(headers), "sonnet", NOW_MS)).toEqual({
      "5h": { utilisation: 0.5 },
      requests_sonnet: state,
      tokens_sonnet: state,
      "input-tokens_sonnet": state,
      "output-tokens_sonnet": state,
    });
  });

  test.each([
    ["more left than there is", "1000", "2000", 0],
    ["nothing left", "1000", "0", 1],
    ["no limit at all", "0", "0", undefined],
    ["less than nothing left", "1000", "-5", undefined],
    ["a limit that is no number", "many", "5", undefined],
    ["an endless limit", "1e400", "5", undefined],
    ["two values in one header", "1000, 2000", "5", undefined],
    ["an empty value", "", "", undefined],
  ])("%s", (_, limit, remaining, utilisation) => {
    expect(tokens(limit, remaining)?.utilisation).toBe(utilisation);
  });

  test.each([
    ["in the past", "2020-01-01T00:00:00Z"],
    ["ten years ahead", "2036-11-23T12:00:00Z"],
    ["unix seconds", String(NOW_S + 30)],
    ["no time at all", "soon"],
    ["a month of thirteen", "2026-13-41T12:00:00Z"],
  ])("a reset that is %s is dropped alone", (_, reset) => {
    expect(tokens("1000", "250", reset)).toEqual({ utilisation: 0.75 });
  });

  test("a reset with an offset is read", () => {
    expect(tokens("1000", "250", "2026-11-23T14:00:30.5+02:00")?.resetAtMs).toBe(NOW_MS + 30_500);
  });

  test("they go up and down with every answer, and hardly any of that is news", () => {
    const known = readKeyLimits(keyHeaders(300), "opus", NOW_MS);
    const told = (used: number, laterMs = 0) =>
      windowsMoved(
        known,
        readKeyLimits(keyHeaders(used, NOW_MS + 20_000 + laterMs), "opus", NOW_MS),
      );
    expect(told(390)).toBe(false);
    expect(told(210, 60_000)).toBe(false);
    expect(told(401)).toBe(true);
    expect(told(199)).toBe(true);
  });

  test("where much is used, a reset that moves on is news now and then, so that it goes on to count", () => {
    const known = readKeyLimits(keyHeaders(900), "opus", NOW_MS);
    const told = (laterMs: number) =>
      windowsMoved(
        known,
        readKeyLimits(keyHeaders(910, NOW_MS + 20_000 + laterMs), "opus", NOW_MS),
      );
    expect(told(10_000)).toBe(false);
    expect(told(31_000)).toBe(true);
  });

  test("two families side by side do not take turns in one memory", () => {
    const opus = readKeyLimits(keyHeaders(900), "opus", NOW_MS);
    const haiku = readKeyLimits(keyHeaders(0), "haiku", NOW_MS);
    const known = mergeWindows(opus, haiku, NOW_MS);
    expect(windowsMoved(known, opus)).toBe(false);
    expect(windowsMoved(known, haiku)).toBe(false);
  });
});

describe("the memory of windows", () => {
  const resetAtMs = NOW_MS + HOUR_S * 1000;

  test("a window or field that one answer lacks stays as it was", () => {
    const older = {
      "5h": { status: "allowed", utilisation: 0.1, resetAtMs },
      "7d": { utilisation: 0.2, resetAtMs },
    };
    expect(mergeWindows(older, { "5h": { utilisation: 0.3 } }, NOW_MS)).toEqual({
      "5h": { status: "allowed", utilisation: 0.3, resetAtMs },
      "7d": { utilisation: 0.2, resetAtMs },
    });
  });

  test.each([
    ["has ended", NOW_MS, NOW_MS + 5 * HOUR_S * 1000],
    ["is followed by a later one", resetAtMs, resetAtMs + 5 * HOUR_S * 1000],
  ])("nothing is left of a window that %s", (_, endedAtMs, nextResetAtMs) => {
    const old = {
      status: "allowed_warning",
      utilisation: 0.95,
      surpassedThreshold: 0.9,
      resetAtMs: endedAtMs,
    };
    const told = { utilisation: 0.01, resetAtMs: nextResetAtMs };
    expect(mergeWindows({ "5h": old }, { "5h": told }, NOW_MS)).toEqual({ "5h": told });
  });

  test("what is told without an end ends all the same", () => {
    const windows = mergeWindows({}, { "5h": { status: "allowed_warning" } }, NOW_MS);
    expect(isNearLimit(windows, 0.9, NOW_MS, "opus")).toBe(true);
    expect(isNearLimit(windows, 0.9, NOW_MS + 24 * HOUR_S * 1000, "opus")).toBe(false);
    const lied = mergeWindows({ "5h": { resetAtMs: 1 } }, { "5h": { utilisation: 1 } }, NOW_MS);
    expect(isNearLimit(lied, 0.9, NOW_MS, "opus")).toBe(true);
  });

  test("an account is near its limit by upstream's warning or by the threshold, while the window lasts", () => {
    const near = (state: WindowState, nowMs = NOW_MS) =>
      isNearLimit({ "5h": { resetAtMs, ...state } }, 0.8, nowMs, "opus");
    expect(near({ status: "allowed", utilisation: 0.79 })).toBe(false);
    expect(near({ status: "allowed", utilisation: 0.8 })).toBe(true);
    expect(near({ status: "allowed_warning", utilisation: 0.1 })).toBe(true);
    expect(near({ surpassedThreshold: 0.5 })).toBe(true);
    expect(near({ status: "allowed_warning", utilisation: 1 }, resetAtMs)).toBe(false);
    expect(isNearLimit({}, 0.8, NOW_MS, "opus")).toBe(false);
  });

  test.each([
    ["5h", "all"],
    ["7d", "all"],
    ["something_new", "all"],
    ["7d_opus", "opus"],
    ["7d-opus", "opus"],
    ["7d_sonnet", "sonnet"],
    ["7d_oi", "fable mythos"],
    ["5h_oi", "fable mythos"],
    ["tokens_haiku", "haiku"],
    ["requests_other", "other"],
    ["overage", "none"],
    ["grace-5h", "none"],
    ["slow", "none"],
  ])("the window %s counts for: %s", (name, families) => {
    const windows = { [name]: { utilisation: 0.9, resetAtMs } };
    const all = ["fable", "mythos", "opus", "sonnet", "haiku", "other"];
    const counted = all.filter((family) => isNearLimit(windows, 0.8, NOW_MS, family));
    const expected =
      families === "all" ? all : families.split(" ").filter((word) => word !== "none");
    expect(counted).toEqual(expected);
    const peaks = all.filter((family) => peakUtilisation(windows, NOW_MS, family) > 0);
    expect(peaks).toEqual(expected);
  });

  test("a window that has reset no longer counts as used", () => {
    const windows = {
      "5h": { utilisation: 0.9, resetAtMs: NOW_MS - 1 },
      "7d": { utilisation: 0.4, resetAtMs: NOW_MS + 1 },
    };
    expect(peakUtilisation(windows, NOW_MS, "opus")).toBe(0.4);
  });
});

describe("what an answer means", () => {
  const unified = (claim: string) => ({
    "anthropic-ratelimit-unified-reset": String(NOW_S + HOUR_S),
    "anthropic-ratelimit-unified-representative-claim": claim,
  });
  const errorBody = (message: string, details?: object) =>
    JSON.stringify({ type: "error", error: { type: "t", message, details } });
  const untilMs = NOW_MS + HOUR_S * 1000;
  const cases: [string, number, Record<string, string>, string, Verdict][] = [
    ["200", 200, {}, "", { kind: "served" }],
    ["307", 307, {}, "", { kind: "served" }],
    ["400", 400, {}, errorBody("prompt is too long"), { kind: "passed" }],
    ["404", 404, {}, errorBody("model"), { kind: "passed" }],
    ["413", 413, {}, "", { kind: "passed" }],
    ["401", 401, {}, "", { kind: "credential_rejected" }],
    [
      "402",
      402,
      {},
      errorBody("pay"),
      { kind: "spend_limited", untilMs: null, detail: "Anthropic asks for a payment (402)." },
    ],
    [
      "429 of the 5-hour window",
      429,
      unified("five_hour"),
      "",
      { kind: "rate_limited", scope: "account", untilMs },
    ],
    [
      "429 of the week",
      429,
      unified("seven_day"),
      "",
      { kind: "rate_limited", scope: "account", untilMs },
    ],
    [
      "429 of one family's week",
      429,
      unified("seven_day_opus"),
      "",
      { kind: "rate_limited", scope: "family", untilMs },
    ],
    [
      "429 with retry-after only",
      429,
      { "retry-after": "30" },
      "",
      { kind: "rate_limited", scope: "family", untilMs: NOW_MS + 30_000 },
    ],
    [
      "429 without any header",
      429,
      {},
      errorBody("Error"),
      { kind: "rate_limited", scope: "family", untilMs: null },
    ],
    [
      "429 whose reset lies",
      429,
      { "anthropic-ratelimit-unified-reset": "1" },
      "",
      { kind: "rate_limited", scope: "family", untilMs: null },
    ],
    ["429 for extra usage", 429, {}, errorBody("Extra usage is required"), { kind: "passed" }],
    [
      "429 of the monthly spend limit",
      429,
      {},
      errorBody("limit", { error_code: "enforced_spend_limit_reached" }),
      {
        kind: "spend_limited",
        untilMs: Date.UTC(2026, 11, 1),
        detail: "The organisation's monthly spend limit is reached.",
      },
    ],
    [
      "400 credit too low",
      400,
      {},
      errorBody("Your credit balance is too low to access the Anthropic API."),
      {
        kind: "spend_limited",
        untilMs: null,
        detail: "Your credit balance is too low to access the Anthropic API.",
      },
    ],
    [
      "400 own spend limit, with its end",
      400,
      {},
      errorBody(
        "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
      ),
      {
        kind: "spend_limited",
        untilMs: Date.UTC(2026, 11, 1),
        detail:
          "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
      },
    ],
    [
      "403 organisation disabled",
      403,
      {},
      errorBody("This organization has been disabled."),
      { kind: "org_disabled", detail: "This organization has been disabled." },
    ],
    ["403 otherwise", 403, {}, errorBody("not allowed"), { kind: "passed" }],
    [
      "429 of a burst, while every window still allows requests",
      429,
      {
        ...unified("five_hour"),
        "anthropic-ratelimit-unified-status": "allowed",
        "retry-after": "3",
      },
      "",
      { kind: "rate_limited", scope: "family", untilMs: NOW_MS + 3_000 },
    ],
    [
      "400 that repeats what a client sent",
      400,
      {},
      errorBody("Unexpected value(s) `credit balance is too low` for the `anthropic-beta` header"),
      { kind: "passed" },
    ],
    [
      "403 that repeats what a client sent",
      403,
      {},
      errorBody("Not allowed: this organization has been disabled"),
      { kind: "passed" },
    ],
    ["525 of what stands in front", 525, {}, "", { kind: "server_error", status: 525 }],
    ["500", 500, {}, "", { kind: "server_error", status: 500 }],
    ["529", 529, {}, "", { kind: "overloaded" }],
    ["418", 418, {}, "not even JSON", { kind: "passed" }],
  ];
  test.each(cases)("%s", (_, status, headers, body, verdict) => {
    expect(judge({ status, headers: new Headers(headers), errorBody: body }, NOW_MS)).toEqual(
      verdict,
    );
  });

  test.each([
    [{ kind: "server_error", status: 500 }, "false", true],
    [{ kind: "server_error", status: 500 }, " FALSE ", true],
    [{ kind: "server_error", status: 500 }, "true", false],
    [{ kind: "server_error", status: 500 }, null, false],
    [{ kind: "overloaded" }, "false", true],
    [{ kind: "credential_rejected" }, "false", false],
    [{ kind: "spend_limited", untilMs: null, detail: "" }, "false", false],
    [{ kind: "rate_limited", scope: "account", untilMs: null }, "false", false],
  ] as [Verdict, string | null, boolean][])(
    "%j with x-should-retry %j: trying again is forbidden: %j",
    (verdict, value, forbidden) => {
      const headers = new Headers(value === null ? {} : { "x-should-retry": value });
      expect(forbidsRetry(verdict, headers)).toBe(forbidden);
    },
  );

  test("an error event after a 200 means what the refusal without a time would", () => {
    const refused = (status: number) =>
      judge({ status, headers: new Headers(), errorBody: "" }, NOW_MS);
    expect(judgeStreamError("rate_limit_error")).toEqual(refused(429));
    expect(judgeStreamError("overloaded_error")).toEqual(refused(529));
    for (const other of ["api_error", "invalid_request_error", "authentication_error", "x", null]) {
      expect(judgeStreamError(other)).toBeNull();
    }
  });

  test("what is the request's own doing is never tried elsewhere", () => {
    expect(goesToClient({ kind: "passed" })).toBe(true);
    expect(goesToClient({ kind: "org_disabled", detail: "" })).toBe(true);
    expect(goesToClient({ kind: "served" })).toBe(true);
    expect(goesToClient({ kind: "overloaded" })).toBe(false);
  });
});

function stateOf(patch: Partial<AccountState> = {}): AccountState {
  return {
    ...LATER_SETTINGS,
    id: "a",
    name: "a",
    description: "",
    tags: [],
    priority: 50,
    enabled: true,
    createdAtMs: 0,
    profile: null,
    trouble: null,
    coolDowns: [],
    windows: {},
    rejections: 0,
    breaker: { failures: 0, firstFailureAtMs: 0, openings: 0 },
    refresh: { failures: 0, notBeforeMs: 0, lastError: null },
    revision: 1,
    ...patch,
  };
}

describe("what an account learns", () => {
  const lesson = (verdict: Verdict, atMs = NOW_MS, family = "opus") => ({
    verdict,
    family,
    windows: {},
    atMs,
  });
  const bare: Verdict = { kind: "rate_limited", scope: "family", untilMs: null };

  test("a 429 without a time rests one family for 15 s, doubling to 5 min, never hours", () => {
    let state = stateOf();
    let atMs = NOW_MS;
    const rests: number[] = [];
    for (let strike = 0; strike < 8; strike += 1) {
      state = learn(state, lesson(bare, atMs));
      const until = state.coolDowns[0]?.untilMs ?? 0;
      rests.push((until - atMs) / 1000);
      atMs = until + 1;
    }
    expect(rests).toEqual([15, 30, 60, 120, 240, 300, 300, 300]);
    expect(state.coolDowns.map(({ scope }) => scope)).toEqual(["opus"]);
  });

  test("a hundred refusals of requests already under way are one strike", () => {
    let state = learn(stateOf(), lesson(bare));
    const first = state;
    for (let index = 0; index < 100; index += 1) state = learn(state, lesson(bare, NOW_MS + index));
    expect(state).toBe(first);
  });

  test("a quiet while forgets the strikes", () => {
    const once = learn(stateOf(), lesson(bare));
    const later = NOW_MS + 60 * 60_000;
    const again = learn(once, lesson(bare, later));
    expect(again.coolDowns[0]?.untilMs).toBe(later + 15_000);
  });

  test("a stated reset holds for its scope until that time, and passes by itself", () => {
    const untilMs = NOW_MS + 5 * 60 * 60_000;
    const state = learn(stateOf(), lesson({ kind: "rate_limited", scope: "account", untilMs }));
    const row = { ...rowOf("a"), coolDowns: state.coolDowns };
    expect(standingOf(row, "haiku", untilMs - 1, false)).toMatchObject({ kind: "cooling_down" });
    expect(standingOf(row, "haiku", untilMs, false)).toEqual({ kind: "ready" });
  });

  test("an answer served meanwhile does not end a stated rest", () => {
    const untilMs = NOW_MS + 60_000;
    const resting = learn(stateOf(), lesson({ kind: "rate_limited", scope: "family", untilMs }));
    const after = learn(resting, lesson({ kind: "served" }, NOW_MS + 1));
    expect(after.coolDowns).toEqual(resting.coolDowns);
  });

  test("one failure never rests an account; five within half a minute do, for seconds", () => {
    let state = stateOf();
    for (let failure = 0; failure < 4; failure += 1) {
      state = learn(state, lesson({ kind: "server_error", status: 500 }, NOW_MS + failure));
      expect(state.coolDowns).toEqual([]);
    }
    state = learn(state, lesson({ kind: "unreachable", detail: "connection" }, NOW_MS + 5));
    expect(state.coolDowns).toMatchObject([{ scope: "*", untilMs: NOW_MS + 5 + 10_000 }]);
  });

  test("failures spread over time do not add up, and a success starts the count anew", () => {
    let state = stateOf();
    for (let failure = 0; failure < 20; failure += 1) {
      state = learn(
        state,
        lesson({ kind: "server_error", status: 500 }, NOW_MS + failure * 10_000),
      );
    }
    expect(state.coolDowns).toEqual([]);
    for (let round = 0; round < 20; round += 1) {
      const atMs = NOW_MS + 300_000 + round;
      state = learn(state, lesson({ kind: "server_error", status: 500 }, atMs));
      state = learn(state, lesson({ kind: "served" }, atMs));
    }
    expect(state.coolDowns).toEqual([]);
  });

  test("an opened breaker opens again at the first failure after its rest, for twice as long", () => {
    const failure: Verdict = { kind: "unreachable", detail: "connection" };
    let state = stateOf();
    let atMs = NOW_MS;
    for (let count = 0; count < 5; count += 1) state = learn(state, lesson(failure, atMs));
    const rests: number[] = [];
    for (let opening = 0; opening < 6; opening += 1) {
      const untilMs = state.coolDowns[0]?.untilMs ?? 0;
      rests.push((untilMs - atMs) / 1000);
      // What was under way when it opened says nothing new.
      expect(learn(state, lesson(failure, untilMs - 1))).toBe(state);
      atMs = untilMs;
      state = learn(state, lesson(failure, atMs));
    }
    expect(rests).toEqual([10, 20, 40, 80, 120, 120]);
    expect(state.breaker.openings).toBe(7);
  });

  test("a success after the rest closes the breaker: it then takes five failures again", () => {
    const failure: Verdict = { kind: "server_error", status: 503 };
    let state = stateOf();
    for (let count = 0; count < 5; count += 1) state = learn(state, lesson(failure));
    const untilMs = state.coolDowns[0]?.untilMs ?? 0;
    state = learn(state, lesson({ kind: "served" }, untilMs + 1));
    expect(state.breaker).toEqual({ failures: 0, firstFailureAtMs: 0, openings: 0 });
    for (let count = 0; count < 4; count += 1) {
      state = learn(state, lesson(failure, untilMs + 2 + count));
      expect(state.coolDowns.filter((rest) => rest.untilMs > untilMs + 2)).toEqual([]);
    }
  });

  test("529 asks for seconds only", () => {
    const state = learn(stateOf(), lesson({ kind: "overloaded" }));
    expect(state.coolDowns).toMatchObject([{ scope: "opus", untilMs: NOW_MS + 2_000 }]);
  });

  test("money troubles last until the stated time, or until a person acts", () => {
    const untilMs = NOW_MS + 1_000;
    const limited = learn(stateOf(), lesson({ kind: "spend_limited", untilMs, detail: "d" }));
    const row = { ...rowOf("a"), trouble: limited.trouble };
    expect(standingOf(row, "opus", NOW_MS, false).kind).toBe("trouble");
    expect(standingOf(row, "opus", untilMs, false).kind).toBe("ready");
    const forever = learn(stateOf(), lesson({ kind: "org_disabled", detail: "d" }));
    const gone = { ...rowOf("a"), trouble: forever.trouble };
    expect(standingOf(gone, "opus", NOW_MS * 2, false).kind).toBe("trouble");
  });

  test("nothing learnt is nothing written", () => {
    const state = stateOf({ windows: { "5h": { utilisation: 0.5 } } });
    expect(learn(state, lesson({ kind: "served" }))).toBe(state);
    expect(
      learn(state, { ...lesson({ kind: "served" }), windows: { "5h": { utilisation: 0.501 } } }),
    ).toBe(state);
  });
});
