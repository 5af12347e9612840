import { reset } from "cloudflare:test";
import { afterEach, expect, test } from "vitest";
import {
  HOUR_MS,
  MINUTE_MS,
  OPS,
  SECOND_MS,
  START_MS,
  troubleOf,
  withBench,
} from "./alert-bench.ts";

afterEach(() => reset());

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

test("an end is told to whoever heard of any of it, and a webhook hears only what it wants", () =>
  withBench(async (bench) => {
    await bench.add({ name: "near", kinds: ["key_near_limit"] });
    await bench.add({
      name: "other",
      kinds: ["account_needs_relogin"],
      address: "https://o.example/",
    });
    const level = { keyId: "alice", limit: "costPerDay", reason: "r", untilMs: null };
    for (const name of ["near", "reached", "none"] as const) {
      await bench.desk.observeKey([{ ...level, level: name, atMs: bench.nowMs }]);
      await bench.runUntil(bench.nowMs + 5 * SECOND_MS);
    }
    expect(bench.told).toEqual(["key_near_limit raised", "key_at_limit recovered"]);
    expect(bench.targets.map(({ address }) => address)).toEqual([OPS.address, OPS.address]);
  }));

test("another cause of the same trouble is told again, the same cause is not", () =>
  withBench(async (bench) => {
    await bench.add();
    const trouble = troubleOf("a");
    for (const cause of ["org_disabled", "spend_limited", "spend_limited"]) {
      await bench.desk.observe({ incidents: [{ ...trouble, cause }], watched: ["a"] });
      await bench.runUntil(bench.nowMs + 5 * SECOND_MS);
    }
    expect(bench.taken.map(({ advice }) => advice.slice(0, 20))).toEqual([
      expect.stringContaining("Anthropic"),
      expect.stringContaining("add credit"),
    ]);
  }));

test("how accounts stand says nothing of keys, and who was switched off is not called well", () =>
  withBench(async (bench) => {
    await bench.add();
    const level = { keyId: "alice", limit: "costPerDay", reason: "r", untilMs: null };
    await bench.desk.observeKey([{ ...level, level: "reached", atMs: bench.nowMs }]);
    await bench.observe(["a", "b"]);
    await bench.observe(["b"], ["b"]);
    await bench.observe([]);
    expect(bench.told).toEqual([
      ...["account_unusable raised", "key_at_limit raised"].sort(),
      ...["account_unusable recovered", "account_unusable recovered"],
    ]);
    const [off, well] = bench.taken.slice(2).map(({ lines }) => lines[0]);
    expect(off).toContain("it was switched off, removed or has expired");
    expect(well).toContain("switched off; it began");
    expect(well).not.toContain("removed");
  }));

test("what comes and goes before it is told is told once, as it was last", () =>
  withBench(async (bench) => {
    await bench.add();
    for (const reason of ["first", "second"]) {
      const incidents = [{ ...troubleOf("a"), reason }];
      await bench.desk.observe({ incidents, watched: ["a"] });
      await bench.desk.observe({ incidents: [], watched: ["a"] });
    }
    await bench.runUntil(bench.nowMs + 5 * SECOND_MS);
    expect(bench.told).toEqual(["account_unusable raised", "account_unusable recovered"]);
    expect(bench.taken.map(({ lines }) => lines[0])).toEqual([
      expect.stringContaining("second"),
      expect.stringContaining("second"),
    ]);
    await bench.runUntil(bench.nowMs + HOUR_MS / 2);
    expect(bench.taken).toHaveLength(2);
  }));

test("of what comes and goes before it is told, how it stands is told last", () =>
  withBench(async (bench) => {
    await bench.add();
    await bench.observe(["b"]);
    bench.taken.length = 0;
    // One that was well comes and goes, one that was told goes and comes back; each twice.
    for (const troubled of [["a"], ["b"], ["a"], ["b"]]) {
      await bench.desk.observe({ incidents: troubled.map(troubleOf), watched: ["a", "b"] });
      bench.nowMs += 10;
    }
    await bench.runUntil(bench.nowMs + 5 * SECOND_MS);
    const last = (id: string) =>
      bench.taken.findLast(({ about }) => about.some((each) => each.id === id))?.state;
    expect([last("a"), last("b")]).toEqual(["recovered", "raised"]);
    await bench.observe([]);
    expect(last("b")).toBe("recovered");
  }));

test("a receiver that fails is asked at longer and longer intervals, a quarter of an hour at most", () =>
  withBench(async (bench) => {
    await bench.add();
    bench.fails = 20;
    await bench.observe(["a"]);
    await bench.runUntil(START_MS + 3 * HOUR_MS);
    const gaps = bench.triedAtMs.slice(1).map((at, index) => at - (bench.triedAtMs[index] ?? 0));
    expect(gaps.slice(0, 4)).toEqual([500, 1_000, 2_000, 4_000]);
    expect(gaps.slice(12, 16)).toEqual(Array(4).fill(15 * MINUTE_MS));
  }));

test("no sooner than it asks, and no later than a quarter of an hour", () =>
  withBench(async (bench) => {
    await bench.add();
    bench.fails = 2;
    bench.retryAfterMs = 3 * MINUTE_MS;
    await bench.observe(["a"]);
    await bench.runUntil(START_MS + 4 * MINUTE_MS);
    bench.retryAfterMs = 5 * HOUR_MS;
    bench.fails = 1;
    await bench.observe([]);
    await bench.runUntil(START_MS + HOUR_MS);
    const gaps = bench.triedAtMs.slice(1).map((at, index) => at - (bench.triedAtMs[index] ?? 0));
    expect(gaps[0]).toBe(3 * MINUTE_MS);
    expect(Math.max(...gaps)).toBe(15 * MINUTE_MS);
    expect(bench.told).toEqual(["account_unusable raised", "account_unusable recovered"]);
  }));

test("messages wait in their order, five hundred at the most, and what was taken is not kept", () =>
  withBench(async (bench) => {
    await bench.add();
    const count = (table: string) =>
      bench.storage.sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`).one().n;
    bench.fails = 1;
    bench.retryAfterMs = 10 * MINUTE_MS;
    await bench.observe(["a"]);
    await bench.observe([]);
    expect([count("messages"), count("deliveries")]).toEqual([2, 2]);
    // As if 510 messages had been made meanwhile.
    bench.storage.sql.exec(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 510)
       INSERT INTO deliveries (webhook_id, message_id, at_ms)
       SELECT (SELECT id FROM webhooks), (SELECT id FROM messages LIMIT 1), at_ms
       FROM n, (SELECT MAX(at_ms) AS at_ms FROM messages)`,
    );
    await bench.observe(["b"]);
    expect(bench.delivery).toMatchObject({ waiting: 500, givenUp: 13 });
    await bench.runUntil(START_MS + HOUR_MS / 2);
    expect(bench.told.at(-1)).toBe("account_unusable raised");
    expect(bench.delivery?.waiting).toBe(0);
    await bench.observe([]);
    await bench.runUntil(START_MS + 50 * MINUTE_MS);
    await bench.observe(["a"]);
    expect([count("messages"), count("deliveries")]).toEqual([1, 0]);
  }));

test("a message that still waits is not pruned, however old", () =>
  withBench(async (bench) => {
    await bench.add({ kinds: ["account_unusable"] });
    bench.fails = 12;
    await bench.observe(["a"]);
    await bench.runUntil(START_MS + 2 * HOUR_MS);
    expect(bench.told).toEqual(["account_unusable raised"]);
  }));

test("a summary waits for what meters tell the ledger late, and for a ledger that is down", () =>
  withBench(async (bench) => {
    await bench.add();
    const dueAtMs = START_MS + HOUR_MS + 12 * MINUTE_MS;
    await bench.runUntil(dueAtMs - 1);
    await bench.desk.alarm();
    expect(bench.ranges).toEqual([]);
    bench.isLedgerDown = true;
    await bench.runUntil(dueAtMs);
    expect(bench.ranges).toHaveLength(1);
    expect(await bench.storage.getAlarm()).not.toBe(dueAtMs);
    bench.isLedgerDown = false;
    await bench.desk.alarm();
    expect(bench.taken).toEqual([]);
    bench.nowMs = dueAtMs + MINUTE_MS;
    await bench.desk.alarm();
    expect(bench.told).toEqual(["daily_summary report"]);
    expect(bench.ranges.at(-1)).toEqual([START_MS, START_MS + HOUR_MS]);
  }));

test("a summary that nobody wanted for a while begins where it was asked for again", () =>
  withBench(async (bench) => {
    const id = await bench.add({ kinds: ["daily_summary"] });
    await bench.desk.update(id, { kinds: ["account_unusable"] });
    expect(await bench.storage.getAlarm()).toBeNull();
    await bench.runUntil(START_MS + 30 * HOUR_MS);
    await bench.desk.update(id, { kinds: ["daily_summary"] });
    await bench.runUntil(START_MS + 50 * HOUR_MS);
    expect(bench.ranges).toEqual([[START_MS + 30 * HOUR_MS, START_MS + 49 * HOUR_MS]]);
  }));
