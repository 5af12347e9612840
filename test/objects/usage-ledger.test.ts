import { reset } from "cloudflare:test";
import { afterEach, describe, expect, test } from "vitest";
import type { LedgerFact, RecentQuery } from "../../durable-objects/usage-ledger/contract.ts";
import { Ledger } from "../../durable-objects/usage-ledger/ledger.ts";
import {
  DAY_MS,
  FIRST_BYTE_COLUMNS,
  HOUR_MS,
  type Rollup,
  SUM_COLUMNS,
} from "../../durable-objects/usage-ledger/schema.ts";
import { noSums } from "../../durable-objects/usage-ledger/sums.ts";
import { dayStarts } from "../../src/ledger/time-zone.ts";
import { newRequestId } from "../../src/request-id.ts";
import {
  ALL,
  factOf,
  KEEP,
  recentQuery,
  SECOND_MS,
  type Shelf,
  START_MS,
  withLedger,
} from "./ledger-bench.ts";

afterEach(() => reset());

describe("sums", () => {
  const tidied = async ({ ledger, clock }: Shelf, atMs: number) => {
    clock.nowMs = atMs;
    await ledger.alarm();
  };
  const rows = ({ sql }: Shelf, table: Rollup) =>
    sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`).one().n;

  test("stay the same when days are folded, and what comes late is in the day too", () =>
    withLedger(async (shelf) => {
      const { ledger } = shelf;
      const facts = Array.from({ length: 50 }, (_, nth) =>
        factOf(START_MS + nth * HOUR_MS, {
          model: `m${nth % 3}`,
          accountId: nth % 4 === 0 ? null : "a",
        }),
      );
      await ledger.take({ keyId: "k1", facts: facts.slice(0, 30) });
      await ledger.take({ keyId: "k2", facts: facts.slice(30) });
      const range = {
        fromMs: START_MS - DAY_MS - (START_MS % HOUR_MS),
        toMs: START_MS + 9 * DAY_MS,
      };
      const look = () => ({
        byModel: ledger.sums(range, ALL, ["model"]).sort(byName),
        ofKey: ledger.sums(range, { ...ALL, keyId: "k2" }, ["account_id", "model"]).sort(byName),
        ofAccount: ledger.sums(range, { ...ALL, accountId: "a", model: "m1" }, []),
        keys: ledger.keySums({ ...range, filter: ALL, order: { by: "cost" }, limit: 9 }),
      });
      const byName = (left: { model: string | null }, right: { model: string | null }) =>
        JSON.stringify(left).localeCompare(JSON.stringify(right));
      const before = look();
      expect(before.keys.map(({ key_id, requests }) => [key_id, requests])).toEqual([
        ["k1", 30],
        ["k2", 20],
      ]);
      await tidied(shelf, START_MS + 8 * DAY_MS);
      expect(rows(shelf, "days")).toBeGreaterThan(3);
      expect(look()).toEqual(before);
      const late = factOf(START_MS, { model: "m1" });
      await ledger.take({ keyId: "k2", facts: [late] });
      const [ofAccount] = ledger.sums(range, { ...ALL, accountId: "a", model: "m1" }, []);
      expect(ofAccount?.sums.requests).toBe((before.ofAccount[0]?.sums.requests ?? 0) + 1);
      await tidied(shelf, START_MS + 9 * DAY_MS);
      expect(ledger.sums(range, { ...ALL, keyId: "k2" }, [])[0]?.sums.requests).toBe(21);
    }));

  test("by hour and by key's day end with their retention; by day over all keys they stay", () =>
    withLedger(
      async (shelf) => {
        const { ledger } = shelf;
        await ledger.take({ keyId: "k", facts: [factOf(START_MS)] });
        await tidied(shelf, START_MS + 2 * DAY_MS);
        expect([rows(shelf, "hours"), rows(shelf, "key_hours")]).toEqual([1, 1]);
        await tidied(shelf, START_MS + 12 * DAY_MS);
        expect([rows(shelf, "hours"), rows(shelf, "key_hours")]).toEqual([0, 0]);
        const dayMs = START_MS - (START_MS % DAY_MS);
        const range = { fromMs: dayMs, toMs: dayMs + DAY_MS };
        expect(ledger.sums(range, { ...ALL, keyId: "k" }, [])[0]?.sums.requests).toBe(1);
        await tidied(shelf, START_MS + 22 * DAY_MS);
        expect([rows(shelf, "days"), rows(shelf, "key_days")]).toEqual([1, 0]);
        expect(ledger.sums({ fromMs: 0, toMs: START_MS + 30 * DAY_MS }, ALL, [])).toHaveLength(1);
      },
      { hourlyDays: 10, dailyDays: 20 },
    ));

  test("survive one absurd request, and a thousand", () =>
    withLedger(async ({ ledger }) => {
      const facts = Array.from({ length: 2_000 }, (_, nth) =>
        factOf(START_MS, {
          model: `m${nth}`,
          costNanoDollars: Number.MAX_SAFE_INTEGER,
          tokens: { input: 1e12, output: 1e12, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0 },
        }),
      );
      for (let at = 0; at < facts.length; at += 100) {
        await ledger.take({ keyId: `k${at}`, facts: facts.slice(at, at + 100) });
      }
      const [whole] = ledger.sums({ fromMs: 0, toMs: START_MS + DAY_MS }, ALL, []);
      expect(whole?.sums).toMatchObject({ requests: 2_000, input_tokens: 2e15 });
      expect(whole?.sums.cost_nano).toBeGreaterThan(1e19);
    }));

  test("count first bytes in their buckets, the slowest in the last", () =>
    withLedger(async ({ ledger }) => {
      const times = [0, 100, 101, 51_200, 51_201, 900_000, null];
      const facts = times.map((firstByteMs) => factOf(START_MS, { firstByteMs }));
      await ledger.take({ keyId: "k", facts });
      const [whole] = ledger.sums({ fromMs: 0, toMs: START_MS + DAY_MS }, ALL, []);
      const histogram = FIRST_BYTE_COLUMNS.map((column) => whole?.sums[column]);
      expect(histogram).toEqual([2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }));

  test("of days in a time zone begin at its midnight, and change with summer time", () =>
    withLedger(async ({ ledger }) => {
      const hours = Array.from(
        { length: 24 * 5 },
        (_, nth) => Date.UTC(2027, 2, 26) + nth * HOUR_MS,
      );
      await ledger.take({ keyId: "k", facts: hours.map((atMs) => factOf(atMs)) });
      const perDay = (timeZone: string) => {
        const starts = dayStarts(timeZone, Date.UTC(2027, 2, 26, 12), Date.UTC(2027, 2, 30, 22));
        const [fromMs = 0] = starts;
        const trend = ledger.trend({
          filter: ALL,
          starts,
          toMs: Date.UTC(2027, 2, 31),
          utcDays: timeZone === "UTC",
        });
        return [new Date(fromMs).toISOString(), ...trend.map(({ requests }) => requests)];
      };
      expect(perDay("UTC")).toEqual(["2027-03-26T00:00:00.000Z", 24, 24, 24, 24, 24]);
      // The night to 28 March has an hour less in Berlin.
      expect(perDay("Europe/Berlin")).toEqual(["2027-03-25T23:00:00.000Z", 23, 24, 23, 24, 26]);
      // Midnight in Kolkata is half past six in the evening: the hour it falls into stays before it.
      expect(perDay("Asia/Kolkata")).toEqual(["2027-03-25T19:00:00.000Z", 19, 24, 24, 24, 24, 5]);
    }));
});

describe("sums over all that was ever counted", () => {
  const take = (ledger: Ledger, ...facts: LedgerFact[]) => ledger.take({ keyId: "k", facts });
  /** In any order, by account and model. */
  const lifetimeOf = (ledger: Ledger) =>
    new Map(ledger.lifetime().map(({ accountId, model, sums }) => [`${accountId}/${model}`, sums]));

  test("are the same carried on in memory and read anew, over folding, pruning and late facts", () =>
    withLedger(
      async ({ ledger, clock, storage, keep }) => {
        const model = "claude-opus-5";
        const fresh = () =>
          new Ledger(
            storage,
            () => clock.nowMs,
            () => keep,
          );
        await take(ledger, factOf(clock.nowMs, { model }));
        expect(lifetimeOf(ledger).get("a/claude-opus-5")?.requests).toBe(1);
        const firstDayMs = clock.nowMs;
        for (let day = 0; day < 6; day += 1) {
          clock.nowMs += DAY_MS;
          await take(ledger, factOf(clock.nowMs, { model }), factOf(firstDayMs, { model }));
          await ledger.alarm();
        }
        await take(ledger, factOf(clock.nowMs, { model, accountId: null, outcome: "refused" }));
        expect(ledger.reach().firstHourMs).toBeGreaterThan(firstDayMs);
        const carried = lifetimeOf(ledger);
        expect(carried.get("a/claude-opus-5")).toMatchObject({ requests: 13, output_tokens: 26 });
        expect(carried.get("/claude-opus-5")).toMatchObject({ requests: 1, refused: 1 });
        expect(lifetimeOf(fresh())).toEqual(carried);
      },
      { hourlyDays: 2 },
    ));

  test("count a batch once, and nothing of one that could not be taken", () =>
    withLedger(async ({ ledger, sql }) => {
      expect(ledger.lifetime()).toEqual([]);
      const facts = [factOf(START_MS), factOf(START_MS)];
      sql.exec("ALTER TABLE blocks RENAME TO elsewhere");
      await expect(take(ledger, ...facts)).rejects.toThrow();
      expect(ledger.lifetime()).toEqual([]);
      sql.exec("ALTER TABLE elsewhere RENAME TO blocks");
      await take(ledger, ...facts);
      await take(ledger, ...facts);
      expect(lifetimeOf(ledger).get("a/other")?.requests).toBe(2);
    }));

  test("go down in nothing but what was called unsettled, when that is put right", () =>
    withLedger(async ({ ledger }) => {
      const lost = factOf(START_MS, {
        ...{ state: "unsettled", outcome: null, accountId: null, costNanoDollars: 0 },
        ...{ firstByteMs: null, durationMs: null },
        tokens: { input: 0, output: 0, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0 },
      });
      await take(ledger, lost);
      expect(lifetimeOf(ledger).get("/other")).toMatchObject({ requests: 1, unsettled: 1 });
      const found = factOf(START_MS, { id: lost.request.id });
      await take(ledger, { ...found, corrects: true });
      expect(lifetimeOf(ledger).get("/other")).toEqual(noSums());
      expect(lifetimeOf(ledger).get("a/other")).toMatchObject({ completed: 1, unsettled: 0 });
    }));

  test("have no more models than the price table, whatever names clients invent", () =>
    withLedger(async ({ ledger }) => {
      const invented = Array.from({ length: 300 }, (_, nth) =>
        factOf(START_MS, { model: `claude-${nth}` }),
      );
      const dated = factOf(START_MS, { model: "x", answeredModel: "claude-opus-4-1-20250805" });
      await take(ledger, ...invented, dated);
      expect([...lifetimeOf(ledger)].map(([name, { requests }]) => [name, requests])).toEqual([
        ["a/other", 300],
        ["a/claude-opus-4-1", 1],
      ]);
    }));
});

describe("recent requests", () => {
  test("come newest first in pages with none lost and none twice, though batches overlap", () =>
    withLedger(async ({ ledger }) => {
      const facts = Array.from({ length: 300 }, (_, nth) =>
        factOf(START_MS + ((nth * 7_919) % 300) * 40, {
          outcome: nth % 9 ? "completed" : "truncated",
        }),
      );
      for (let at = 0; at < 300; at += 10) {
        const batch = facts.slice(at, at + 10);
        await ledger.take({ keyId: `k${(at / 10) % 3}`, facts: batch });
      }
      const all = facts
        .map(({ request }) => request.id)
        .sort()
        .reverse();
      const paged = (patch: Partial<RecentQuery>) => {
        const ids: string[] = [];
        for (;;) {
          const page = ledger.recent(
            recentQuery({ limit: 7, before: ids.at(-1) ?? null, ...patch }),
          );
          if (page.length === 0) return ids;
          ids.push(...page.map(({ id }) => id));
        }
      };
      expect(paged({})).toEqual(all);
      const truncated = facts.filter(({ request }) => request.outcome === "truncated");
      expect(paged({ outcome: "truncated" })).toEqual(
        truncated
          .map(({ request }) => request.id)
          .sort()
          .reverse(),
      );
      expect(paged({ keyId: "k1" })).toHaveLength(100);
      expect(paged({ model: "other" })).toEqual([]);
      expect(paged({ accountId: "a", keyId: "k2", outcome: "truncated" }).length).toBeGreaterThan(
        5,
      );
      for (const id of all.slice(0, 20)) expect(ledger.find(id)?.id).toBe(id);
      expect(ledger.find(newRequestId(START_MS))).toBeNull();
      expect(ledger.find("no id")).toBeNull();
    }));

  test("are bounded in number at once, and in age by the hour", () =>
    withLedger(
      async ({ ledger, clock }) => {
        for (let nth = 0; nth < 60; nth += 1) {
          const facts = Array.from({ length: 10 }, () => factOf(START_MS + nth * SECOND_MS));
          await ledger.take({ keyId: "k", facts });
        }
        const kept = ledger.recent(recentQuery({ limit: 1_000 }));
        expect(kept.length).toBeLessThanOrEqual(220);
        expect(kept.length).toBeGreaterThanOrEqual(190);
        expect(kept[0]?.startedAtMs).toBe(START_MS + 59 * SECOND_MS);
        clock.nowMs = START_MS + 4 * DAY_MS;
        await ledger.alarm();
        expect(ledger.recent(recentQuery())).toEqual([]);
        expect(ledger.sums({ fromMs: 0, toMs: clock.nowMs }, ALL, [])[0]?.sums.requests).toBe(600);
      },
      { recentRequests: 200, recentDays: 3 },
    ));
});

test("ninety days of a thousand keys and five models: each query reads what it shows, along an index", () =>
  withLedger(({ sql, counted }) => {
    const firstDayMs = Date.UTC(2099, 8, 1);
    const [days, keys, models] = [90, 1_000, 5];
    fill(sql, { firstDayMs, days, keys, models });
    const ledger = new Ledger(
      counted.storage,
      () => firstDayMs + days * DAY_MS,
      () => KEEP,
    );
    const starts = Array.from({ length: days }, (_, day) => firstDayMs + day * DAY_MS);
    const range = { fromMs: firstDayMs, toMs: firstDayMs + days * DAY_MS };
    const shift = (list: number[], ms: number) => list.map((atMs) => atMs + ms);
    const asked: [string, number, () => number][] = [
      [
        "trend by day, all keys",
        days * models + 24 * models,
        () => sumOf(ledger.trend({ filter: ALL, starts, toMs: range.toMs, utcDays: true })),
      ],
      [
        "trend by day in a time zone, all keys",
        days * 24 * models,
        () =>
          sumOf(
            ledger.trend({
              filter: ALL,
              starts: shift(starts, -HOUR_MS),
              toMs: range.toMs,
              utcDays: false,
            }),
          ),
      ],
      [
        "trend by day, one key",
        2 * days * (models + 1),
        () =>
          sumOf(
            ledger.trend({
              filter: { ...ALL, keyId: "key-500" },
              starts,
              toMs: range.toMs,
              utcDays: true,
            }),
          ),
      ],
      [
        "trend by day in a time zone, one key",
        2 * (days * 24 + 24),
        () =>
          sumOf(
            ledger.trend({
              filter: { ...ALL, keyId: "key-500" },
              starts: shift(starts, -HOUR_MS),
              toMs: range.toMs,
              utcDays: false,
            }),
          ),
      ],
      [
        "sums by model",
        days * models,
        () => sumOf(ledger.sums(range, ALL, ["model"]).map(({ sums }) => sums)),
      ],
      [
        "sums by key",
        days * keys * models,
        () => ledger.keySums({ ...range, filter: ALL, order: { by: "cost" }, limit: 1_000 }).length,
      ],
    ];
    const perDay = keys * models;
    const expected = [days * perDay, days * perDay, days * models, 0, days * perDay, keys];
    for (const [nth, [name, bound, ask]] of asked.entries()) {
      counted.forget();
      const startedAt = performance.now();
      const answer = ask();
      const tookMs = performance.now() - startedAt;
      console.log(`${name}: ${counted.rowsRead} rows read, ${tookMs.toFixed(0)} ms`);
      expect(answer, name).toBe(expected[nth]);
      // Grouping puts rows aside and reads them again, and of one key the hours to look up count as
      // well; a walk along every key's rows would be far more.
      expect(counted.rowsRead, name).toBeLessThanOrEqual(2.2 * bound + 10);
    }
  }, {}));

test("no query walks along a whole table of sums, or along the blocks of other keys", () =>
  withLedger(({ ledger, counted, sql }) => {
    const queries: string[] = [];
    const { exec } = counted.storage.sql;
    Object.assign(counted.storage.sql, {
      exec: (query: string, ...bindings: unknown[]) => {
        const plan = sql.exec<{ detail: string }>(
          `EXPLAIN QUERY PLAN ${query}`,
          ...(bindings as string[]),
        );
        for (const { detail } of plan) queries.push(detail);
        return exec(query, ...(bindings as string[]));
      },
    });
    const range = { fromMs: START_MS, toMs: START_MS + DAY_MS };
    for (const keyId of [null, "k"]) {
      const filter = { keyId, accountId: "a", model: "m" };
      ledger.sums(range, filter, ["model"]);
      ledger.trend({ filter, starts: [START_MS], toMs: range.toMs, utcDays: true });
      ledger.keySums({ ...range, filter, order: { by: "id", after: "k" }, limit: 5 });
    }
    ledger.recent(recentQuery({ keyId: "k", outcome: "refused" }));
    ledger.find(newRequestId(START_MS));
    expect(
      queries.filter((detail) => /SEARCH key_hours USING PRIMARY KEY/.test(detail)),
    ).not.toEqual([]);
    expect(
      queries.filter((detail) => /SEARCH blocks USING INDEX blocks_by_key/.test(detail)),
    ).not.toEqual([]);
    const scans = queries.filter((detail) =>
      /^SCAN (hours|days|key_hours|key_days|blocks)\b/.test(detail),
    );
    expect(scans).toEqual([]);
  }));

function sumOf(sums: { requests: number }[]): number {
  return sums.reduce((all, { requests }) => all + requests, 0);
}

/**
 * A ledger as ninety days would have left it: for every key a row a day and model, for one key also
 * every hour, and over all keys every hour.
 */
function fill(
  sql: SqlStorage,
  {
    firstDayMs,
    days,
    keys,
    models,
  }: { firstDayMs: number; days: number; keys: number; models: number },
): void {
  const columns = SUM_COLUMNS.join(", ");
  const sums = (requests: string) =>
    SUM_COLUMNS.map((_, nth) => (nth === 0 ? requests : "7")).join(", ");
  const numbers = `WITH RECURSIVE
    day (d) AS (SELECT 0 UNION ALL SELECT d + 1 FROM day WHERE d < ${days - 1}),
    hour (h) AS (SELECT 0 UNION ALL SELECT h + 1 FROM hour WHERE h < 23),
    key (k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM key WHERE k < ${keys - 1}),
    model (m) AS (SELECT 0 UNION ALL SELECT m + 1 FROM model WHERE m < ${models - 1})`;
  const dayMs = `${firstDayMs} + d * ${DAY_MS}`;
  sql.exec(`INSERT INTO key_days (start_ms, key_id, account_id, model, ${columns}) ${numbers}
    SELECT ${dayMs}, 'key-' || k, 'account-' || (k % 5), 'model-' || m, ${sums("1")} FROM day, key, model`);
  // Other keys' hours lie between: one key's must be found without reading them.
  sql.exec(`INSERT INTO key_hours (start_ms, key_id, account_id, model, ${columns}) ${numbers}
    SELECT ${dayMs} + h * ${HOUR_MS}, 'key-' || (500 + k), 'a', 'model-' || m, ${sums("0")}
    FROM day, hour, key, model WHERE k < 20 AND m = 0`);
  sql.exec(`INSERT INTO hours (start_ms, account_id, model, ${columns}) ${numbers}
    SELECT ${dayMs} + h * ${HOUR_MS}, 'a', 'model-' || m, ${sums(`CASE h WHEN 12 THEN ${keys} ELSE 0 END`)}
    FROM day, hour, model`);
  sql.exec(`INSERT INTO days (start_ms, account_id, model, ${columns}) ${numbers}
    SELECT ${dayMs}, 'a', 'model-' || m, ${sums(`${keys}`)} FROM day, model`);
  sql.exec("INSERT INTO progress (one, folded_until_ms) VALUES (1, ?)", firstDayMs + days * DAY_MS);
}
