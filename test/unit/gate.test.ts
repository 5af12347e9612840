import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Logger } from "../../src/log.ts";
import { Gate } from "../../src/relay/gate.ts";

let nowMs = 0;
beforeEach(() => {
  nowMs = 1_000_000;
  vi.spyOn(Date, "now").mockImplementation(() => nowMs);
  vi.spyOn(scheduler, "wait").mockImplementation(async (ms) => {
    nowMs += ms;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** A gate, and who has gone through it. */
class Bench {
  readonly lines: Parameters<Logger>[] = [];
  readonly gate = new Gate((...line) => this.lines.push(line));

  /** @returns how many of so many that come at once were let in */
  come(count: number): number {
    let entered = 0;
    for (let nth = 0; nth < count; nth += 1) {
      if (!this.gate.hasRoom()) continue;
      this.gate.enter();
      entered += 1;
    }
    return entered;
  }

  /** The meters of so many answer, who entered so long ago. */
  answer(count: number, afterMs: number): void {
    for (let nth = 0; nth < count; nth += 1) this.gate.metered(nowMs - afterMs);
  }

  /** The heads of so many are here, who entered so long ago. */
  leave(count: number, afterMs: number): void {
    for (let nth = 0; nth < count; nth += 1) this.gate.leave(nowMs - afterMs);
  }

  /** So many at once waited for their meters, and for long. */
  overload(): void {
    this.come(128);
    nowMs += 300;
    this.answer(128, 300);
  }

  turnAway(count: number): void {
    for (let nth = 0; nth < count; nth += 1) this.gate.noteRefused();
  }
}

describe("the gate", () => {
  test("lets thousands wait for upstream, as long as meters answer soon", () => {
    const bench = new Bench();
    for (let round = 0; round < 100; round += 1) {
      expect(bench.come(100)).toBe(100);
      nowMs += 20;
      bench.answer(100, 20);
    }
  });

  test("bounds those who ask meters at one moment, and has room again when they are answered", () => {
    const bench = new Bench();
    expect(bench.come(200)).toBe(128);
    nowMs += 5;
    bench.answer(128, 5);
    expect(bench.come(10)).toBe(10);
  });

  test("lets a burst wait for its turn, and no more than can wait", async () => {
    const bench = new Bench();
    bench.come(128);
    expect(bench.gate.isShut()).toBe(false);
    const waiting = Array.from({ length: 256 }, () => bench.gate.waitForRoom());
    expect(bench.gate.isShut()).toBe(true);
    bench.answer(128, 5);
    expect(await Promise.all(waiting)).toEqual(Array.from({ length: 256 }, () => true));
    expect(bench.gate.isShut()).toBe(false);
  });

  test("lets nobody wait for more than about a second", async () => {
    const bench = new Bench();
    bench.come(128);
    const beganAtMs = nowMs;
    expect(await bench.gate.waitForRoom()).toBe(false);
    expect(nowMs - beganAtMs).toBeGreaterThanOrEqual(1_000);
    expect(nowMs - beganAtMs).toBeLessThan(1_200);
  });

  test("lets only a few begin where many ask and no meter answers soon, and nobody wait for that", () => {
    const bench = new Bench();
    bench.overload();
    // All of them are still new, and without the heads of their answers.
    expect(bench.come(10)).toBe(0);
    expect(bench.gate.isShut()).toBe(true);
    bench.leave(127, 300);
    expect(bench.come(100)).toBe(63);
  });

  test("takes for busy only who began a moment ago: the others wait for upstream", () => {
    const bench = new Bench();
    bench.overload();
    nowMs += 500;
    // None of the first ones has its answer yet.
    expect(bench.come(100)).toBe(64);
    nowMs += 500;
    bench.answer(64, 500);
    expect(bench.come(100)).toBe(64);
    // Those that are no longer counted are not counted off either.
    bench.leave(128, 1_300);
    bench.leave(64, 500);
    expect(bench.come(1)).toBe(0);
  });

  test("opens by one with each eight whose meters answer soon, and wholly after a while of calm", () => {
    const bench = new Bench();
    bench.overload();
    bench.leave(128, 300);
    expect(bench.come(64)).toBe(64);
    nowMs += 10;
    bench.answer(64, 10);
    expect(bench.come(100)).toBe(8);
    bench.answer(8, 0);
    nowMs += 5_000;
    expect(bench.come(1)).toBe(1);
    bench.answer(1, 0);
    for (let round = 0; round < 20; round += 1) {
      expect(bench.come(100)).toBe(100);
      bench.answer(100, 0);
    }
  });

  test("is not open to all while some are turned away", () => {
    const bench = new Bench();
    bench.overload();
    bench.leave(128, 300);
    nowMs += 4_000;
    bench.turnAway(1);
    nowMs += 4_000;
    bench.come(1);
    bench.answer(1, 0);
    expect(bench.come(100)).toBe(64 - 1);
  });

  test("takes a few slow meters, or those that are far away, for no overload", () => {
    const slow = new Bench();
    slow.come(31);
    nowMs += 2_000;
    slow.answer(31, 2_000);
    expect(slow.come(128)).toBe(128);
    const far = new Bench();
    for (let round = 0; round < 10; round += 1) {
      expect(far.come(120)).toBe(120);
      nowMs += 260;
      far.answer(120, 260);
    }
    const mixed = new Bench();
    mixed.come(128);
    nowMs += 500;
    mixed.answer(1, 5);
    mixed.answer(127, 500);
    expect(mixed.come(128)).toBe(128);
  });

  test("tells of all whom it turned away, in a line a second at the most", () => {
    const bench = new Bench();
    bench.turnAway(1_000);
    nowMs += 1_000;
    bench.turnAway(1);
    expect(bench.lines).toEqual([
      ["warn", "request.refused", { reason: "relay_overloaded", repeated: 1 }],
      ["warn", "request.refused", { reason: "relay_overloaded", repeated: 1_000 }],
    ]);
  });
});
