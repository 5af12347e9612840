import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Logger } from "../../src/log.ts";
import { Gate, type Passage } from "../../src/relay/gate.ts";

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

/** A gate, and who goes through it. */
class Bench {
  readonly lines: Parameters<Logger>[] = [];
  readonly gate = new Gate((...line) => this.lines.push(line));

  /** @returns those of so many that come at once who were let in */
  come(count: number, bodyBytes = 400): Passage[] {
    const inside: Passage[] = [];
    for (let nth = 0; nth < count; nth += 1) {
      if (this.gate.isShut()) this.gate.noteRefused();
      else inside.push(this.gate.arrive(bodyBytes));
    }
    return inside;
  }

  /** So many come, and all of these ask their meters. */
  ask(count: number): Passage[] {
    const asking = this.come(count);
    for (const passage of asking) this.gate.ask(passage);
    return asking;
  }

  /** The meters of these answer, and they go upstream. */
  send(asking: readonly Passage[]): void {
    for (const passage of asking) {
      this.gate.metered(passage);
      this.gate.send(passage);
    }
  }

  /** @returns those of so many that come one after the other who went upstream */
  sendOneByOne(count: number): Passage[] {
    return Array.from({ length: count }, () => {
      const asking = this.ask(1);
      this.send(asking);
      return asking;
    }).flat();
  }

  answer(sent: readonly Passage[]): void {
    for (const passage of sent) this.gate.answered(passage, true);
  }

  /** So many come each tenth of a second, and are answered by upstream after so many of them. */
  serve(tenths: number, eachTenth: number, answeredAfter: number): void {
    const sent: Passage[][] = [];
    for (let nth = 0; nth < tenths; nth += 1) {
      const asking = this.ask(eachTenth);
      expect(asking).toHaveLength(eachTenth);
      this.send(asking);
      sent.push(asking);
      nowMs += 100;
      if (sent.length >= answeredAfter) this.answer(sent.shift() ?? []);
    }
    for (const rest of sent) this.answer(rest);
  }

  /** So many have come at once that all places are taken. */
  overload(): Passage[] {
    const burst = this.come(1_300);
    expect(burst.length).toBeGreaterThan(1_100);
    return burst;
  }
}

/** A body as large as this takes two places. */
const TWO_PLACES_BYTES = 32 * 1024 + 1;

describe("the gate", () => {
  test("lets hundreds a second wait for upstream, however long that thinks and however suddenly they come", () => {
    const bench = new Bench();
    bench.serve(100, 50, 80);
    bench.serve(100, 5, 1);
    bench.serve(100, 55, 10);
    expect(bench.come(1_100)).toHaveLength(1_100);
  });

  test("lets thousands a second through where upstream answers at once", () => {
    const bench = new Bench();
    bench.serve(50, 400, 1);
  });

  test("bounds those who ask meters at one moment", () => {
    const bench = new Bench();
    const asking = bench.ask(63);
    expect(bench.gate.mayAsk()).toBe(true);
    asking.push(...bench.ask(1));
    expect(bench.gate.mayAsk()).toBe(false);
    nowMs += 5;
    bench.send(asking.slice(0, 1));
    expect(bench.gate.mayAsk()).toBe(true);
  });

  test("lets a burst of more than a thousand wait for its turn, however slow its meter is", async () => {
    const bench = new Bench();
    vi.mocked(scheduler.wait).mockResolvedValue(undefined);
    const asking = bench.ask(64);
    const burst = bench.come(1_100);
    expect(burst).toHaveLength(1_100);
    const waiting = burst.map((passage) => bench.gate.waitToAsk(passage));
    nowMs += 2_000;
    bench.send(asking);
    expect(await Promise.all(waiting)).toEqual(burst.map(() => true));
    expect(bench.come(1_000)).toHaveLength(1_000);
  });

  test("lets nobody wait for more than about ten seconds", async () => {
    const bench = new Bench();
    bench.ask(64);
    const beganAtMs = nowMs;
    const [passage] = bench.come(1);
    if (passage === undefined) throw new Error("the gate is shut");
    expect(await bench.gate.waitToAsk(passage)).toBe(false);
    expect(nowMs - beganAtMs).toBeGreaterThanOrEqual(10_000);
    expect(nowMs - beganAtMs).toBeLessThan(10_800);
  });

  test("has those look the seldomer who wait the more they are", () => {
    const bench = new Bench();
    bench.ask(64);
    vi.mocked(scheduler.wait).mockReturnValue(new Promise(() => {}));
    const looksAfterMs = bench.come(1_130).map((passage) => {
      void bench.gate.waitToAsk(passage);
      return vi.mocked(scheduler.wait).mock.lastCall?.[0] ?? 0;
    });
    expect(Math.max(...looksAfterMs.slice(0, 40))).toBeLessThanOrEqual(30);
    expect(Math.min(...looksAfterMs.slice(-40))).toBeGreaterThan(200);
    expect(Math.max(...looksAfterMs)).toBeLessThanOrEqual(750);
  });

  test("is overloaded when all places are taken: then only a few are let in, until the rest is served", () => {
    const bench = new Bench();
    const burst = bench.overload();
    for (const passage of burst.slice(0, 1_136)) bench.gate.leave(passage);
    expect(bench.come(10)).toEqual([]);
    bench.gate.leave(burst[1_136] as Passage);
    expect(bench.come(10)).toHaveLength(1);
  });

  test("lets few ask and few be sent in overload, beyond what is usual", () => {
    const bench = new Bench();
    for (const passage of bench.overload()) bench.gate.leave(passage);
    const asking: Passage[] = [];
    for (let nth = 0; nth < 100; nth += 1) asking.push(...bench.ask(1));
    expect(asking).toHaveLength(8);
    bench.send(asking);
    expect(bench.ask(10)).toEqual([]);
    for (const passage of asking.slice(0, 3)) bench.gate.answered(passage, false);
    expect(bench.come(1)).toHaveLength(1);
  });

  test("counts in overload who has waited for upstream for seconds: the relay itself may be what is slow", () => {
    const bench = new Bench();
    for (const passage of bench.overload()) bench.gate.leave(passage);
    bench.send(bench.ask(8));
    for (let tenth = 0; tenth < 50; tenth += 1) {
      nowMs += 100;
      bench.gate.noteRefused();
    }
    expect(bench.come(10)).toEqual([]);
  });

  test("lets as many wait for upstream in overload as usually do", () => {
    const bench = new Bench();
    // Two hundred a second who wait for one second.
    bench.serve(100, 20, 10);
    for (const passage of bench.overload()) bench.gate.leave(passage);
    const sent = bench.sendOneByOne(1_000);
    expect(sent.length).toBeGreaterThan(200);
    expect(sent.length).toBeLessThan(350);
  });

  test("takes no wait for usual that overload itself has made", () => {
    const bench = new Bench();
    bench.serve(30, 20, 1);
    const burst = bench.overload();
    for (const passage of burst) {
      bench.gate.ask(passage);
      bench.send([passage]);
    }
    for (let tenth = 0; tenth < 60; tenth += 1) {
      nowMs += 100;
      bench.answer(burst.splice(0, 24));
      bench.gate.noteRefused();
    }
    const sent = bench.sendOneByOne(1_000);
    expect(sent.length).toBeLessThan(100);
  });

  test("counts what goes upstream and is not answered, where that is more than is usual", () => {
    const bench = new Bench();
    let letIn = 0;
    for (let nth = 0; nth < 30; nth += 1) {
      const asking = bench.ask(60);
      bench.send(asking);
      letIn += asking.length;
      nowMs += 10;
    }
    expect(letIn).toBe(1_200);
    // Who waits for two seconds may wait for upstream alone.
    nowMs += 2_000;
    expect(bench.come(1_000)).toHaveLength(1_000);
  });

  test("is open to all again when for half a second nobody was turned away", () => {
    const bench = new Bench();
    for (const passage of bench.overload().slice(0, 1_000)) bench.gate.leave(passage);
    nowMs += 400;
    expect(bench.come(1)).toEqual([]);
    nowMs += 400;
    expect(bench.come(100)).toHaveLength(64);
    nowMs += 500;
    expect(bench.come(1_000)).toHaveLength(1_000);
  });

  test("is not open to all while some still wait for their turn", async () => {
    const bench = new Bench();
    bench.ask(64);
    const burst = bench.overload();
    for (const passage of burst.slice(1)) bench.gate.leave(passage);
    let looked = 0;
    vi.mocked(scheduler.wait).mockImplementation(async () => {
      nowMs += 400;
      looked += 1;
      if (looked === 5) expect(bench.come(100)).toEqual([]);
    });
    await bench.gate.waitToAsk(burst[0] as Passage);
    expect(looked).toBeGreaterThan(5);
  });

  test("counts each in one place only, wherever on its way it is", async () => {
    const bench = new Bench();
    bench.ask(64);
    expect(bench.come(600)).toHaveLength(600);
    vi.mocked(scheduler.wait).mockReturnValue(new Promise(() => {}));
    for (const passage of bench.come(400)) void bench.gate.waitToAsk(passage);
    expect(bench.come(5_000)).toHaveLength(1_200 - 64 - 600 - 400);
    const others = new Bench();
    others.come(600);
    vi.mocked(scheduler.wait).mockResolvedValue(undefined);
    for (const passage of others.come(3)) {
      expect(await others.gate.waitToAsk(passage)).toBe(true);
      others.gate.ask(passage);
    }
    expect(others.come(5_000)).toHaveLength(1_200 - 600 - 3);
  });

  test("gives large bodies more places", () => {
    const bench = new Bench();
    expect(bench.come(5_000, TWO_PLACES_BYTES)).toHaveLength(600);
    const large = new Bench();
    expect(large.come(5_000, 400 * 1024)).toHaveLength(93);
    const huge = new Bench();
    expect(huge.come(1, 32 * 1024 * 1024)).toHaveLength(1);
    const undeclared = new Bench();
    expect(undeclared.come(5_000, Number.NaN)).toHaveLength(1_200);
  });

  test("counts nobody for long who is still sending", () => {
    const bench = new Bench();
    bench.overload();
    nowMs += 600;
    expect(bench.come(1_000)).toHaveLength(1_000);
  });

  test("takes meters that are far away for no overload", () => {
    const bench = new Bench();
    for (let round = 0; round < 100; round += 1) {
      const asking = bench.ask(60);
      expect(asking).toHaveLength(60);
      nowMs += 260;
      bench.send(asking);
      bench.answer(asking);
    }
  });

  test("forgets whom the runtime has dropped: nothing is heard of their ends", () => {
    const bench = new Bench();
    vi.mocked(scheduler.wait).mockReturnValue(new Promise(() => {}));
    bench.ask(64);
    for (const passage of bench.overload()) void bench.gate.waitToAsk(passage);
    expect(bench.come(1)).toEqual([]);
    expect(bench.gate.mayAsk()).toBe(false);
    nowMs += 21_000;
    expect(bench.gate.mayAsk()).toBe(true);
    expect(bench.come(1_000)).toHaveLength(1_000);
  });

  test("counts on where the clock is set back", () => {
    const bench = new Bench();
    bench.come(1_000);
    const before = bench.ask(64);
    nowMs -= 30_000;
    for (let round = 0; round < 10; round += 1) {
      const asking = bench.ask(60);
      expect(asking).toHaveLength(60);
      bench.send(asking);
      bench.answer(asking);
    }
    // What was begun before is not counted off from what is new.
    bench.send(before);
    bench.answer(before);
    expect(bench.come(5_000)).toHaveLength(1_200);
  });

  test("tells of all whom it turned away, in a line a second at the most", () => {
    const bench = new Bench();
    for (let nth = 0; nth < 1_000; nth += 1) bench.gate.noteRefused();
    nowMs += 1_000;
    bench.gate.noteRefused();
    expect(bench.lines).toEqual([
      ["warn", "request.refused", { reason: "relay_overloaded", repeated: 1 }],
      ["warn", "request.refused", { reason: "relay_overloaded", repeated: 1_000 }],
    ]);
  });
});
