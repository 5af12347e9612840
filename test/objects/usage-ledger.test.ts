import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { Meter, type MeterStorage } from "../../durable-objects/key-meter/meter.ts";
import { SCHEMA_STEPS as METER_STEPS } from "../../durable-objects/key-meter/schema.ts";
import type {
  LedgerBatch,
  LedgerFact,
  RecentQuery,
  UsageFilter,
} from "../../durable-objects/usage-ledger/contract.ts";
import { Ledger } from "../../durable-objects/usage-ledger/ledger.ts";
import {
  DAY_MS,
  FIRST_BYTE_COLUMNS,
  HOUR_MS,
  type Rollup,
  SUM_COLUMNS,
} from "../../durable-objects/usage-ledger/schema.ts";
import { noSums } from "../../durable-objects/usage-ledger/sums.ts";
import type { LedgerRetention } from "../../src/ledger/retention.ts";
import { dayStarts } from "../../src/ledger/time-zone.ts";
import { NOTHING_BILLED, type Settlement } from "../../src/relay/settlement.ts";
import { newRequestId } from "../../src/request-id.ts";
import { MARK, OPEN } from "./open-policy.ts";

afterEach(() => reset());

/** Far ahead: the runtime fires an alarm of the past at once, and the test would not move the clock. */
const START_MS = Date.UTC(2099, 10, 30, 21, 30, 0);
const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const ALL: UsageFilter = { keyId: null, accountId: null, model: null };
const KEEP: LedgerRetention = {
  recentRequests: 100_000,
  recentDays: 30,
  hourlyDays: 100,
  dailyDays: 800,
};

/** Counts what is written, as it is billed: rows, and one for each alarm that is set. */
class CountedStorage {
  readonly storage: MeterStorage;
  #cursors: { rowsWritten: number; rowsRead: number }[] = [];
  alarms = 0;

  constructor(real: DurableObjectStorage) {
    this.storage = {
      sql: {
        exec: (query: string, ...bindings: unknown[]) => {
          const cursor = real.sql.exec(query, ...(bindings as string[]));
          this.#cursors.push(cursor);
          return cursor;
        },
      } as unknown as SqlStorage,
      transactionSync: (run) => real.transactionSync(run),
      getAlarm: () => real.getAlarm(),
      setAlarm: (atMs) => {
        this.alarms += 1;
        return real.setAlarm(atMs);
      },
    };
  }

  forget(): void {
    this.#cursors = [];
    this.alarms = 0;
  }

  get rowsWritten(): number {
    return this.#cursors.reduce((sum, cursor) => sum + cursor.rowsWritten, this.alarms);
  }

  get rowsRead(): number {
    return this.#cursors.reduce((sum, cursor) => sum + cursor.rowsRead, 0);
  }
}

/** A meter, a clock, and the batches that left it. */
class Sender {
  nowMs = START_MS;
  readonly #storage: DurableObjectStorage;
  readonly counted: CountedStorage;
  meter: Meter;
  readonly sent: LedgerBatch[] = [];
  readonly shards: number[] = [];
  readonly lines: string[] = [];
  /** What becomes of the next batches; each is taken where nothing is planned. */
  readonly fates: ("taken" | "refused" | "taken unheard")[] = [];
  alarms = 0;
  shardCount = 1;
  /** Something that happens while a batch is on its way. */
  meanwhile: (() => void) | null = null;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.counted = new CountedStorage(storage);
    this.meter = this.#wake();
  }

  #wake(): Meter {
    return new Meter(this.counted.storage, () => this.nowMs, {
      keyId: "key",
      newShard: () => this.shardCount - 1,
      take: async (shard, batch) => {
        const fate = this.fates.shift() ?? "taken";
        if (fate !== "refused") {
          this.sent.push(structuredClone(batch));
          this.shards.push(shard);
        }
        await Promise.resolve();
        this.meanwhile?.();
        if (fate !== "taken") throw new Error("the ledger is away");
      },
      log: (_level, event) => this.lines.push(event),
    });
  }

  /** As after an eviction, or a crash. */
  wakeAnew(): void {
    this.meter = this.#wake();
  }

  async admit(model = "claude-sonnet-5"): Promise<string> {
    const requestId = newRequestId(this.nowMs);
    const admission = { requestId, model, previousMessageId: null, session: null, accountId: null };
    const answers = await this.meter.exchange({
      settlements: [],
      admissions: [{ ...admission, policy: OPEN, mark: MARK }],
    });
    expect(answers?.map(({ ok }) => ok)).toEqual([true]);
    return requestId;
  }

  async settle(requestId: string, patch: Partial<Settlement> = {}): Promise<void> {
    await this.meter.exchange({ settlements: [settlementOf(requestId, patch)], admissions: [] });
  }

  /** Fires the alarm as often as it is due up to that time. */
  async runUntil(atMs: number): Promise<void> {
    for (;;) {
      const alarmAtMs = await this.#storage.getAlarm();
      if (alarmAtMs === null || alarmAtMs > atMs) break;
      this.nowMs = Math.max(this.nowMs, alarmAtMs);
      await this.#storage.deleteAlarm();
      this.alarms += 1;
      await this.meter.alarm();
    }
    this.nowMs = atMs;
  }

  /** Long enough for everything to be delivered. */
  settleDown(): Promise<void> {
    return this.runUntil(this.nowMs + 20 * MINUTE_MS);
  }

  count(where: string): number {
    return this.#storage.sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM ${where}`).one().n;
  }
}

function settlementOf(requestId: string, patch: Partial<Settlement> = {}): Settlement {
  return {
    requestId,
    outcome: "completed",
    status: 200,
    accountId: "account-1",
    chosenBy: "hash",
    session: null,
    pinnedTo: null,
    attempts: [{ accountId: "account-1", status: 200, verdict: "ok", durationMs: 9 }],
    firstByteMs: 150,
    durationMs: 2_000,
    bill: {
      ...NOTHING_BILLED,
      tokens: {
        inputTokens: 10,
        outputTokens: 5,
        cacheWrite5mTokens: 3,
        cacheWrite1hTokens: 2,
        cacheReadTokens: 7,
      },
      webSearchRequests: 1,
      model: "claude-sonnet-5-20260101",
      serviceTier: "standard",
      costNanoDollars: 1_000,
      priceId: "sonnet@2026",
    },
    isWatched: false,
    ...patch,
  };
}

async function withSender(run: (sender: Sender) => Promise<void>): Promise<Sender> {
  const stub = env.KEY_METER.get(env.KEY_METER.idFromName(crypto.randomUUID()));
  let made: Sender | null = null;
  await runInDurableObject(stub, async (_, { storage }) => {
    made = new Sender(storage);
    await run(made);
  });
  if (made === null) throw new Error("the object did not run");
  return made;
}

interface Shelf {
  ledger: Ledger;
  sql: SqlStorage;
  counted: CountedStorage;
  storage: DurableObjectStorage;
  clock: { nowMs: number };
  keep: LedgerRetention;
}

async function withLedger<T>(
  run: (shelf: Shelf) => T | Promise<T>,
  keep: Partial<LedgerRetention> = {},
): Promise<T> {
  const stub = env.USAGE_LEDGER.get(env.USAGE_LEDGER.idFromName(crypto.randomUUID()));
  return runInDurableObject(stub, (_, { storage }) => {
    const clock = { nowMs: START_MS };
    const kept = { ...KEEP, ...keep };
    const counted = new CountedStorage(storage);
    const ledger = new Ledger(
      counted.storage,
      () => clock.nowMs,
      () => kept,
    );
    counted.forget();
    return run({ ledger, sql: storage.sql, counted, storage, clock, keep: kept });
  });
}

/** The sums over all that batches told. */
function summedUp(batches: readonly LedgerBatch[]) {
  return withLedger(async ({ ledger }) => {
    for (const batch of batches) await ledger.take(batch);
    const [whole] = ledger.sums({ fromMs: 0, toMs: START_MS + 9 * DAY_MS }, ALL, []);
    const requests = ledger.recent(recentQuery({ limit: 1_000 }));
    return { sums: whole?.sums ?? noSums(), requests };
  });
}

function recentQuery(patch: Partial<RecentQuery> = {}): RecentQuery {
  return { ...ALL, outcome: null, before: null, limit: 50, ...patch };
}

let lastSeq = 0;
/** A fact as a meter would tell it. */
function factOf(startedAtMs: number, patch: Partial<LedgerFact["request"]> = {}): LedgerFact {
  lastSeq += 1;
  return {
    seq: lastSeq,
    corrects: false,
    request: {
      id: newRequestId(startedAtMs),
      startedAtMs,
      state: "settled",
      model: "m",
      answeredModel: null,
      outcome: "completed",
      status: 200,
      accountId: "a",
      chosenBy: "hash",
      attempts: [],
      firstByteMs: 100,
      durationMs: 1_000,
      tokens: { input: 1, output: 2, cacheWrite5m: 3, cacheWrite1h: 4, cacheRead: 5 },
      webSearches: 0,
      serviceTier: null,
      speed: null,
      inferenceGeo: null,
      estimated: false,
      costNanoDollars: 10,
      priceId: null,
      priceKnown: true,
      ...patch,
    },
  };
}

describe("the way from a meter to the ledger", () => {
  test("brings every request with all that its row holds, and the sums are the meter's", async () => {
    let usage = null as ReturnType<Meter["usage"]> | null;
    const { sent } = await withSender(async (sender) => {
      const [whole, failed, left] = [
        await sender.admit(),
        await sender.admit("gone"),
        await sender.admit(),
      ];
      await sender.settle(whole);
      await sender.settle(failed, {
        outcome: "upstream_error",
        status: 404,
        bill: NOTHING_BILLED,
      });
      const bill = { ...settlementOf("").bill, estimated: true, priceKnown: false };
      await sender.settle(left, { outcome: "client_closed", bill });
      await sender.settleDown();
      usage = sender.meter.usage(OPEN);
    });
    const { sums, requests } = await summedUp(sent);
    expect(usage?.total).toMatchObject({
      requests: sums.requests,
      failed: sums.requests - sums.completed,
      estimated: sums.estimated,
      unsettled: 0,
      input_tokens: sums.input_tokens,
      output_tokens: sums.output_tokens,
      write_5m_tokens: sums.write_5m_tokens,
      write_1h_tokens: sums.write_1h_tokens,
      read_tokens: sums.read_tokens,
      web_searches: sums.web_searches,
      cost_nano: sums.cost_nano,
    });
    expect(sums).toMatchObject({
      requests: 3,
      completed: 1,
      upstream_error: 1,
      client_closed: 1,
      estimated: 1,
      unlisted: 1,
      input_tokens: 20,
      write_1h_tokens: 4,
      web_searches: 2,
      first_byte_ms: 450,
      duration_ms: 6_000,
      first_byte_1: 3,
    });
    expect(requests.find(({ status }) => status === 404)).toMatchObject({
      keyId: "key",
      model: "gone",
      answeredModel: null,
      outcome: "upstream_error",
    });
    expect(
      requests.find(({ estimated, outcome }) => !estimated && outcome === "completed"),
    ).toEqual({
      keyId: "key",
      id: expect.stringMatching(/^rly_/),
      startedAtMs: START_MS,
      state: "settled",
      model: "claude-sonnet-5",
      answeredModel: "claude-sonnet-5-20260101",
      outcome: "completed",
      status: 200,
      accountId: "account-1",
      chosenBy: "hash",
      attempts: [{ accountId: "account-1", status: 200, verdict: "ok", durationMs: 9 }],
      firstByteMs: 150,
      durationMs: 2_000,
      tokens: { input: 10, output: 5, cacheWrite5m: 3, cacheWrite1h: 2, cacheRead: 7 },
      webSearches: 1,
      serviceTier: "standard",
      speed: null,
      inferenceGeo: null,
      estimated: false,
      costNanoDollars: 1_000,
      priceId: "sonnet@2026",
      priceKnown: true,
    });
  });

  test("takes five seconds for a request that is alone, and gathers for fifteen in use", () =>
    withSender(async (sender) => {
      await sender.settle(await sender.admit());
      await sender.runUntil(START_MS + 5 * SECOND_MS - 1);
      expect(sender.sent).toHaveLength(0);
      await sender.runUntil(START_MS + 5 * SECOND_MS);
      expect(sender.sent).toHaveLength(1);
      for (let second = 0; second < 15; second += 1) {
        await sender.settle(await sender.admit());
        await sender.runUntil(sender.nowMs + SECOND_MS);
      }
      expect(sender.sent.map(({ facts }) => facts.length)).toEqual([1, 15]);
    }).then(() => {}));

  test("saves up where a key goes on and on and no one watches, and delivers soon where someone does", () =>
    withSender(async (sender) => {
      const requestAMinute = async (minutes: number, isWatched: boolean) => {
        sender.sent.length = 0;
        for (let minute = 0; minute < minutes; minute += 1) {
          await sender.settle(await sender.admit(), { isWatched });
          await sender.runUntil(sender.nowMs + MINUTE_MS);
          // An object that has nothing to do is evicted; what was saved up outlives that.
          sender.wakeAnew();
        }
        return sender.sent.map(({ facts }) => facts.length);
      };
      expect(await requestAMinute(10, false)).toEqual(Array.from({ length: 10 }, () => 1));
      await requestAMinute(10, false);
      expect(await requestAMinute(40, false)).toEqual([10, 10, 10, 10]);
      const watched = await requestAMinute(10, true);
      expect(watched.reduce((sum, facts) => sum + facts, 0)).toBeGreaterThanOrEqual(10);
      expect(watched).toHaveLength(10);
      // Half a day later there is something saved again.
      await sender.runUntil(sender.nowMs + 12 * HOUR_MS);
      expect(await requestAMinute(5, false)).toEqual([1, 1, 1, 1, 1]);
    }).then(() => {}));

  test("delivers a whole batch without waiting, however little is saved up", () =>
    withSender(async (sender) => {
      for (let minute = 0; minute < 22; minute += 1) {
        await sender.settle(await sender.admit());
        await sender.runUntil(sender.nowMs + MINUTE_MS);
      }
      sender.sent.length = 0;
      await sender.settle(await sender.admit());
      await sender.runUntil(sender.nowMs + 15 * SECOND_MS);
      expect(sender.sent).toHaveLength(0);
      for (let nth = 0; nth < 250; nth += 1) await sender.settle(await sender.admit());
      await sender.runUntil(sender.nowMs + 15 * SECOND_MS);
      expect(sender.sent.flatMap(({ facts }) => facts).length).toBeGreaterThanOrEqual(250);
    }).then(() => {}));

  test.each([
    { load: "one request a second", everyMs: SECOND_MS, warm: 5_400, requests: 3_600 },
    { load: "one request a minute", everyMs: MINUTE_MS, warm: 300, requests: 600 },
  ])("costs fewer than four rows and 2.5 calls a request, at $load", async (asked) => {
    const { everyMs, warm, requests } = asked;
    const { sent, counted, alarms } = await withSender(async (sender) => {
      // Later on rows are folded and deleted as well: that is paid for, too.
      for (let nth = -warm; nth < requests; nth += 1) {
        if (nth === 0) {
          sender.counted.forget();
          sender.sent.length = 0;
          sender.alarms = 0;
        }
        await sender.settle(await sender.admit());
        await sender.runUntil(sender.nowMs + everyMs);
      }
    });
    const inMeter = counted.rowsWritten / requests;
    const inLedger = await withLedger(
      async ({ ledger, counted, clock }) => {
        // A ring that is full, so that dropping the oldest is paid for as well.
        for (const batch of sent) {
          clock.nowMs = START_MS + requests * everyMs;
          await ledger.take(batch);
        }
        await ledger.alarm();
        await ledger.alarm();
        return counted.rowsWritten / requests;
      },
      { recentRequests: 100 },
    );
    // Admission and settlement are a call each; an alarm is one, and so is a delivery.
    const calls = (2 * requests + alarms + sent.length) / requests;
    console.log(
      `rows written a request: ${inMeter.toFixed(2)} in the meter, ${inLedger.toFixed(2)} in the ledger; calls: ${calls.toFixed(2)}`,
    );
    expect(inMeter + inLedger).toBeLessThan(4);
    expect(calls).toBeLessThan(2.5);
  });

  test("counts a batch once, although its answer was lost and it came again", async () => {
    const { sent } = await withSender(async (sender) => {
      sender.fates.push("taken unheard", "taken unheard");
      await sender.settle(await sender.admit());
      await sender.runUntil(sender.nowMs + 6 * SECOND_MS);
      await sender.settle(await sender.admit());
      await sender.settleDown();
    });
    expect(sent.map(({ facts }) => facts.length)).toEqual([1, 2, 2]);
    const { sums, requests } = await summedUp(sent);
    expect(sums).toMatchObject({ requests: 2, cost_nano: 2_000, input_tokens: 20 });
    expect(requests).toHaveLength(2);
  });

  test("keeps everything while the ledger is down, folds nothing away, and catches up", async () => {
    const { sent } = await withSender(async (sender) => {
      for (let hour = 0; hour < 5; hour += 1) {
        for (let nth = 0; nth < 120; nth += 1) await sender.settle(await sender.admit());
        sender.fates.push(...Array.from({ length: 40 }, () => "refused" as const));
        await sender.runUntil(sender.nowMs + HOUR_MS);
        sender.wakeAnew();
      }
      expect(sender.sent).toHaveLength(0);
      expect(sender.count("requests")).toBe(600);
      expect(sender.lines.length).toBeGreaterThan(50);
      // Backed off: not more than once in five minutes, or after waking.
      expect(sender.lines.length).toBeLessThan(5 * 20);
      sender.fates.length = 0;
      await sender.settleDown();
      expect(sender.count("requests")).toBe(0);
      expect(sender.meter.usage(OPEN).total.requests).toBe(600);
    });
    expect(sent.map(({ facts }) => facts.length)).toEqual([250, 250, 100]);
    expect((await summedUp(sent)).sums.requests).toBe(600);
  });

  test("leaves nothing out that ends while a delivery goes on, however old it is", async () => {
    // More than is looked for at once, so that the delivery looks again.
    const waiting = 5_000;
    const { sent } = await withSender(async (sender) => {
      const old = await sender.admit();
      sender.nowMs += MINUTE_MS;
      for (let nth = 1; nth <= waiting; nth += 1) {
        sender.counted.storage.sql.exec(
          `INSERT INTO requests (id, started_at_ms, lease_until_ms, state, model, settled_seq)
           VALUES (?1, ?2, ?2, 'settled', 'm', ?3)`,
          newRequestId(sender.nowMs),
          sender.nowMs,
          nth,
        );
      }
      sender.wakeAnew();
      const young = await sender.admit();
      sender.meanwhile = () => {
        sender.meanwhile = null;
        sender.meter.settle(settlementOf(old));
        sender.meter.settle(settlementOf(young));
      };
      await sender.settleDown();
      expect(sender.count("requests WHERE settled_seq IS NULL")).toBe(0);
    });
    expect((await summedUp(sent)).sums.requests).toBe(waiting + 2);
  });

  test("stays with the shard that a key began with", () =>
    withSender(async (sender) => {
      sender.fates.push("taken unheard");
      await sender.settle(await sender.admit());
      await sender.runUntil(sender.nowMs + 6 * SECOND_MS);
      sender.shardCount = 4;
      sender.wakeAnew();
      await sender.settle(await sender.admit());
      await sender.settleDown();
      expect(new Set(sender.shards)).toEqual(new Set([0]));
    }).then(() => {}));

  test("begins with what had ended before there was a ledger", async () => {
    const { sent } = await withSender(async (sender) => {
      const { sql } = sender.counted.storage;
      for (const table of ["schema_version", "requests", "sessions", "delivery"]) {
        sql.exec(`DROP TABLE ${table}`);
      }
      for (const step of METER_STEPS.slice(0, 2)) sql.exec(step);
      sql.exec("CREATE TABLE schema_version (one INTEGER PRIMARY KEY, version INTEGER NOT NULL)");
      sql.exec("INSERT INTO schema_version VALUES (1, 2)");
      for (const state of ["settled", "open", "settled", "unsettled"]) {
        sql.exec(
          `INSERT INTO requests (id, started_at_ms, lease_until_ms, state, model, input_tokens)
           VALUES (?, ?, ?, ?, 'm', ?)`,
          newRequestId(START_MS),
          START_MS,
          START_MS + MINUTE_MS,
          state,
          state === "settled" ? 4 : 0,
        );
      }
      sender.wakeAnew();
      await sender.settle(await sender.admit());
      await sender.settleDown();
    });
    expect((await summedUp(sent)).sums).toMatchObject({
      requests: 5,
      completed: 3,
      unsettled: 2,
      input_tokens: 18,
    });
  });
});

describe("a request that was settled after its lease had run out", () => {
  const corrected = { requests: 1, unsettled: 0, completed: 1, input_tokens: 10, cost_nano: 1_000 };

  test("is unsettled first, and then exactly what it was", async () => {
    const { sent } = await withSender(async (sender) => {
      const id = await sender.admit();
      await sender.settleDown();
      expect((await summedUp(sender.sent)).sums).toMatchObject({
        requests: 1,
        unsettled: 1,
        completed: 0,
        input_tokens: 0,
      });
      await sender.settle(id);
      await sender.settleDown();
    });
    const { sums, requests } = await summedUp(sent);
    expect(sums).toMatchObject(corrected);
    expect(requests).toMatchObject([{ state: "settled", costNanoDollars: 1_000 }]);
  });

  test.each([
    ["the ledger heard of it only then", []],
    ["the ledger had it unheard", ["taken unheard"]],
    ["the ledger had it unheard twice", ["taken unheard", "taken unheard"]],
  ] as const)("counts once where %s", async (_, fates) => {
    const { sent } = await withSender(async (sender) => {
      const id = await sender.admit();
      sender.fates.push(...fates, ...Array.from({ length: 20 }, () => "refused" as const));
      await sender.runUntil(sender.nowMs + 17 * MINUTE_MS);
      expect(sender.lines).not.toEqual([]);
      await sender.settle(id);
      sender.fates.length = 0;
      sender.wakeAnew();
      await sender.settleDown();
      await sender.settleDown();
      expect(
        sender.count("requests WHERE settled_seq > (SELECT delivered_seq FROM delivery)"),
      ).toBe(0);
    });
    const { sums, requests } = await summedUp(sent);
    expect(sums).toMatchObject(corrected);
    expect(requests).toHaveLength(1);
  });

  test("counts once where it is settled while word of its loss is on its way", async () => {
    const { sent } = await withSender(async (sender) => {
      const id = await sender.admit();
      sender.meanwhile = () => {
        sender.meanwhile = null;
        sender.meter.settle(settlementOf(id));
      };
      await sender.settleDown();
    });
    expect(sent).toHaveLength(2);
    expect((await summedUp(sent)).sums).toMatchObject(corrected);
  });
});

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
