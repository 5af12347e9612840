import { describe, expect, test, vi } from "vitest";
import type { EventBatch } from "../../durable-objects/event-log/contract.ts";
import { describeError } from "../../src/background.ts";
import type { LogLevel } from "../../src/config.ts";
import { EventSink } from "../../src/events/event-sink.ts";
import { categoryOf, type LogEvent, logEvent } from "../../src/events/log-event.ts";
import { makeLogger } from "../../src/log.ts";

const START_MS = Date.UTC(2026, 10, 23);

/** A sink with a clock that the test moves, and an event log that it switches off and on. */
class Bench {
  readonly sink: EventSink;
  /** Everything that was handed over, whether or not it was taken. */
  readonly sent: EventBatch[] = [];
  /** What the event log has. */
  readonly taken: EventBatch[] = [];
  isDown = false;
  /** Calls go under with their request: they never come back. */
  isLost = false;
  hasRequest = true;
  runs = 0;
  nowMs = START_MS;
  #sleepers: { atMs: number; wake: () => void }[] = [];

  constructor() {
    this.sink = new EventSink({
      deliver: async (batch) => {
        this.sent.push(batch);
        if (this.isLost) await new Promise(() => {});
        if (this.isDown) throw new Error("the event log is down");
        this.taken.push(batch);
      },
      keepAlive: (work) => {
        if (!this.hasRequest) throw new Error("no request");
        this.runs += 1;
        void work;
      },
      wait: (ms) =>
        new Promise<void>((wake) => {
          this.#sleepers.push({ atMs: this.nowMs + ms, wake });
        }),
      now: () => this.nowMs,
    });
  }

  note(event: string, level: LogLevel = "info", fields: Record<string, unknown> = {}): void {
    this.sink.note(logEvent(level, event, fields, this.nowMs));
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    for (;;) {
      await settled();
      const next = this.#sleepers.sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#sleepers.shift();
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.wake();
    }
    this.nowMs = untilMs;
  }

  get events(): LogEvent[] {
    return this.taken.flatMap(({ events }) => events);
  }
}

/** Lets everything run that waits for nothing but its turn. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

const refuse = (bench: Bench, times: number, fields: Record<string, unknown> = {}) => {
  for (let time = 0; time < times; time += 1) {
    bench.note("request.refused", "info", {
      requestId: `r${time}`,
      reason: "key_unknown",
      ...fields,
    });
  }
};

/** How many refusals the events tell of, one by one or summed up. */
const told = (events: LogEvent[]) =>
  events.reduce((sum, { detail }) => sum + Number(detail.repeated ?? 1), 0);

describe("events on their way to the event log", () => {
  test("are gathered for half a second, and go as numbered batches", async () => {
    const bench = new Bench();
    for (let index = 0; index < 450; index += 1) {
      bench.note("request.settled", "debug", { requestId: `r${index}` });
    }
    await bench.advance(499);
    expect(bench.sent).toEqual([]);
    await bench.advance(1);
    expect(bench.taken.map(({ number, events }) => [number, events.length])).toEqual([
      [1, 200],
      [2, 200],
      [3, 50],
    ]);
    expect(new Set(bench.taken.map(({ source }) => source)).size).toBe(1);
    expect(bench.events.map(({ requestId }) => requestId)).toEqual(
      Array.from({ length: 450 }, (_, index) => `r${index}`),
    );
    expect(bench.runs).toBe(1);
  });

  test("nothing is sent while nothing happens", async () => {
    const bench = new Bench();
    bench.note("account.refreshed");
    await bench.advance(600_000);
    expect(bench.sent).toHaveLength(1);
    expect(bench.runs).toBe(1);
  });

  test("wait while the event log is down, and come again under the same number", async () => {
    const bench = new Bench();
    bench.isDown = true;
    bench.note("account.refreshed", "info", { accountId: "a" });
    await bench.advance(8_000);
    expect(bench.sent.map(({ number }) => number)).toEqual([1, 1, 1, 1]);
    bench.note("account.refreshed", "info", { accountId: "b" });
    await bench.advance(5_000);
    expect(bench.sent).toHaveLength(4);
    bench.isDown = false;
    await bench.advance(10_000);
    bench.note("account.refreshed", "info", { accountId: "c" });
    await bench.advance(1_000);
    expect(bench.taken.map(({ number }) => number)).toEqual([1, 2]);
    expect(bench.events.map(({ accountId }) => accountId)).toEqual(["a", "b", "c"]);
  });

  test("that went under with their request are sent again, under the same number", async () => {
    const bench = new Bench();
    bench.isLost = true;
    bench.note("account.refreshed", "info", { accountId: "a" });
    await bench.advance(1_000);
    bench.isLost = false;
    bench.note("account.refreshed", "info", { accountId: "b" });
    await bench.advance(5_000);
    expect(bench.taken).toEqual([]);
    await bench.advance(15_000);
    bench.note("account.refreshed", "info", { accountId: "c" });
    await bench.advance(1_000);
    expect(bench.sent.map(({ number }) => number)).toEqual([1, 1, 2]);
    expect(bench.events.map(({ accountId }) => accountId)).toEqual(["a", "b", "c"]);
  });

  test("that find no room are counted, and the count is told", async () => {
    const bench = new Bench();
    bench.isDown = true;
    const settle = (times: number) => {
      for (let time = 0; time < times; time += 1) bench.note("request.settled", "debug");
    };
    settle(10);
    await bench.advance(10_000);
    settle(1_234);
    bench.isDown = false;
    await bench.advance(20_000);
    settle(1);
    await bench.advance(1_000);
    expect(bench.events.filter(({ event }) => event === "request.settled")).toHaveLength(1_010);
    expect(bench.events.filter(({ event }) => event === "log.dropped")).toMatchObject([
      { level: "warn", category: "system", detail: { dropped: 235 } },
    ]);
  });

  test("outside of any request they wait for the next one", async () => {
    const bench = new Bench();
    bench.hasRequest = false;
    expect(() => bench.note("account.refreshed")).not.toThrow();
    await bench.advance(60_000);
    bench.hasRequest = true;
    bench.note("account.refreshed");
    await bench.advance(1_000);
    expect(bench.events).toHaveLength(2);
  });
});

describe("what anyone can cause at will", () => {
  test("ten thousand wrong keys are two calls, five events and a true sum", async () => {
    const bench = new Bench();
    refuse(bench, 10_000);
    await bench.advance(1_000);
    expect(bench.events).toHaveLength(5);
    await bench.advance(30_000);
    expect(bench.sent).toHaveLength(2);
    expect(bench.events.at(-1)).toMatchObject({
      event: "request.refused",
      level: "info",
      category: "request",
      requestId: null,
      detail: { reason: "key_unknown", repeated: 9_995 },
    });
    expect(bench.runs).toBe(1);
  });

  test("an attack that goes on is one call in twenty seconds, and every request is in the sums", async () => {
    const bench = new Bench();
    for (let second = 0; second < 600; second += 1) {
      refuse(bench, 100);
      await bench.advance(1_000);
    }
    expect(bench.sent.length).toBeLessThanOrEqual(600 / 20 + 2);
    refuse(bench, 1);
    await bench.advance(60_000);
    expect(told(bench.events)).toBe(60_001);
  });

  test("what else happens meanwhile is told at once", async () => {
    const bench = new Bench();
    refuse(bench, 100);
    await bench.advance(5_000);
    bench.note("account.needs_relogin", "error", { accountId: "a" });
    refuse(bench, 100, { reason: "key_disabled", keyId: "k" });
    await bench.advance(500);
    expect(bench.events.filter(({ event }) => event === "account.needs_relogin")).toHaveLength(1);
    expect(bench.events.filter(({ keyId }) => keyId === "k")).toHaveLength(5);
    await bench.advance(40_000);
    expect(told(bench.events)).toBe(201);
    expect(bench.events.at(-1)).toMatchObject({ keyId: "k", detail: { repeated: 95 } });
  });

  test("more kinds than can be told apart share a sum; none is lost", async () => {
    const bench = new Bench();
    for (let key = 0; key < 900; key += 1) refuse(bench, 10, { keyId: `k${key}` });
    await bench.advance(60_000);
    refuse(bench, 1);
    await bench.advance(60_000);
    const dropped = bench.events.filter(({ event }) => event === "log.dropped");
    const lost = dropped.reduce((sum, { detail }) => sum + Number(detail.dropped), 0);
    const refusals = bench.events.filter(({ event }) => event === "request.refused");
    expect(refusals.find(({ keyId, detail }) => keyId === null && detail.repeated)).toMatchObject({
      detail: { repeated: 4_000 - 5 },
    });
    expect(told(refusals) + lost).toBe(9_001);
  });

  test("acts of an admin are never summed up", async () => {
    const bench = new Bench();
    for (let key = 0; key < 50; key += 1) bench.note("admin.acted", "info", { keyId: "k" });
    await bench.advance(1_000);
    expect(bench.events).toHaveLength(50);
  });
});

describe("a line of the log", () => {
  const written = (act: () => void): string[] => {
    const lines: string[] = [];
    for (const method of ["log", "warn", "error"] as const) {
      vi.spyOn(console, method).mockImplementation((line) => lines.push(String(line)));
    }
    act();
    vi.restoreAllMocks();
    return lines;
  };

  test("goes to the console and, as it is, to the event log; what is below the level to neither", () => {
    const noted: LogEvent[] = [];
    const log = makeLogger("info", { accountId: "a" }, (event) => noted.push(event));
    const lines = written(() => {
      log("debug", "request.settled", { requestId: "r" });
      log("warn", "account.refresh_failed", { failures: 2, reason: "unreachable" });
    });
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        level: "warn",
        event: "account.refresh_failed",
        accountId: "a",
        failures: 2,
        reason: "unreachable",
      },
    ]);
    expect(noted).toMatchObject([
      {
        level: "warn",
        category: "account",
        event: "account.refresh_failed",
        requestId: null,
        accountId: "a",
        detail: { failures: 2, reason: "unreachable" },
      },
    ]);
  });

  test("is one line, whatever a value holds", () => {
    const log = makeLogger("info", {});
    const forged = 'x"}\n{"level":"error","event":"forged"}\u2028\u001b[2K';
    const lines = written(() => log("info", "request.refused", { reason: forged }));
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toMatch(/\p{Cc}/u);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "info", reason: forged });
  });

  test("is bounded: long texts are cut, too many fields are left out", () => {
    const fields = Object.fromEntries(
      Array.from({ length: 40 }, (_, index) => [`f${index}`, "x".repeat(100_000)]),
    );
    const event = logEvent("info", "a.b", { ...fields, requestId: "r".repeat(1_000) }, 0);
    expect(JSON.stringify(event).length).toBeLessThan(5_000);
    expect(logEvent("info", "a.b", { list: [1, { a: 2 }], none: undefined }, 0).detail).toEqual({
      list: '[1,{"a":2}]',
    });
  });

  test("has a category by its first word; an unknown one is the system's", () => {
    expect(
      [
        "request.refused",
        "settle.failed",
        "account.refreshed",
        "audit.unfinished",
        "x.y",
        "bare",
      ].map(categoryOf),
    ).toEqual(["request", "request", "account", "admin", "system", "system"]);
  });

  test("quotes nothing that a parser could not read", () => {
    let thrown: unknown;
    try {
      JSON.parse("a prompt that is no JSON");
    } catch (error) {
      thrown = error;
    }
    expect(String(thrown)).toContain("prompt");
    expect(describeError(thrown)).toBe("SyntaxError");
    expect(describeError(new Error("e".repeat(1_000)))).toHaveLength(300);
  });
});
