import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { Meter } from "../../durable-objects/key-meter/meter.ts";
import {
  type CostPeriod,
  type KeyLimits,
  periodEndMs,
  periodStartMs,
  UNLIMITED,
} from "../../src/keys/key-limits.ts";
import { type KeyPolicy, mayUse } from "../../src/keys/key-record.ts";
import { NOTHING_BILLED } from "../../src/relay/settlement.ts";
import { newRequestId } from "../../src/request-id.ts";
import { HEARD } from "./ledger-post.ts";
import { MARK, OPEN } from "./open-policy.ts";

afterEach(() => reset());

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/**
 * A Wednesday in the middle of its month. Far ahead: the runtime fires an alarm of the past at once,
 * and the test would not be the one that moves the clock.
 */
const START_MS = Date.UTC(2099, 10, 18, 12, 0, 0);

class Bench {
  nowMs = START_MS;
  policy: KeyPolicy;
  meter: Meter;
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage, patch: Partial<KeyPolicy>) {
    this.#storage = storage;
    this.policy = { ...OPEN, ...patch };
    this.meter = new Meter(storage, () => this.nowMs, HEARD);
  }

  /** What an object that wakes up knows: only what is in its rows. */
  wakeUp(): void {
    this.meter = new Meter(this.#storage, () => this.nowMs, HEARD);
  }

  async admit(options: { model?: string; mark?: string } = {}) {
    const requestId = newRequestId(this.nowMs);
    const admitted = await this.meter.admit({
      requestId,
      policy: this.policy,
      mark: options.mark ?? MARK,
      model: options.model ?? "claude-sonnet-5",
      previousMessageId: null,
      session: null,
      accountId: null,
    });
    return admitted.ok
      ? { id: requestId, refusal: null }
      : { id: requestId, refusal: admitted.error };
  }

  /** A request that is let in and ends at once, having used so much. */
  async spend(
    costNanoDollars: number,
    tokens = 0,
    model = "claude-sonnet-5",
  ): Promise<string | null> {
    const { id, refusal } = await this.admit({ model });
    if (refusal !== null) return refusal.kind;
    this.settle(id, costNanoDollars, tokens, model);
    return null;
  }

  settle(id: string, costNanoDollars: number, tokens = 0, model = "claude-sonnet-5"): void {
    this.meter.settle({
      requestId: id,
      outcome: "completed",
      status: 200,
      accountId: "account",
      chosenBy: "headroom",
      session: null,
      pinnedTo: null,
      attempts: [],
      firstByteMs: 1,
      durationMs: 2,
      bill: {
        ...NOTHING_BILLED,
        tokens: { ...NOTHING_BILLED.tokens, inputTokens: tokens },
        model,
        costNanoDollars,
      },
      isWatched: false,
    });
  }

  async alarmsUntil(atMs: number): Promise<void> {
    for (;;) {
      const alarmAtMs = await this.#storage.getAlarm();
      if (alarmAtMs === null || alarmAtMs > atMs) break;
      this.nowMs = Math.max(this.nowMs, alarmAtMs);
      await this.#storage.deleteAlarm();
      await this.meter.alarm();
    }
    this.nowMs = atMs;
  }
}

async function withLimits(
  limits: Partial<KeyLimits>,
  run: (bench: Bench) => Promise<void>,
  patch: Partial<KeyPolicy> = {},
): Promise<void> {
  const stub = env.KEY_METER.get(env.KEY_METER.idFromName(crypto.randomUUID()));
  await runInDurableObject(stub, (_, { storage }) =>
    run(new Bench(storage, { limits: { ...UNLIMITED, ...limits }, ...patch })),
  );
}

describe("a sliding window", () => {
  const window = { minutes: 10, requests: null, tokens: null, cost: null };

  test("lets exactly as many requests in as it says, out of two hundred at once", () =>
    withLimits({ window: { ...window, requests: 10 } }, async (bench) => {
      const results = await Promise.all(Array.from({ length: 200 }, () => bench.admit()));
      expect(results.filter(({ refusal }) => refusal === null)).toHaveLength(10);
    }));

  test("has no border at which it can be spent twice", () =>
    withLimits({ window: { ...window, requests: 10 } }, async (bench) => {
      const admittedAtMs: number[] = [];
      for (let second = 0; second < 3_600; second += 7) {
        bench.nowMs = START_MS + second * 1_000;
        if ((await bench.admit()).refusal === null) admittedAtMs.push(bench.nowMs);
      }
      for (const from of admittedAtMs) {
        const within = admittedAtMs.filter((at) => at >= from && at < from + 10 * MINUTE_MS);
        expect(within.length).toBeLessThanOrEqual(10);
      }
      expect(admittedAtMs.length).toBeGreaterThanOrEqual(60);
    }));

  test("says truly when a request passes again, and not a millisecond earlier", () =>
    withLimits({ window: { ...window, requests: 3 } }, async (bench) => {
      for (const atMs of [0, 60_000, 120_000]) {
        bench.nowMs = START_MS + atMs;
        await bench.spend(0);
      }
      const { refusal } = await bench.admit();
      expect(refusal).toMatchObject({
        kind: "window_reached",
        measure: "requests",
        limit: 3,
        freeAtMs: START_MS + 10 * MINUTE_MS,
      });
      bench.nowMs = START_MS + 10 * MINUTE_MS - 1;
      expect((await bench.admit()).refusal).not.toBeNull();
      bench.nowMs += 1;
      expect((await bench.admit()).refusal).toBeNull();
    }));

  test("counts tokens and cost from when their request began, once they are known", () =>
    withLimits({ window: { ...window, tokens: 100, cost: 1_000 } }, async (bench) => {
      const running = await bench.admit();
      expect(await bench.spend(10, 60)).toBeNull();
      bench.settle(running.id, 10, 60);
      expect(await bench.spend(0)).toBe("window_reached");
      bench.nowMs += 10 * MINUTE_MS;
      expect(await bench.spend(1_000)).toBeNull();
      const { refusal } = await bench.admit();
      expect(refusal).toMatchObject({ measure: "cost", limit: 1_000 });
    }));

  test("is the same for an object that wakes up", () =>
    withLimits({ window: { ...window, requests: 5, tokens: 1_000 } }, async (bench) => {
      await bench.spend(1, 300);
      bench.nowMs += MINUTE_MS;
      const running = await bench.admit();
      const before = bench.meter.usage(bench.policy).inUse.window;
      bench.wakeUp();
      expect(bench.meter.usage(bench.policy).inUse.window).toEqual(before);
      bench.settle(running.id, 1, 700);
      expect(await bench.spend(0)).toBe("window_reached");
      bench.wakeUp();
      expect(await bench.spend(0)).toBe("window_reached");
    }));

  test("counts a late settlement of a request that was swept, also after the object woke up", () =>
    withLimits({ window: { ...window, minutes: 60, tokens: 100 } }, async (bench) => {
      const { id } = await bench.admit();
      await bench.alarmsUntil(START_MS + 20 * MINUTE_MS);
      bench.wakeUp();
      expect((await bench.admit()).refusal).toBeNull();
      bench.settle(id, 0, 100);
      expect((await bench.admit()).refusal?.kind).toBe("window_reached");
    }));

  test("of a day still counts what would have been folded after an hour", () =>
    withLimits({ window: { ...window, minutes: 1_440, requests: 2 } }, async (bench) => {
      await bench.spend(0);
      await bench.spend(0);
      await bench.alarmsUntil(START_MS + 23 * HOUR_MS);
      bench.wakeUp();
      expect(await bench.spend(0)).toBe("window_reached");
      bench.nowMs = START_MS + DAY_MS;
      expect(await bench.spend(0)).toBeNull();
    }));

  test("of 0 lets nothing through, and promises no time", () =>
    withLimits({ window: { ...window, requests: 0 } }, async (bench) => {
      expect((await bench.admit()).refusal).toMatchObject({ freeAtMs: null });
    }));
});

describe("concurrency", () => {
  test("is never exceeded, and free again when a request ends", () =>
    withLimits({ concurrency: 5 }, async (bench) => {
      const results = await Promise.all(Array.from({ length: 50 }, () => bench.admit()));
      const running = results.filter(({ refusal }) => refusal === null);
      expect(running).toHaveLength(5);
      expect(results.find(({ refusal }) => refusal !== null)?.refusal).toEqual({
        kind: "concurrency_reached",
        limit: 5,
      });
      bench.settle(running[0]?.id ?? "", 0);
      expect((await bench.admit()).refusal).toBeNull();
      expect((await bench.admit()).refusal).not.toBeNull();
    }));

  test("holds for an object that wakes up while requests run", () =>
    withLimits({ concurrency: 2 }, async (bench) => {
      await bench.admit();
      const second = await bench.admit();
      bench.wakeUp();
      expect((await bench.admit()).refusal).not.toBeNull();
      bench.settle(second.id, 0);
      expect((await bench.admit()).refusal).toBeNull();
    }));

  test("is free again within the lease when nobody says that a request ended", () =>
    withLimits({ concurrency: 50 }, async (bench) => {
      await Promise.all(Array.from({ length: 50 }, () => bench.admit()));
      bench.nowMs += 15 * MINUTE_MS - 1;
      expect((await bench.admit()).refusal).not.toBeNull();
      bench.nowMs += 1;
      expect((await bench.admit()).refusal).toBeNull();
    }));

  test("counts a repeated call once", () =>
    withLimits({ concurrency: 1 }, async (bench) => {
      const requestId = newRequestId(bench.nowMs);
      const admission = {
        requestId,
        policy: bench.policy,
        mark: MARK,
        model: "m",
        previousMessageId: null,
        session: null,
        accountId: null,
      };
      expect((await bench.meter.admit(admission)).ok).toBe(true);
      expect((await bench.meter.admit(admission)).ok).toBe(true);
    }));
});

describe("a spend limit", () => {
  const periods: [CostPeriod, Partial<KeyLimits>, number][] = [
    ["daily", { costPerDay: 1_000 }, Date.UTC(2099, 10, 19)],
    ["weekly", { costPerWeek: 1_000 }, Date.UTC(2099, 10, 23)],
    ["monthly", { costPerMonth: 1_000 }, Date.UTC(2099, 11, 1)],
  ];

  test.each(periods)(
    "(%s) refuses once it is reached, until its period ends",
    (period, limits, endsAtMs) =>
      withLimits(limits, async (bench) => {
        expect(await bench.spend(999)).toBeNull();
        expect(await bench.spend(5)).toBeNull();
        const { refusal } = await bench.admit();
        expect(refusal).toEqual({
          kind: "spend_limit_reached",
          period,
          family: null,
          limit: 1_000,
          resetAtMs: endsAtMs,
        });
        await bench.alarmsUntil(endsAtMs - 1);
        bench.wakeUp();
        expect(await bench.spend(1)).toBe("spend_limit_reached");
        bench.nowMs = endsAtMs;
        expect(await bench.spend(1)).toBeNull();
      }),
  );

  test("(total) never ends by itself", () =>
    withLimits({ costTotal: 1_000 }, async (bench) => {
      await bench.spend(1_000);
      await bench.alarmsUntil(START_MS + 400 * DAY_MS);
      expect((await bench.admit()).refusal).toMatchObject({ period: "total", resetAtMs: null });
    }));

  test("lets what is under way finish, and counts it", () =>
    withLimits({ costPerDay: 1_000 }, async (bench) => {
      const running = await Promise.all(Array.from({ length: 3 }, () => bench.admit()));
      for (const { id } of running) bench.settle(id, 900);
      expect(bench.meter.usage(bench.policy).inUse.cost.daily.spent).toBe(2_700);
      expect(await bench.spend(1)).toBe("spend_limit_reached");
    }));

  test("for one model family leaves the others alone", () =>
    withLimits({ familyCostPerWeek: { family: "opus", cost: 1_000 } }, async (bench) => {
      expect(await bench.spend(5_000, 0, "claude-sonnet-5")).toBeNull();
      expect(await bench.spend(1_000, 0, "claude-opus-5")).toBeNull();
      expect(await bench.spend(1, 0, "claude-opus-4-8")).toBe("spend_limit_reached");
      expect(await bench.spend(1, 0, "claude-sonnet-5")).toBeNull();
      bench.wakeUp();
      expect(await bench.spend(1, 0, "claude-opus-5")).toBe("spend_limit_reached");
      bench.nowMs = Date.UTC(2099, 10, 23);
      expect(await bench.spend(1, 0, "claude-opus-5")).toBeNull();
    }));

  test("of 0 lets nothing through, and promises no time", () =>
    withLimits({ costPerDay: 0 }, async (bench) => {
      expect((await bench.admit()).refusal).toMatchObject({ limit: 0, resetAtMs: null });
    }));

  test("never refuses count_tokens, which is checked and not let in", () =>
    withLimits({ costPerDay: 0, concurrency: 0 }, async (bench) => {
      const use = { policy: bench.policy, mark: MARK, model: "claude-sonnet-5" };
      expect(bench.meter.check(use)).toBeNull();
    }));
});

describe("the rest of a key's rules", () => {
  test("a key that is valid from its first use on ends so long after it, also for a meter that wakes up", () =>
    withLimits(
      {},
      async (bench) => {
        bench.nowMs += 30 * DAY_MS;
        expect((await bench.admit()).refusal).toBeNull();
        bench.nowMs += DAY_MS - 1;
        bench.wakeUp();
        expect((await bench.admit()).refusal).toBeNull();
        bench.nowMs += 1;
        expect((await bench.admit()).refusal).toMatchObject({ kind: "key_expired" });
      },
      { activeForMs: DAY_MS },
    ));

  test("a replaced secret is refused at once, or when its grace has passed", () =>
    withLimits(
      {},
      async (bench) => {
        expect((await bench.admit({ mark: "another" })).refusal?.kind).toBe("key_replaced");
        expect((await bench.admit({ mark: "old" })).refusal).toBeNull();
        bench.nowMs += HOUR_MS;
        expect((await bench.admit({ mark: "old" })).refusal?.kind).toBe("key_replaced");
        expect((await bench.admit()).refusal).toBeNull();
      },
      { secret: { mark: MARK, previous: { mark: "old", validUntilMs: START_MS + HOUR_MS } } },
    ));

  test.each<[string[] | null, string[], string, boolean]>([
    [null, [], "anything", true],
    [["claude-sonnet-5"], [], "claude-sonnet-5", true],
    [["claude-sonnet-5"], [], "claude-sonnet-5-20260101", true],
    [["claude-sonnet-5"], [], "claude-sonnet-5-5", false],
    [["claude-sonnet-*"], [], "claude-sonnet-5-5", true],
    [["claude-sonnet-*"], [], "claude-opus-5", false],
    [["claude-*"], ["claude-opus-*"], "claude-opus-5", false],
    [null, ["claude-opus-*"], "CLAUDE-OPUS-5", false],
    [[], [], "claude-sonnet-5", false],
  ])("allowed %j and denied %j: may use %s: %s", (allowed, denied, model, expected) => {
    expect(mayUse({ allowed, denied }, model)).toBe(expected);
  });

  test.each<[CostPeriod, number, number, number | null]>([
    ["daily", Date.UTC(2099, 11, 31, 23, 59), Date.UTC(2099, 11, 31), Date.UTC(2100, 0, 1)],
    ["weekly", Date.UTC(2099, 10, 22, 23, 59), Date.UTC(2099, 10, 16), Date.UTC(2099, 10, 23)],
    ["weekly", Date.UTC(2099, 10, 23), Date.UTC(2099, 10, 23), Date.UTC(2099, 10, 30)],
    ["monthly", Date.UTC(2028, 1, 29, 12), Date.UTC(2028, 1, 1), Date.UTC(2028, 2, 1)],
    ["total", START_MS, 0, null],
  ])("the %s period of %d", (period, atMs, startMs, endMs) => {
    expect(periodStartMs(period, atMs)).toBe(startMs);
    expect(periodEndMs(period, atMs)).toBe(endMs);
  });
});
