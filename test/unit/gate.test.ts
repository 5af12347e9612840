import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Logger } from "../../src/log.ts";
import { Gate } from "../../src/relay/gate.ts";

let nowMs = 0;
beforeEach(() => {
  nowMs = 1_000_000;
  vi.spyOn(Date, "now").mockImplementation(() => nowMs);
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

  leave(count: number): void {
    for (let nth = 0; nth < count; nth += 1) this.gate.leave();
  }

  /** So many at once waited for their meters, and for long. */
  overload(): void {
    this.come(128);
    nowMs += 500;
    this.answer(128, 500);
  }

  get told(): number {
    return this.lines.reduce((sum, [, , fields]) => sum + Number(fields?.repeated), 0);
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
    expect(bench.lines).toEqual([]);
  });

  test("bounds those who wait for meters at one moment, and has room again when they are answered", () => {
    const bench = new Bench();
    expect(bench.come(200)).toBe(128);
    nowMs += 5;
    bench.answer(128, 5);
    expect(bench.come(10)).toBe(10);
  });

  test("lets only a few be inside where many wait and no meter answers soon", () => {
    const bench = new Bench();
    bench.overload();
    expect(bench.come(10)).toBe(0);
    bench.leave(127);
    // One is still inside.
    expect(bench.come(100)).toBe(63);
  });

  test("opens by one with each eight whose meters answer soon, and wholly after a while of calm", () => {
    const bench = new Bench();
    bench.overload();
    bench.leave(128);
    expect(bench.come(64)).toBe(64);
    nowMs += 10;
    bench.answer(64, 10);
    expect(bench.come(100)).toBe(8);
    bench.answer(8, 0);
    bench.leave(72);
    nowMs += 5_000;
    expect(bench.come(1)).toBe(1);
    bench.answer(1, 0);
    for (let round = 0; round < 20; round += 1) {
      expect(bench.come(100)).toBe(100);
      bench.answer(100, 0);
    }
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
    bench.come(1_128);
    expect(bench.lines).toEqual([
      ["warn", "request.refused", { reason: "relay_overloaded", repeated: 1 }],
    ]);
    nowMs += 1_000;
    bench.answer(128, 1);
    expect(bench.come(1)).toBe(1);
    expect(bench.told).toBe(1_000);
    expect(bench.lines).toHaveLength(2);
  });
});
