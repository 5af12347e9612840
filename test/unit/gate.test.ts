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
    let inside = 0;
    for (let nth = 0; nth < count; nth += 1) {
      if (this.gate.isShut()) continue;
      this.gate.arrive();
      inside += 1;
    }
    return inside;
  }

  /** So many have their answers, who came so long ago. */
  leave(count: number, afterMs: number): void {
    for (let nth = 0; nth < count; nth += 1) this.gate.leave(nowMs - afterMs);
  }

  /** @returns how many of so many might ask their meters at once */
  ask(count: number): number {
    let asking = 0;
    for (let nth = 0; nth < count; nth += 1) {
      if (!this.gate.mayAsk()) continue;
      this.gate.ask();
      asking += 1;
    }
    return asking;
  }

  /** The meters of so many answer, who asked so long ago. */
  answer(count: number, afterMs: number): void {
    for (let nth = 0; nth < count; nth += 1) this.gate.metered(nowMs - afterMs);
  }

  /** Many asked at once, and waited for long. */
  overload(): void {
    this.ask(64);
    nowMs += 1_100;
    this.answer(64, 1_100);
  }

  turnAway(count: number): void {
    for (let nth = 0; nth < count; nth += 1) this.gate.noteRefused();
  }
}

describe("the gate", () => {
  test("lets thousands wait for upstream, as long as meters answer soon", () => {
    const bench = new Bench();
    for (let round = 0; round < 100; round += 1) {
      expect(bench.come(30)).toBe(30);
      expect(bench.ask(30)).toBe(30);
      nowMs += 20;
      bench.answer(30, 20);
    }
  });

  test("bounds those who ask meters at one moment", () => {
    const bench = new Bench();
    expect(bench.ask(100)).toBe(64);
    nowMs += 5;
    bench.answer(64, 5);
    expect(bench.ask(10)).toBe(10);
  });

  test("lets a burst wait for its turn, and turns away for whom there is no place to wait", async () => {
    const bench = new Bench();
    vi.mocked(scheduler.wait).mockResolvedValue(undefined);
    bench.ask(64);
    const waiting = Array.from({ length: 1_200 }, () => bench.gate.waitToAsk());
    expect(bench.gate.isShut()).toBe(true);
    expect(await bench.gate.waitToAsk()).toBe(false);
    nowMs += 5;
    bench.answer(64, 5);
    expect(await Promise.all(waiting)).toEqual(Array.from({ length: 1_200 }, () => true));
    expect(bench.gate.isShut()).toBe(false);
  });

  test("lets nobody wait for more than about five seconds", async () => {
    const bench = new Bench();
    bench.ask(64);
    const beganAtMs = nowMs;
    expect(await bench.gate.waitToAsk()).toBe(false);
    expect(nowMs - beganAtMs).toBeGreaterThanOrEqual(5_000);
    expect(nowMs - beganAtMs).toBeLessThan(5_400);
  });

  test("bounds those who have just come, however they come", () => {
    const bench = new Bench();
    expect(bench.come(5_000)).toBe(1_500);
    bench.leave(10, 0);
    expect(bench.come(5_000)).toBe(10);
    // The others wait for upstream by now.
    nowMs += 500;
    expect(bench.come(5_000)).toBe(1_500);
  });

  test("lets only a few come where many ask and no meter answers soon", () => {
    const bench = new Bench();
    bench.overload();
    expect(bench.come(100)).toBe(64);
    nowMs += 10;
    bench.leave(4, 10);
    expect(bench.come(100)).toBe(4);
    nowMs += 500;
    expect(bench.come(100)).toBe(64);
    // Who came long ago is no longer counted, and not counted off either.
    bench.leave(64, 510);
    expect(bench.come(1)).toBe(0);
  });

  test("opens by one with each eight whose meters answer soon, and wholly after a while of calm", () => {
    const bench = new Bench();
    bench.overload();
    bench.ask(16);
    bench.answer(16, 10);
    expect(bench.come(100)).toBe(66);
    nowMs += 5_000;
    bench.ask(1);
    bench.answer(1, 0);
    expect(bench.come(500)).toBe(500);
  });

  test("is not open to all while some are turned away", () => {
    const bench = new Bench();
    bench.overload();
    nowMs += 4_000;
    bench.turnAway(1);
    nowMs += 4_000;
    bench.ask(1);
    bench.answer(1, 0);
    expect(bench.come(100)).toBeLessThan(70);
  });

  test("takes a burst of a thousand, whose meter is made only now, for no overload", () => {
    const bench = new Bench();
    expect(bench.come(1_000)).toBe(1_000);
    bench.ask(64);
    nowMs += 400;
    bench.answer(64, 400);
    nowMs += 500;
    expect(bench.come(1_000)).toBe(1_000);
  });

  test("takes a few slow meters, or those that are far away, for no overload", () => {
    const slow = new Bench();
    slow.ask(47);
    nowMs += 2_000;
    slow.answer(47, 2_000);
    expect(slow.come(500)).toBe(500);
    const far = new Bench();
    for (let round = 0; round < 10; round += 1) {
      expect(far.ask(60)).toBe(60);
      nowMs += 260;
      far.answer(60, 260);
    }
    expect(far.come(500)).toBe(500);
    const mixed = new Bench();
    mixed.ask(64);
    nowMs += 1_500;
    mixed.answer(1, 5);
    mixed.answer(63, 1_500);
    expect(mixed.come(500)).toBe(500);
  });

  test("forgets whom the runtime has dropped: nothing is heard of their ends", () => {
    const bench = new Bench();
    vi.mocked(scheduler.wait).mockReturnValue(new Promise(() => {}));
    expect(bench.ask(100)).toBe(64);
    for (let nth = 0; nth < 1_200; nth += 1) void bench.gate.waitToAsk();
    expect(bench.ask(1)).toBe(0);
    nowMs += 21_000;
    expect(bench.ask(100)).toBe(64);
    expect(bench.gate.isShut()).toBe(false);
  });

  test("counts on where the clock is set back", () => {
    const bench = new Bench();
    bench.come(1_000);
    bench.ask(64);
    nowMs -= 30_000;
    for (let round = 0; round < 10; round += 1) {
      expect(bench.come(900)).toBe(900);
      expect(bench.ask(60)).toBe(60);
      bench.answer(60, 0);
      bench.leave(900, 0);
    }
    // What was begun before is not counted off from what is new.
    bench.gate.leave(nowMs + 30_000);
    expect(bench.come(5_000)).toBe(1_500);
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
