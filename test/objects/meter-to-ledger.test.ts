import { reset } from "cloudflare:test";
import { afterEach, describe, expect, test } from "vitest";
import type { Meter } from "../../durable-objects/key-meter/meter.ts";
import { SCHEMA_STEPS as METER_STEPS } from "../../durable-objects/key-meter/schema.ts";
import { HOUR_MS } from "../../durable-objects/usage-ledger/schema.ts";
import { NOTHING_BILLED } from "../../src/relay/settlement.ts";
import { newRequestId } from "../../src/request-id.ts";
import {
  MINUTE_MS,
  SECOND_MS,
  START_MS,
  settlementOf,
  summedUp,
  withLedger,
  withSender,
} from "./ledger-bench.ts";
import { OPEN } from "./open-policy.ts";

afterEach(() => reset());

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
