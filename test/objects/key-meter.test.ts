import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { Meter } from "../../durable-objects/key-meter/meter.ts";
import { SCHEMA_STEPS } from "../../durable-objects/key-meter/schema.ts";
import { UNLIMITED } from "../../src/keys/key-limits.ts";
import { type Bill, NOTHING_BILLED, type Settlement } from "../../src/relay/settlement.ts";
import { newRequestId } from "../../src/request-id.ts";
import { HEARD } from "./ledger-post.ts";
import { MARK, OPEN } from "./open-policy.ts";

afterEach(() => reset());

/** Far ahead: the runtime fires an alarm of the past at once, and the test would not move the clock. */
const START_MS = Date.UTC(2099, 10, 30, 23, 30, 0);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

class Bench {
  nowMs = START_MS;
  readonly meter: Meter;
  readonly storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage, nowMs = START_MS) {
    this.nowMs = nowMs;
    this.storage = storage;
    this.meter = new Meter(storage, () => this.nowMs, HEARD);
  }

  async admit(policy = OPEN, model = "claude-sonnet-5"): Promise<string> {
    const requestId = newRequestId(this.nowMs);
    const admitted = await this.meter.admit({
      requestId,
      policy,
      mark: MARK,
      model,
      previousMessageId: null,
      session: null,
      accountId: null,
    });
    return admitted.ok ? requestId : admitted.error.kind;
  }

  settle(requestId: string, patch: Partial<Settlement> = {}): boolean {
    return this.meter.settle(settlementOf(requestId, patch));
  }

  count(where: string): number {
    return this.storage.sql.exec<{ count: number }>(`SELECT COUNT(*) AS count FROM ${where}`).one()
      .count;
  }

  /** Fires the alarm as often as it is due up to that time. */
  async runUntil(atMs: number): Promise<void> {
    for (;;) {
      const alarmAtMs = await this.storage.getAlarm();
      if (alarmAtMs === null || alarmAtMs > atMs) break;
      this.nowMs = Math.max(this.nowMs, alarmAtMs);
      await this.storage.deleteAlarm();
      await this.meter.alarm();
    }
    this.nowMs = atMs;
  }
}

function settlementOf(requestId: string, patch: Partial<Settlement> = {}): Settlement {
  return {
    requestId,
    outcome: "completed",
    status: 200,
    accountId: "account",
    chosenBy: "headroom",
    session: null,
    pinnedTo: null,
    attempts: [],
    firstByteMs: 10,
    durationMs: 20,
    bill: billOf(10, 5, 1_000),
    isWatched: false,
    ...patch,
  };
}

function billOf(input: number, output: number, costNanoDollars: number): Bill {
  const tokens = { ...NOTHING_BILLED.tokens, inputTokens: input, outputTokens: output };
  return { ...NOTHING_BILLED, tokens, costNanoDollars, model: "claude-sonnet-5" };
}

async function withBench(run: (bench: Bench) => Promise<void>): Promise<void> {
  const stub = env.KEY_METER.get(env.KEY_METER.idFromName(crypto.randomUUID()));
  await runInDurableObject(stub, (_, state) => run(new Bench(state.storage)));
}

describe("a key's switches", () => {
  test("what the meter was told wins over an older record, so a revoked key is refused at once", () =>
    withBench(async (bench) => {
      expect(await bench.admit()).toMatch(/^rly_/);
      bench.meter.configure({ ...OPEN, revokedAtMs: START_MS, version: 2 });
      expect(await bench.admit(OPEN)).toBe("key_revoked");
      expect(bench.count("requests")).toBe(1);
    }));

  test("a newer record than the meter's holds from its first request on", () =>
    withBench(async (bench) => {
      bench.meter.configure({ ...OPEN, enabled: false, version: 1 });
      expect(await bench.admit({ ...OPEN, version: 1 })).toBe("key_disabled");
      expect(await bench.admit({ ...OPEN, version: 2 })).toMatch(/^rly_/);
      expect(await bench.admit({ ...OPEN, enabled: false, version: 1 })).toMatch(/^rly_/);
    }));

  test("of two changes made at once, the second is told that it came too late", () =>
    withBench(async (bench) => {
      expect(bench.meter.configure({ ...OPEN, version: 2, enabled: false })).toBe(true);
      expect(bench.meter.configure({ ...OPEN, version: 2, expiresAtMs: 5 })).toBe(false);
      expect(bench.meter.configure({ ...OPEN, version: 2, enabled: false })).toBe(true);
    }));

  test("a key expires at its time, and a deleted one is unknown", () =>
    withBench(async (bench) => {
      const expiring = { ...OPEN, expiresAtMs: START_MS + 1_000, version: 2 };
      expect(await bench.admit(expiring)).toMatch(/^rly_/);
      bench.nowMs += 1_000;
      expect(await bench.admit(expiring)).toBe("key_expired");
      bench.meter.configure({ ...OPEN, deletedAtMs: 5, version: 3 });
      expect(await bench.admit(expiring)).toBe("key_unknown");
    }));

  test("outlive the object's memory", async () => {
    const stub = env.KEY_METER.get(env.KEY_METER.idFromName("kept"));
    await stub.configure({ ...OPEN, enabled: false, version: 7 }, null);
    await evictDurableObject(stub);
    expect(await stub.check({ policy: OPEN, mark: MARK, model: null })).toEqual({
      kind: "key_disabled",
    });
  });
});

describe("a request's row", () => {
  test("is counted once, however often it is settled", () =>
    withBench(async (bench) => {
      const id = await bench.admit();
      expect(bench.settle(id)).toBe(true);
      expect(bench.settle(id, { bill: billOf(999, 999, 999) })).toBe(false);
      expect(bench.meter.usage(OPEN).total).toMatchObject({
        requests: 1,
        input_tokens: 10,
        output_tokens: 5,
        cost_nano: 1_000,
      });
    }));

  test("is admitted once, although the call was repeated", () =>
    withBench(async (bench) => {
      const admission = {
        requestId: newRequestId(bench.nowMs),
        policy: OPEN,
        mark: MARK,
        model: "m",
        previousMessageId: null,
        session: null,
        accountId: null,
      };
      await bench.meter.admit(admission);
      bench.settle(admission.requestId);
      await bench.meter.admit(admission);
      expect(bench.meter.usage(OPEN)).toMatchObject({
        inFlight: 0,
        inUse: { concurrency: 0 },
        total: { requests: 1 },
      });
    }));

  test("that nobody settles is swept as unsettled when its lease runs out, and not before", () =>
    withBench(async (bench) => {
      await bench.admit();
      await bench.runUntil(START_MS + 14 * MINUTE_MS);
      expect(bench.meter.usage(OPEN).inFlight).toBe(1);
      await bench.runUntil(START_MS + 17 * MINUTE_MS);
      expect(bench.meter.usage(OPEN)).toMatchObject({
        inFlight: 0,
        total: { requests: 1, unsettled: 1, failed: 1, input_tokens: 0 },
      });
    }));

  test("that was swept is completed by a late settlement", () =>
    withBench(async (bench) => {
      const id = await bench.admit();
      await bench.runUntil(START_MS + 20 * MINUTE_MS);
      expect(bench.settle(id)).toBe(true);
      expect(bench.meter.usage(OPEN).total).toMatchObject({
        requests: 1,
        unsettled: 0,
        failed: 0,
        input_tokens: 10,
      });
    }));

  test("of a failure counts as a request with its outcome", () =>
    withBench(async (bench) => {
      const id = await bench.admit();
      bench.settle(id, { outcome: "upstream_error", status: 500, bill: NOTHING_BILLED });
      expect(bench.meter.usage(OPEN).total).toMatchObject({ requests: 1, failed: 1, cost_nano: 0 });
    }));

  test("that is not known is not invented by its settlement", () =>
    withBench(async (bench) => {
      expect(bench.settle(newRequestId(START_MS))).toBe(false);
      expect(bench.meter.usage(OPEN).total.requests).toBe(0);
    }));
});

describe("the sums", () => {
  test("stay the same when rows are folded, and the rows are gone", () =>
    withBench(async (bench) => {
      for (let index = 0; index < 30; index += 1) {
        const id = await bench.admit(OPEN, index % 3 === 0 ? "claude-opus-5" : "claude-sonnet-5");
        const model = index % 3 === 0 ? "claude-opus-5" : "claude-sonnet-5";
        bench.settle(id, {
          bill: { ...billOf(index, 2 * index, 3 * index), model, estimated: index % 5 === 0 },
        });
        bench.nowMs += 10 * MINUTE_MS;
      }
      const before = bench.meter.usage(OPEN);
      await bench.runUntil(bench.nowMs + 2 * HOUR_MS);
      expect(bench.count("requests")).toBe(0);
      expect(bench.count("hourly")).toBeGreaterThan(5);
      const after = bench.meter.usage(OPEN);
      expect(after.total).toEqual(before.total);
      expect(after.byModel).toEqual(before.byModel);
      expect(after.byDay).toEqual(before.byDay);
      expect(after.total).toMatchObject({
        requests: 30,
        input_tokens: 435,
        output_tokens: 870,
        cost_nano: 1305,
        estimated: 6,
      });
    }));

  test("of the last thirty days are told day by day, folded or not, those without use too", () =>
    withBench(async (bench) => {
      const dayMs = 24 * HOUR_MS;
      const daysAgo = (days: number) =>
        Date.UTC(2099, new Date(START_MS).getUTCMonth(), new Date(START_MS).getUTCDate()) -
        days * dayMs;
      const use = async (atMs: number, tokens: number) => {
        bench.nowMs = atMs;
        bench.settle(await bench.admit(OPEN), { bill: billOf(tokens, 0, tokens) });
      };
      await use(daysAgo(30) + 23 * HOUR_MS, 1);
      await use(daysAgo(29), 2);
      await use(daysAgo(1) + 23 * HOUR_MS, 4);
      await bench.runUntil(daysAgo(0) + 2 * HOUR_MS);
      await use(daysAgo(0) + 3 * HOUR_MS, 8);
      const { byDay = [] } = bench.meter.usage(OPEN);
      expect(byDay.map(({ startMs }) => startMs)).toEqual(
        Array.from({ length: 30 }, (_, index) => daysAgo(29 - index)),
      );
      const used = byDay.map(({ input_tokens, requests }) => [requests, input_tokens]);
      expect(used[0]).toEqual([1, 2]);
      expect(used.slice(1, 28)).toEqual(Array.from({ length: 27 }, () => [0, 0]));
      expect(used.slice(28)).toEqual([
        [1, 4],
        [1, 8],
      ]);
    }));

  test("of the day and the month begin anew at midnight UTC, folded or not", () =>
    withBench(async (bench) => {
      bench.settle(await bench.admit());
      expect(bench.meter.usage(OPEN)).toMatchObject({
        daily: { requests: 1 },
        monthly: { requests: 1 },
      });
      bench.nowMs = Date.UTC(2099, 11, 1);
      bench.settle(await bench.admit());
      for (const later of [0, 3 * HOUR_MS]) {
        await bench.runUntil(bench.nowMs + later);
        expect(bench.meter.usage(OPEN)).toMatchObject({
          total: { requests: 2 },
          daily: { requests: 1 },
          monthly: { requests: 1 },
        });
      }
      await bench.runUntil(Date.UTC(2099, 11, 2));
      expect(bench.meter.usage(OPEN)).toMatchObject({
        daily: { requests: 0 },
        monthly: { requests: 1 },
      });
    }));

  test("an idle meter sleeps: once everything is folded no alarm is set", () =>
    withBench(async (bench) => {
      bench.settle(await bench.admit());
      await bench.runUntil(START_MS + DAY_MS);
      expect(await bench.storage.getAlarm()).toBeNull();
      expect(bench.meter.usage(OPEN).total.requests).toBe(1);
    }));

  test("hourly sums are pruned after a year, the lifetime's never", () =>
    withBench(async (bench) => {
      bench.settle(await bench.admit());
      await bench.runUntil(START_MS + 500 * DAY_MS);
      bench.settle(await bench.admit());
      await bench.runUntil(bench.nowMs + 3 * HOUR_MS);
      expect(bench.count("hourly")).toBe(1);
      expect(bench.meter.usage(OPEN).total.requests).toBe(2);
    }));
});

test("a thread's message is remembered with the account that made it", () =>
  withBench(async (bench) => {
    bench.meter.rememberMessage("msg_1", "account-1");
    const ask = (previousMessageId: string) =>
      bench.meter.admit({
        requestId: newRequestId(bench.nowMs),
        policy: OPEN,
        mark: MARK,
        model: "m",
        previousMessageId,
        session: null,
        accountId: null,
      });
    expect(await ask("msg_1")).toEqual({
      ok: true,
      value: { threadAccountId: "account-1", pinnedTo: null, isTight: false },
    });
    expect(await ask("msg_2")).toEqual({
      ok: true,
      value: { threadAccountId: null, pinnedTo: null, isTight: false },
    });
  }));

describe("a session's pin", () => {
  const enter = async (bench: Bench, session: string, accountId: string | null) => {
    const requestId = newRequestId(bench.nowMs);
    const admitted = await bench.meter.admit({
      requestId,
      policy: OPEN,
      mark: MARK,
      model: "m",
      previousMessageId: null,
      session,
      accountId,
    });
    return { requestId, pinnedTo: admitted.ok ? admitted.value.pinnedTo : "refused" };
  };
  const leave = (bench: Bench, requestId: string, patch: Partial<Settlement>) =>
    bench.settle(requestId, { session: "s", ...patch });

  test("is the account that its first request was meant for, and later proposals do not move it", () =>
    withBench(async (bench) => {
      expect((await enter(bench, "s", "a")).pinnedTo).toBe("a");
      expect((await enter(bench, "s", "b")).pinnedTo).toBe("a");
      expect((await enter(bench, "t", "b")).pinnedTo).toBe("b");
      expect(bench.count("sessions")).toBe(2);
    }));

  test("is set by the account that served, where none was proposed", () =>
    withBench(async (bench) => {
      const { requestId, pinnedTo } = await enter(bench, "s", null);
      expect(pinnedTo).toBeNull();
      leave(bench, requestId, { pinnedTo: null, accountId: "c" });
      expect(bench.meter.pinOf("s")).toBe("c");
    }));

  test("follows the account that served instead, and stays with it", () =>
    withBench(async (bench) => {
      const first = await enter(bench, "s", "a");
      leave(bench, first.requestId, { pinnedTo: "a", accountId: "b" });
      expect((await enter(bench, "s", "a")).pinnedTo).toBe("b");
    }));

  test("is not moved by an error that was passed on, nor by a request from before an earlier move", () =>
    withBench(async (bench) => {
      const [first, second, third] = [
        await enter(bench, "s", "a"),
        await enter(bench, "s", "a"),
        await enter(bench, "s", "a"),
      ];
      leave(bench, first.requestId, { pinnedTo: "a", accountId: "b", status: 429 });
      expect(bench.meter.pinOf("s")).toBe("a");
      leave(bench, second.requestId, { pinnedTo: "a", accountId: "b" });
      leave(bench, third.requestId, { pinnedTo: "a", accountId: "c" });
      expect(bench.meter.pinOf("s")).toBe("b");
    }));

  test("outlives the object's memory, and is forgotten after a day without use", () =>
    withBench(async (bench) => {
      await enter(bench, "old", "a");
      bench.nowMs += 20 * HOUR_MS;
      await enter(bench, "s", "b");
      bench.nowMs += 5 * HOUR_MS;
      await enter(bench, "t", "b");
      await bench.runUntil(bench.nowMs + HOUR_MS);
      const woken = new Meter(bench.storage, () => bench.nowMs, HEARD);
      expect(woken.pinOf("s")).toBe("b");
      expect(woken.pinOf("old")).toBeNull();
    }));

  test("is written once, and again only after an hour of use", () =>
    withBench(async (bench) => {
      await enter(bench, "s", "a");
      const usedAt = () =>
        bench.storage.sql.exec<{ at: number }>("SELECT used_at_ms AS at FROM sessions").one().at;
      bench.nowMs += HOUR_MS - 1;
      await enter(bench, "s", "a");
      expect(usedAt()).toBe(START_MS);
      bench.nowMs += 1;
      await enter(bench, "s", "a");
      expect(usedAt()).toBe(START_MS + HOUR_MS);
    }));
});

test("a batch first takes what has ended, then lets in what may pass", () =>
  withBench(async (bench) => {
    const policy = { ...OPEN, limits: { ...OPEN.limits, concurrency: 1 }, version: 2 };
    const running = await bench.admit(policy);
    const admission = {
      policy,
      mark: MARK,
      model: "m",
      previousMessageId: null,
      session: null,
      accountId: null,
    };
    const [first, second] = [newRequestId(bench.nowMs), newRequestId(bench.nowMs)];
    const answers = await bench.meter.exchange({
      settlements: [settlementOf(running)],
      admissions: [
        { ...admission, requestId: first },
        { ...admission, requestId: second },
      ],
    });
    expect(answers?.map(({ ok }) => ok)).toEqual([true, false]);
    expect(bench.count("requests WHERE state = 'open'")).toBe(1);
  }));

test("what was used elsewhere counts once, and only before the first request here", () =>
  withBench(async (bench) => {
    const sums = {
      ...{ requests: 3, failed: 0, estimated: 0, unsettled: 0, input_tokens: 10 },
      ...{ output_tokens: 5, write_5m_tokens: 0, write_1h_tokens: 0, read_tokens: 0 },
      ...{ web_searches: 0, cost_nano: 7_000_000_000 },
    };
    const usage = [{ model: "imported", ...sums }];
    const policy = { ...OPEN, activeForMs: HOUR_MS, limits: { ...UNLIMITED, costTotal: 8e9 } };
    bench.meter.configure(policy);
    // What is spent is read, and remembered, before the rest comes.
    expect(bench.meter.usage(policy).inUse.cost.total.spent).toBe(0);
    const activatedAtMs = bench.nowMs - HOUR_MS / 2;
    expect(bench.meter.adopt({ usage, activatedAtMs })).toBe(true);
    expect(bench.meter.adopt({ usage, activatedAtMs })).toBe(false);
    const report = bench.meter.usage(policy);
    expect(report).toMatchObject({ activatedAtMs, byModel: usage });
    expect(report.inUse.cost.total.spent).toBe(7_000_000_000);
    const spent = { ...policy, limits: { ...UNLIMITED, costTotal: 7e9 }, version: 2 };
    expect(await bench.admit(spent)).toBe("spend_limit_reached");
    bench.nowMs += HOUR_MS;
    expect(await bench.admit({ ...policy, version: 3 })).toBe("key_expired");
  }));

test("a key that was used here takes over nothing any more", () =>
  withBench(async (bench) => {
    await bench.admit();
    const nothing = { usage: [], activatedAtMs: null };
    expect(bench.meter.adopt(nothing)).toBe(false);
  }));

test("rows of the tables' first version are read and completed by this one", () =>
  withBench(async (bench) => {
    const { sql } = bench.storage;
    for (const table of ["schema_version", "requests", "sessions", "delivery"]) {
      sql.exec(`DROP TABLE ${table}`);
    }
    const [first = ""] = SCHEMA_STEPS;
    sql.exec(first);
    const id = newRequestId(bench.nowMs);
    sql.exec(
      "INSERT INTO requests (id, started_at_ms, lease_until_ms, state, model) VALUES (?, ?, ?, 'open', 'm')",
      id,
      bench.nowMs,
      bench.nowMs + MINUTE_MS,
    );
    const meter = new Meter(bench.storage, () => bench.nowMs, HEARD);
    expect(meter.requests(10)).toMatchObject([{ id, state: "open", chosenBy: null, attempts: [] }]);
    expect(meter.settle(settlementOf(id))).toBe(true);
    expect(meter.requests(10)).toMatchObject([
      { id, state: "settled", chosenBy: "headroom", accountId: "account" },
    ]);
    new Meter(bench.storage, () => bench.nowMs, HEARD);
    expect(bench.count("requests")).toBe(1);
  }));
