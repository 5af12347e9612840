import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import type { KeyLevel } from "../../durable-objects/alerts/contract.ts";
import { LimitWatch } from "../../durable-objects/key-meter/limit-watch.ts";
import type { LimitsInUse } from "../../durable-objects/key-meter/limiter.ts";
import { Meter } from "../../durable-objects/key-meter/meter.ts";
import { type KeyLimits, UNLIMITED } from "../../src/keys/key-limits.ts";
import type { KeyPolicy } from "../../src/keys/key-record.ts";
import { NOTHING_BILLED } from "../../src/relay/settlement.ts";
import { newRequestId } from "../../src/request-id.ts";
import { HEARD } from "./ledger-post.ts";
import { MARK, OPEN } from "./open-policy.ts";

afterEach(() => reset());

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** Far ahead: the runtime fires an alarm of the past at once, and the test would not move the clock. */
const START_MS = Date.UTC(2099, 10, 18, 12, 0, 0);
const MIDNIGHT_MS = Date.UTC(2099, 10, 19);
const WINDOW_ENDS_MS = START_MS + 5 * MINUTE_MS;
const DOLLAR = 1e9;

/** In an object of its own, with the tables of a meter. */
function inObject(run: (storage: DurableObjectStorage) => Promise<void> | void): Promise<void> {
  const stub = env.KEY_METER.get(env.KEY_METER.idFromName(crypto.randomUUID()));
  return runInDurableObject(stub, (_, { storage }) => run(storage));
}

/** So much of every limit is used, each measured in its own unit. */
function used(amount: number): LimitsInUse {
  const period = (resetAtMs: number | null) => ({ spent: amount, resetAtMs });
  return {
    concurrency: amount,
    window: { requests: amount, tokens: amount, cost: amount, resetAtMs: WINDOW_ENDS_MS },
    cost: {
      daily: period(MIDNIGHT_MS),
      weekly: period(MIDNIGHT_MS + DAY_MS),
      monthly: period(MIDNIGHT_MS + 2 * DAY_MS),
      total: period(null),
    },
    familyCostThisWeek: { family: "opus", spent: amount, resetAtMs: MIDNIGHT_MS + DAY_MS },
  };
}

const DAILY: KeyLimits = { ...UNLIMITED, costPerDay: 100 };

function levels(watch: LimitWatch, amount: number, limits = DAILY): string[] {
  const changes = watch.changes(limits, used(amount), "alice", START_MS);
  watch.note(changes);
  return changes.map(({ limit, level }) => `${limit} ${level}`);
}

describe("each limit that can fill up is told by its name, with what is used and when it has room", () => {
  const WINDOW = { minutes: 10, requests: null, tokens: null, cost: null };
  test.each<[string, Partial<KeyLimits>, string, number | null]>([
    ["costPerDay", { costPerDay: 10 * DOLLAR }, "$9.00 of $10.00 for the day (UTC)", MIDNIGHT_MS],
    [
      "costPerWeek",
      { costPerWeek: 10 * DOLLAR },
      "$9.00 of $10.00 for the week (UTC)",
      MIDNIGHT_MS + DAY_MS,
    ],
    [
      "costPerMonth",
      { costPerMonth: 10 * DOLLAR },
      "$9.00 of $10.00 for the month (UTC)",
      MIDNIGHT_MS + 2 * DAY_MS,
    ],
    ["costTotal", { costTotal: 10 * DOLLAR }, "$9.00 of $10.00 in total", null],
    [
      "familyCostPerWeek",
      { familyCostPerWeek: { family: "opus", cost: 10 * DOLLAR } },
      "$9.00 of $10.00 for opus models in the week (UTC)",
      MIDNIGHT_MS + DAY_MS,
    ],
    [
      "window.requests",
      { window: { ...WINDOW, requests: 10 * DOLLAR } },
      "9000000000 of 10000000000 requests within 10 minutes",
      WINDOW_ENDS_MS,
    ],
    [
      "window.tokens",
      { window: { ...WINDOW, tokens: 10 * DOLLAR } },
      "9000000000 of 10000000000 tokens within 10 minutes",
      WINDOW_ENDS_MS,
    ],
    [
      "window.cost",
      { window: { ...WINDOW, cost: 10 * DOLLAR } },
      "$9.00 of $10.00 within 10 minutes",
      WINDOW_ENDS_MS,
    ],
  ])("%s", (limit, patch, reason, untilMs) =>
    inObject(({ sql }) => {
      const watch = new LimitWatch(sql);
      const limits = { ...UNLIMITED, ...patch };
      expect(watch.concerns(limits)).toBe(true);
      expect(watch.changes(limits, used(9 * DOLLAR), "alice", START_MS)).toEqual([
        { keyId: "alice", limit, level: "near", reason, untilMs, atMs: START_MS },
      ]);
    }),
  );
});

test("near from nine tenths on, reached at the limit, and neither is told twice", () =>
  inObject(({ sql }) => {
    const watch = new LimitWatch(sql);
    expect([89, 90, 95, 99, 100, 130].map((amount) => levels(watch, amount))).toEqual([
      [],
      ["costPerDay near"],
      [],
      [],
      ["costPerDay reached"],
      [],
    ]);
  }));

test("what hovers about a threshold is not told again and again: room is below eight tenths", () =>
  inObject(({ sql }) => {
    const watch = new LimitWatch(sql);
    expect([100, 99, 90, 85, 80, 100, 79, 80, 89].map((amount) => levels(watch, amount))).toEqual([
      ["costPerDay reached"],
      ...[[], [], [], [], []],
      ["costPerDay none"],
      ...[[], []],
    ]);
    expect([95, 85, 79].map((amount) => levels(watch, amount))).toEqual([
      ["costPerDay near"],
      [],
      ["costPerDay none"],
    ]);
  }));

test("an object that wakes up knows what was told, and what was not heard counts as not told", () =>
  inObject(({ sql }) => {
    levels(new LimitWatch(sql), 95);
    expect(levels(new LimitWatch(sql), 95)).toEqual([]);
    const unheard = new LimitWatch(sql).changes(DAILY, used(100), "alice", START_MS);
    expect(unheard).toHaveLength(1);
    expect(levels(new LimitWatch(sql), 100)).toEqual(["costPerDay reached"]);
    expect(levels(new LimitWatch(sql), 0)).toEqual(["costPerDay none"]);
    expect(levels(new LimitWatch(sql), 0)).toEqual([]);
  }));

test("a limit that was lifted is told to have room, in these words, once", () =>
  inObject(({ sql }) => {
    const watch = new LimitWatch(sql);
    levels(watch, 100);
    expect(watch.concerns(UNLIMITED)).toBe(true);
    const changes = watch.changes(UNLIMITED, used(100), "alice", START_MS);
    expect(changes).toEqual([
      {
        ...{ keyId: "alice", limit: "costPerDay", level: "none", untilMs: null, atMs: START_MS },
        reason: "this limit was lifted",
      },
    ]);
    watch.note(changes);
    expect(levels(watch, 100, UNLIMITED)).toEqual([]);
    expect(watch.concerns(UNLIMITED)).toBe(false);
  }));

test("concurrency, which comes and goes, and a limit of 0, which is meant, are never told", () =>
  inObject(({ sql }) => {
    const watch = new LimitWatch(sql);
    expect(watch.concerns({ ...UNLIMITED, concurrency: 1 })).toBe(false);
    expect(levels(watch, 100, { ...UNLIMITED, concurrency: 1 })).toEqual([]);
    expect(levels(watch, 100, { ...UNLIMITED, costPerDay: 0, costTotal: 0 })).toEqual([]);
  }));

test("what was told is looked at again when its period ends, the first of several, and nothing else is", () =>
  inObject(({ sql }) => {
    const watch = new LimitWatch(sql);
    const limits: KeyLimits = {
      ...{ ...UNLIMITED, costPerDay: 100, costPerWeek: 100, costTotal: 100 },
      window: { minutes: 10, requests: 1_000, tokens: null, cost: null },
    };
    expect(watch.looksAgainAtMs(limits, used(50), START_MS)).toBeNull();
    levels(watch, 100, { ...UNLIMITED, costTotal: 100 });
    expect(watch.looksAgainAtMs({ ...UNLIMITED, costTotal: 100 }, used(100), START_MS)).toBeNull();
    levels(watch, 100, limits);
    expect(watch.looksAgainAtMs(limits, used(100), START_MS)).toBe(MIDNIGHT_MS + 1);
    // Requests leave a window one by one: it is not waited for until the last of them has.
    levels(watch, 1_000, limits);
    expect(watch.looksAgainAtMs(limits, used(1_000), START_MS)).toBe(START_MS + MINUTE_MS + 1);
  }));

class Bench {
  nowMs = START_MS;
  isDeaf = false;
  readonly heard: string[] = [];
  policy: KeyPolicy;
  readonly #storage: DurableObjectStorage;
  #meter!: Meter;

  constructor(storage: DurableObjectStorage, limits: Partial<KeyLimits>) {
    this.#storage = storage;
    this.policy = { ...OPEN, limits: { ...UNLIMITED, ...limits } };
    this.wakeUp();
  }

  /** What an object that wakes up knows: only what is in its rows. */
  wakeUp(): void {
    const tell = async (told: KeyLevel[]) => {
      if (this.isDeaf) throw new Error("the alerts do not answer");
      this.heard.push(...told.map(({ limit, level }) => `${limit} ${level}`));
    };
    this.#meter = new Meter(this.#storage, () => this.nowMs, HEARD, tell);
  }

  /** A request that ends at once, having cost so much. */
  async spend(costNanoDollars: number): Promise<void> {
    const requestId = newRequestId(this.nowMs);
    await this.#meter.exchange({
      settlements: [],
      admissions: [
        {
          ...{ requestId, policy: this.policy, mark: MARK, model: "claude-sonnet-5" },
          ...{ previousMessageId: null, session: null, accountId: null },
        },
      ],
    });
    await this.#meter.exchange({
      admissions: [],
      settlements: [
        {
          ...{ requestId, outcome: "completed", status: 200, accountId: "account" },
          ...{ chosenBy: "headroom", session: null, pinnedTo: null, attempts: [] },
          ...{ firstByteMs: 1, durationMs: 2, isWatched: false },
          bill: { ...NOTHING_BILLED, model: "claude-sonnet-5", costNanoDollars },
        },
      ],
    });
  }

  async limit(limits: Partial<KeyLimits>): Promise<void> {
    const version = this.policy.version + 1;
    this.policy = { ...this.policy, version, limits: { ...UNLIMITED, ...limits } };
    this.#meter.configure(this.policy);
    await this.#meter.watchLimits();
  }

  async alarmsUntil(atMs: number): Promise<void> {
    for (;;) {
      const alarmAtMs = await this.#storage.getAlarm();
      if (alarmAtMs === null || alarmAtMs > atMs) break;
      this.nowMs = Math.max(this.nowMs, alarmAtMs);
      await this.#storage.deleteAlarm();
      this.wakeUp();
      await this.#meter.alarm();
    }
    this.nowMs = atMs;
  }
}

function withLimits(
  limits: Partial<KeyLimits>,
  run: (bench: Bench) => Promise<void>,
): Promise<void> {
  return inObject((storage) => run(new Bench(storage, limits)));
}

describe("a meter", () => {
  test("tells of a limit at once after the answer that filled it, and of its end at midnight, without a request", () =>
    withLimits({ costPerDay: 100 }, async (bench) => {
      await bench.spend(95);
      await bench.alarmsUntil(START_MS);
      expect(bench.heard).toEqual(["costPerDay near"]);
      await bench.spend(95);
      await bench.alarmsUntil(MIDNIGHT_MS);
      expect(bench.heard).toEqual(["costPerDay near", "costPerDay reached"]);
      await bench.alarmsUntil(MIDNIGHT_MS + 1);
      expect(bench.heard.slice(2)).toEqual(["costPerDay none"]);
      await bench.alarmsUntil(MIDNIGHT_MS + 2 * DAY_MS);
      expect(bench.heard).toHaveLength(3);
    }));

  test("tells of a window's end within a minute of it", () =>
    withLimits(
      { window: { minutes: 10, requests: null, tokens: null, cost: 100 } },
      async (bench) => {
        await bench.spend(100);
        await bench.alarmsUntil(START_MS + 10 * MINUTE_MS);
        expect(bench.heard).toEqual(["window.cost reached"]);
        await bench.alarmsUntil(START_MS + 11 * MINUTE_MS);
        expect(bench.heard).toEqual(["window.cost reached", "window.cost none"]);
      },
    ));

  test("tells again in a minute what nobody heard, without a request", () =>
    withLimits({ costPerDay: 100 }, async (bench) => {
      bench.isDeaf = true;
      await bench.spend(95);
      await bench.alarmsUntil(START_MS + 30_000);
      bench.isDeaf = false;
      await bench.alarmsUntil(START_MS + 2 * MINUTE_MS);
      expect(bench.heard).toEqual(["costPerDay near"]);
    }));

  test("tells how things stand when it is heard", () =>
    withLimits({ costPerDay: 100 }, async (bench) => {
      bench.isDeaf = true;
      await bench.spend(95);
      await bench.alarmsUntil(START_MS);
      await bench.spend(10);
      bench.isDeaf = false;
      await bench.alarmsUntil(START_MS + 2 * MINUTE_MS);
      expect(bench.heard).toEqual(["costPerDay reached"]);
    }));

  test("tells of a limit that was raised, lifted or set below what is used, when that is done", () =>
    withLimits({ costPerDay: 100 }, async (bench) => {
      await bench.spend(95);
      await bench.alarmsUntil(START_MS);
      await bench.limit({ costPerDay: 1_000 });
      await bench.alarmsUntil(START_MS);
      await bench.limit({ costPerDay: 50 });
      await bench.alarmsUntil(START_MS);
      await bench.limit({});
      await bench.alarmsUntil(START_MS);
      expect(bench.heard.map((words) => words.split(" ")[1])).toEqual([
        ...["near", "none", "reached", "none"],
      ]);
    }));
});
