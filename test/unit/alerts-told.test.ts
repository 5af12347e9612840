import { describe, expect, test } from "vitest";
import { nextSummaryMs } from "../../durable-objects/alerts/summary.ts";
import { noSums } from "../../durable-objects/usage-ledger/sums.ts";
import type { AccountTrouble, CoolDown } from "../../src/accounts/roster-row.ts";
import { pictureOf } from "../../src/alerts/account-incidents.ts";
import type { Occurrence } from "../../src/alerts/alert.ts";
import { shapeOf } from "../../src/alerts/formats.ts";
import { readSummary } from "../../src/alerts/summary-figures.ts";
import { incidentMessage, summaryMessage, testMessage } from "../../src/alerts/words.ts";
import { rowOf } from "./roster-rows.ts";

describe("words", () => {
  const occurrence = (id: string, patch: Partial<Occurrence> = {}): Occurrence => ({
    ...{ id: `account:${id}`, kind: "account_unusable", cause: "org_disabled" },
    ...{ subject: { type: "account", id, name: id }, reason: "switched off." },
    ...{ sinceMs: 0, untilMs: 60_000, state: "raised", kinds: [], atMs: 0 },
    ...patch,
  });
  const linesOf = (first: Occurrence, ...others: Occurrence[]) =>
    incidentMessage("id", [first, ...others], null, 0);

  test("say since when, and until when where that is known", () => {
    expect(linesOf(occurrence("a")).lines).toEqual([
      '- account "a": switched off; since 1970-01-01 00:00 UTC, until 1970-01-01 00:01 UTC',
    ]);
    expect(linesOf(occurrence("a", { untilMs: null })).lines).toEqual([
      '- account "a": switched off; since 1970-01-01 00:00 UTC',
    ]);
  });

  test("name fifteen one by one and count the rest; machines get all of them", () => {
    const all = Array.from({ length: 20 }, (_, index) => occurrence(`account ${index}`));
    const { lines, about, title } = linesOf(occurrence("first"), ...all);
    expect(lines).toHaveLength(16);
    expect(lines.at(-1)).toBe("and 6 more");
    expect(about).toHaveLength(21);
    expect(title).toBe("Claude relay: 21 accounts cannot be used");
  });

  test("bound the reason that upstream gave", () => {
    const { lines, about } = linesOf(occurrence("a", { reason: "x".repeat(5_000) }));
    expect(lines[0]?.length).toBeLessThan(400);
    expect(about[0]?.reason).toHaveLength(300);
  });

  test("say what to do for each cause, and nothing where it is over", () => {
    const both = linesOf(occurrence("a"), occurrence("b", { cause: "spend_limited" }));
    expect(both.advice).toMatch(/switched the organisation off.*add credit/);
    const over = linesOf(occurrence("a", { state: "recovered", atMs: 120_000 }));
    expect(over.advice).toBe("");
    expect(over.lines[0]).toContain("it began 1970-01-01 00:00 UTC and ended 1970-01-01 00:02 UTC");
  });
});

describe("a summary", () => {
  const total = {
    ...{ ...noSums(), requests: 10, completed: 7, unsettled: 1, cost_nano: 2_500_000_000 },
    ...{ input_tokens: 1, output_tokens: 2, read_tokens: 3 },
    ...{ write_5m_tokens: 4, write_1h_tokens: 5 },
  };
  const asked: unknown[] = [];
  const read = () =>
    readSummary(
      {
        ledger: {
          total: async (range) => {
            asked.push(range);
            return total;
          },
          keySums: async (query) => {
            asked.push(query);
            return [
              { ...noSums(), key_id: "k1", requests: 8, cost_nano: 2_000_000_000 },
              { ...noSums(), key_id: "k2", requests: 2, cost_nano: 500_000_000 },
            ];
          },
        },
        accounts: async () => [
          { row: rowOf("a"), standing: { kind: "ready" } },
          { row: rowOf("b"), standing: { kind: "trouble", trouble: troubleOf("org_disabled") } },
          { row: rowOf("c"), standing: { kind: "disabled" } },
        ],
        keyNames: async (ids) =>
          new Map(ids.filter((id) => id === "k1").map((id) => [id, "alice"])),
      },
      0,
      86_400_000,
    );

  test("counts what the ledger counts, in dollars, with the keys that cost most by name", async () => {
    expect(await read()).toEqual({
      ...{ from: "1970-01-01T00:00:00.000Z", to: "1970-01-02T00:00:00.000Z" },
      ...{ requests: 10, failed: 2, unsettled: 1, inputTokens: 1, outputTokens: 2 },
      ...{ cacheReadTokens: 3, cacheWriteTokens: 9, costDollars: 2.5 },
      topKeys: [
        { id: "k1", name: "alice", requests: 8, costDollars: 2 },
        { id: "k2", name: "k2", requests: 2, costDollars: 0.5 },
      ],
      accounts: [
        { id: "a", name: "a", standing: "ready" },
        { id: "b", name: "b", standing: "org_disabled" },
        { id: "c", name: "c", standing: "disabled" },
      ],
    });
    expect(asked).toEqual([
      { fromMs: 0, toMs: 86_400_000 },
      expect.objectContaining({ fromMs: 0, toMs: 86_400_000, order: { by: "cost" }, limit: 5 }),
    ]);
  });

  test("tells people the same, and machines the figures", async () => {
    const figures = await read();
    const message = summaryMessage("id", figures, { from: "x", to: "y" }, null, 0);
    expect(message.lines).toEqual([
      "Requests: 10, of which 2 failed and 1 ended unseen",
      "Tokens: 1 in, 2 out, 9 written to and 3 read from the cache",
      "Cost: $2.50",
      "Keys that cost most:",
      "- alice: $2.00, 8 requests",
      "- k2: $0.50, 2 requests",
      "Accounts: 1 of 3 ready",
      "- b: org disabled",
      "- c: disabled",
    ]);
    const { body } = await shapeOf("json", "https://h.example/", null, message, 0);
    expect(JSON.parse(body).summary).toEqual(figures);
    const other = await shapeOf(
      "json",
      "https://h.example/",
      null,
      testMessage("id", "name", null, 0),
      0,
    );
    expect(JSON.parse(other.body)).not.toHaveProperty("summary");
  });
});

function troubleOf(kind: AccountTrouble["kind"], untilMs: number | null = null): AccountTrouble {
  return { kind, detail: "upstream's words", sinceMs: 0, untilMs };
}

describe("what is wrong with the accounts", () => {
  const rest = (scope: string, sinceMs: number, untilMs: number): CoolDown => ({
    ...{ scope, kind: "rate_limited", sinceMs, untilMs, reason: "rate limited" },
  });

  test("is of two kinds, with upstream's words and its end", () => {
    const rows = [
      rowOf("a", { trouble: troubleOf("needs_relogin") }),
      rowOf("b", { trouble: troubleOf("spend_limited", 5_000) }),
      rowOf("c"),
    ];
    const { incidents, watched, changesAtMs } = pictureOf(rows, 1_000, true);
    expect(incidents.map(({ id, kind, cause }) => [id, kind, cause])).toEqual([
      ["account:a", "account_needs_relogin", "needs_relogin"],
      ["account:b", "account_unusable", "spend_limited"],
    ]);
    expect(incidents[1]).toMatchObject({ reason: "upstream's words", untilMs: 5_000 });
    expect([watched, changesAtMs]).toEqual([["a", "b", "c"], 5_000]);
    expect(pictureOf(rows, 5_000, true).incidents.map(({ id }) => id)).toEqual(["account:a"]);
  });

  test("a refused credential is well only once an answer has shown it, whatever its rest", () => {
    const rows = [rowOf("a", { trouble: troubleOf("credential_rejected", 5_000) }), rowOf("b")];
    const ids = (nowMs: number) => pictureOf(rows, nowMs, true).incidents.map(({ id }) => id);
    expect([ids(1_000), ids(5_000)]).toEqual([["account:a"], ["account:a"]]);
  });

  test("is not asked of accounts that are switched off or have expired", () => {
    const trouble = troubleOf("org_disabled");
    const rows = [
      rowOf("off", { trouble, enabled: false }),
      rowOf("over", { trouble, expiresAtMs: 1_000 }),
      rowOf("well", { expiresAtMs: 9_000 }),
    ];
    const picture = pictureOf(rows, 1_000, true);
    expect(picture).toEqual({ incidents: [], watched: ["well"], changesAtMs: 9_000 });
    expect(pictureOf([], 0, true)).toEqual({ incidents: [], watched: [], changesAtMs: null });
    // None that is wanted: then none is missed.
    expect(pictureOf(rows.slice(0, 1), 1_000, true).incidents).toEqual([]);
  });

  test("a pool that is exhausted says why, since the last one failed, and when the first comes back", () => {
    const rows = [
      rowOf("a", { coolDowns: [rest("*", 1_000, 90_000)] }),
      rowOf("b", { coolDowns: [rest("*", 2_000, 70_000)] }),
      rowOf("c", { expiresAtMs: 3_000 }),
      rowOf("d", { trouble: troubleOf("needs_relogin") }),
    ];
    const { incidents, changesAtMs } = pictureOf(rows, 4_000, true);
    expect(incidents.at(-1)).toEqual({
      ...{ id: "pool:*", kind: "accounts_exhausted", cause: "exhausted" },
      subject: { type: "pool", id: "*", name: "all accounts" },
      reason: "2 × rate limited, 1 × expired, 1 × needs relogin",
      ...{ sinceMs: 3_000, untilMs: 70_000 },
    });
    expect(changesAtMs).toBe(70_000);
  });

  test("a pool that is exhausted for one family is told for that, and for all only where it is all", () => {
    const opus = rest("opus", 0, 60_000);
    const names = (rows: Parameters<typeof pictureOf>[0]) =>
      pictureOf(rows, 1_000, true).incidents.map(({ subject }) => subject.name);
    expect(names([rowOf("a", { coolDowns: [opus] })])).toEqual(["all accounts, for opus models"]);
    expect(names([rowOf("a", { coolDowns: [opus] }), rowOf("b")])).toEqual([]);
    expect(names([rowOf("a", { coolDowns: [opus, rest("*", 0, 60_000)] })])).toEqual([
      "all accounts",
    ]);
  });

  test("an account whose breaker opened is missed until a trial has worked", () => {
    const halfOpen = rowOf("a", { coolDowns: [rest("*", 0, 60_000)], isHalfOpen: true });
    expect(pictureOf([halfOpen], 70_000, true).incidents).toMatchObject([
      { id: "pool:*", untilMs: 70_000 },
    ]);
    expect(pictureOf([{ ...halfOpen, isHalfOpen: false }], 70_000, true).incidents).toEqual([]);
  });

  test("an account with a proxy is missed only where there is no forward proxy", () => {
    const rows = [rowOf("a", { hasProxy: true })];
    expect(pictureOf(rows, 0, false).incidents).toMatchObject([{ reason: "1 × no forward proxy" }]);
    expect(pictureOf(rows, 0, true).incidents).toEqual([]);
  });
});

test("a pool is exhausted only while nobody can serve for a while", () => {
  const rest = {
    scope: "*",
    kind: "rate_limited",
    sinceMs: 0,
    untilMs: 60_000,
    reason: "r",
  } as const;
  const resting = { ...rowOf("a"), coolDowns: [rest] };
  const at = (rows: Parameters<typeof pictureOf>[0], nowMs: number) =>
    pictureOf(rows, nowMs, true).incidents.map(({ id }) => id);
  expect(at([resting], 1_000)).toEqual(["pool:*"]);
  expect(at([resting, rowOf("b")], 1_000)).toEqual([]);
  expect(at([resting], 60_000)).toEqual([]);
  expect(at([{ ...resting, coolDowns: [{ ...rest, untilMs: 10_000 }] }], 1_000)).toEqual([]);
  expect(at([{ ...resting, enabled: false }], 1_000)).toEqual([]);
  expect(at([{ ...resting, coolDowns: [{ ...rest, scope: "opus" }] }], 1_000)).toEqual([
    "pool:opus",
  ]);
});

test("the summary keeps its hour when the clocks change", () => {
  const time = { hour: 8, timeZone: "Europe/Berlin" };
  const next = (at: string) => new Date(nextSummaryMs(time, Date.parse(at))).toISOString();
  expect(next("2027-03-27T08:00:00Z")).toBe("2027-03-28T06:00:00.000Z");
  expect(next("2027-03-28T06:00:00Z")).toBe("2027-03-29T06:00:00.000Z");
  expect(next("2027-01-01T06:59:00Z")).toBe("2027-01-01T07:00:00.000Z");
});
