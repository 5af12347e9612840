import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, test } from "vitest";
import { AlertDesk } from "../../durable-objects/alerts/desk.ts";
import { Vault } from "../../src/accounts/vault.ts";
import { ALERT_KINDS, type AlertMessage, type Incident } from "../../src/alerts/alert.ts";
import { fail, ok } from "../../src/result.ts";

afterEach(() => reset());

/** Far ahead: the runtime fires an alarm of the past at once, and the test would not move the clock. */
const START_MS = Date.UTC(2099, 10, 30, 7, 0, 0);
const HOUR_MS = 60 * 60_000;

class Bench {
  nowMs = START_MS;
  fails = 0;
  readonly tries: AlertMessage[] = [];
  readonly taken: AlertMessage[] = [];
  readonly ranges: [number, number][] = [];
  readonly storage: DurableObjectStorage;
  readonly #vault: Vault;
  desk: AlertDesk;

  constructor(storage: DurableObjectStorage, vault: Vault) {
    this.storage = storage;
    this.#vault = vault;
    this.desk = this.wake();
  }

  /** The object as it is made anew on the same storage. */
  wake(): AlertDesk {
    this.desk = new AlertDesk({
      storage: this.storage,
      vault: this.#vault,
      now: () => this.nowMs,
      panelUrl: null,
      summaryTime: { hour: 8, timeZone: "UTC" },
      keyName: async (id) => id,
      readSummary: async (fromMs, toMs) => {
        this.ranges.push([fromMs, toMs]);
        return SUMMARY;
      },
      send: async (_, message) => {
        this.tries.push(message);
        if (this.fails > 0) {
          this.fails -= 1;
          return fail({ message: "it answered 500", retryAfterMs: null });
        }
        this.taken.push(message);
        return ok(null);
      },
      log: () => {},
    });
    return this.desk;
  }

  async runUntil(atMs: number): Promise<void> {
    for (;;) {
      const alarmAtMs = await this.storage.getAlarm();
      if (alarmAtMs === null || alarmAtMs > atMs) break;
      this.nowMs = Math.max(this.nowMs, alarmAtMs);
      await this.storage.deleteAlarm();
      await this.wake().alarm();
    }
    this.nowMs = atMs;
  }

  async add(): Promise<string> {
    const made = await this.desk.create({
      ...{ name: "ops", format: "slack", kinds: [...ALERT_KINDS], enabled: true },
      ...{ address: "https://h.example/t0ken", secret: null },
    });
    if (!made.ok) throw new Error(made.error);
    return made.value.id;
  }
}

const SUMMARY = {
  ...{ from: "", to: "", requests: 1, failed: 0, unsettled: 0, inputTokens: 0, outputTokens: 0 },
  ...{ cacheWriteTokens: 0, cacheReadTokens: 0, costDollars: 0, topKeys: [], accounts: [] },
};

function troubleOf(id: string): Incident {
  return {
    id: `account:${id}`,
    kind: "account_unusable",
    cause: "org_disabled",
    subject: { type: "account", id, name: id },
    reason: "switched off",
    sinceMs: START_MS,
    untilMs: null,
  };
}

async function withBench(run: (bench: Bench) => Promise<void>): Promise<void> {
  const vault = await Vault.open(env.ENCRYPTION_KEY);
  const stub = env.ALERTS.getByName(crypto.randomUUID());
  await runInDurableObject(stub, (_, state) => run(new Bench(state.storage, vault)));
}

test("a receiver that fails five times gets each alert once, its end after it, over restarts", () =>
  withBench(async (bench) => {
    const id = await bench.add();
    bench.fails = 5;
    const picture = { incidents: [troubleOf("a")], watched: ["a"] };
    await bench.desk.observe(picture);
    await bench.desk.observe(picture);
    await bench.runUntil(START_MS + 5_000);
    await bench.wake().observe({ incidents: [], watched: ["a"] });
    await bench.runUntil(START_MS + 60_000);
    expect(bench.taken.map(({ state }) => state)).toEqual(["raised", "recovered"]);
    expect(bench.tries).toHaveLength(7);
    expect(new Set(bench.tries.map((message) => message.id)).size).toBe(2);
    expect(bench.desk.webhooks()).toMatchObject([
      {
        id,
        host: "h.example",
        delivery: { waiting: 0, failures: 0, lastFailure: "it answered 500" },
      },
    ]);
    const rows = JSON.stringify(bench.storage.sql.exec("SELECT * FROM webhooks").toArray());
    expect(rows).not.toContain("t0ken");
  }));

test("many accounts that fail at once are one message, and a flood is bounded", () =>
  withBench(async (bench) => {
    await bench.add();
    const ids = Array.from({ length: 200 }, (_, index) => `account-${index}`);
    await bench.desk.observe({ incidents: ids.map(troubleOf), watched: ids });
    await bench.runUntil(START_MS + 5_000);
    expect(bench.taken).toHaveLength(1);
    expect(bench.taken[0]?.title).toContain("200 accounts cannot be used");
    expect(bench.taken[0]?.about).toHaveLength(200);
    for (let turn = 0; turn < 60; turn += 1) {
      const incidents = turn % 2 === 0 ? [] : ids.map(troubleOf);
      await bench.desk.observe({ incidents, watched: ids });
      await bench.runUntil(bench.nowMs + 5_000);
    }
    expect(bench.taken.length).toBeLessThanOrEqual(10);
  }));

test("what a receiver never takes is given up after a day, and counted", () =>
  withBench(async (bench) => {
    await bench.add();
    bench.fails = 100_000;
    await bench.desk.observe({ incidents: [troubleOf("a")], watched: ["a"] });
    await bench.runUntil(START_MS + 23 * HOUR_MS);
    expect(bench.desk.webhooks()[0]?.delivery).toMatchObject({ givenUp: 0 });
    await bench.runUntil(START_MS + 25 * HOUR_MS);
    expect(bench.desk.webhooks()[0]?.delivery.givenUp).toBeGreaterThan(0);
  }));

test("each day is summed up once, and days that were slept through are in the next one", () =>
  withBench(async (bench) => {
    await bench.add();
    await bench.runUntil(START_MS + 2 * HOUR_MS);
    bench.nowMs = START_MS + 49 * HOUR_MS + HOUR_MS;
    await bench.wake().alarm();
    await bench.wake().alarm();
    expect(bench.ranges).toEqual([
      [START_MS, START_MS + HOUR_MS],
      [START_MS + HOUR_MS, START_MS + 49 * HOUR_MS],
    ]);
    expect(bench.taken.map(({ kind }) => kind)).toEqual(["daily_summary", "daily_summary"]);
  }));

test("a key's limit is told once a level", () =>
  withBench(async (bench) => {
    await bench.add();
    const level = { keyId: "alice", limit: "costPerDay", reason: "$9 of $10", untilMs: null };
    for (const name of ["near", "near", "reached", "reached", "none", "none"] as const) {
      await bench.desk.observeKey([{ ...level, level: name, atMs: bench.nowMs }]);
      await bench.runUntil(bench.nowMs + 5_000);
    }
    expect(bench.taken.map(({ kind, state }) => `${kind} ${state}`)).toEqual([
      "key_near_limit raised",
      "key_at_limit raised",
      "key_at_limit recovered",
    ]);
  }));
