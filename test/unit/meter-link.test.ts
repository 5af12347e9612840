import { afterEach, describe, expect, test, vi } from "vitest";
import type {
  Admission,
  AdmissionAnswer,
  MeterBatch,
} from "../../durable-objects/key-meter/contract.ts";
import type { KeyPolicy } from "../../src/keys/key-record.ts";
import { MeterLink } from "../../src/relay/meter-link.ts";
import { NOTHING_BILLED, type Settlement } from "../../src/relay/settlement.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const ADMITTED: AdmissionAnswer = {
  ok: true,
  value: { threadAccountId: null, pinnedTo: null, isTight: false },
};

function settlementOf(requestId: string): Settlement {
  return {
    requestId,
    outcome: "completed",
    status: 200,
    accountId: "account",
    chosenBy: "hash",
    attempts: [],
    session: null,
    pinnedTo: null,
    firstByteMs: 1,
    durationMs: 2,
    bill: NOTHING_BILLED,
    isWatched: false,
  };
}

function admissionOf(requestId: string, version = 1): Admission {
  return {
    requestId,
    model: "m",
    mark: "mark",
    policy: { version } as KeyPolicy,
    previousMessageId: null,
    session: null,
    accountId: null,
  };
}

type Fate = "answered" | "lost" | "never" | "forgot the policy";

/** A link to a meter that notes each call, and does with it what is planned. */
class Bench {
  readonly calls: { settled: string[]; admitted: string[]; policies: (number | null)[] }[] = [];
  readonly fates: Fate[] = [];
  readonly lines: [string, Record<string, unknown>][] = [];
  readonly besides: Promise<void>[] = [];
  readonly link = new MeterLink(
    () => ({ exchange: (batch) => this.#exchange(batch) }),
    (_level, event, fields) => this.lines.push([event, fields ?? {}]),
  );

  async #exchange({ settlements, admissions }: MeterBatch): Promise<AdmissionAnswer[] | null> {
    this.calls.push({
      settled: settlements.map(({ requestId }) => requestId),
      admitted: admissions.map(({ requestId }) => requestId),
      policies: admissions.map(({ policy }) => policy?.version ?? null),
    });
    switch (this.fates.shift() ?? "answered") {
      case "lost":
        throw new Error("the call was lost");
      case "never":
        return new Promise(() => {});
      case "forgot the policy":
        return null;
      case "answered":
        return admissions.map(() => ADMITTED);
    }
  }

  admit(requestId: string, version = 1): Promise<AdmissionAnswer> {
    return this.link.admit("key", admissionOf(requestId, version), (work) =>
      this.besides.push(work),
    );
  }

  settle(requestId: string, isUrgent = false): Promise<void> {
    return this.link.settle("key", settlementOf(requestId), isUrgent);
  }

  get settled(): string[] {
    return this.calls.flatMap(({ settled }) => settled);
  }
}

describe("a settlement", () => {
  test("rides along with the next admission of its key, in one call", async () => {
    const bench = new Bench();
    const settled = bench.settle("a");
    expect(await bench.admit("b")).toEqual(ADMITTED);
    await settled;
    expect(bench.calls).toEqual([{ settled: ["a"], admitted: ["b"], policies: [1] }]);
  });

  test("goes by itself where no admission comes, several in one call", async () => {
    const bench = new Bench();
    await Promise.all([bench.settle("a"), bench.settle("b"), bench.settle("c")]);
    expect(bench.calls).toEqual([{ settled: ["a", "b", "c"], admitted: [], policies: [] }]);
  });

  test("that is urgent goes at once, and takes along what waits", async () => {
    const bench = new Bench();
    const waiting = bench.settle("a");
    void bench.settle("b", true);
    // In the same turn: nothing was waited for.
    expect(bench.calls).toEqual([{ settled: ["a", "b"], admitted: [], policies: [] }]);
    await waiting;
    expect(bench.calls).toHaveLength(1);
  });

  test("whose call is lost is sent again until it arrives", async () => {
    const bench = new Bench();
    bench.fates.push("lost", "lost");
    await bench.settle("a", true);
    expect(bench.settled).toEqual(["a", "a", "a"]);
    expect(bench.lines).toEqual([]);
  });

  test("that never arrives is given up by name, and the next one has its own tries", async () => {
    const bench = new Bench();
    bench.fates.push("lost", "lost", "lost", "lost");
    await bench.settle("a", true);
    expect(bench.lines).toEqual([
      ["settle.failed", { requestId: "a", keyId: "key", error: "Error: the call was lost" }],
    ]);
    bench.fates.push("lost");
    await bench.settle("b", true);
    expect(bench.settled).toEqual(["a", "a", "a", "a", "b", "b"]);
    expect(bench.lines).toHaveLength(1);
  });

  test("that rode along with a lost admission goes by itself", async () => {
    const bench = new Bench();
    bench.fates.push("lost");
    const settled = bench.settle("a");
    await expect(bench.admit("b")).rejects.toThrow("the call was lost");
    await Promise.all(bench.besides);
    await settled;
    expect(bench.calls).toEqual([
      { settled: ["a"], admitted: ["b"], policies: [1] },
      { settled: ["a"], admitted: [], policies: [] },
    ]);
  });

  test("is seen to by a later request where the one that saw to it was ended", async () => {
    const bench = new Bench();
    bench.fates.push("never");
    void bench.settle("a", true);
    const nowMs = Date.now();
    await bench.settle("b");
    expect(bench.settled).toEqual(["a"]);
    vi.spyOn(Date, "now").mockImplementation(() => nowMs + 6_000);
    await bench.settle("c");
    // "a" is still on its way as far as anyone knows; the meter takes each once.
    expect(bench.settled).toEqual(["a", "b", "c"]);
  });

  test("two hundred to a call, however many wait", async () => {
    const bench = new Bench();
    await Promise.all(Array.from({ length: 450 }, (_, index) => bench.settle(`r${index}`)));
    expect(bench.calls.map(({ settled }) => settled.length)).toEqual([200, 200, 50]);
    expect(new Set(bench.settled).size).toBe(450);
  });
});

describe("an admission", () => {
  test("never waits for another request's call", async () => {
    const bench = new Bench();
    bench.fates.push("never", "never");
    void bench.admit("a");
    void bench.settle("s", true);
    expect(await bench.admit("b")).toEqual(ADMITTED);
    expect(bench.calls.map(({ admitted }) => admitted)).toEqual([["a"], [], ["b"]]);
  });

  test("brings the key's policy once, and again when it is newer or the meter never heard it", async () => {
    const bench = new Bench();
    await bench.admit("a");
    await bench.admit("b");
    await bench.admit("c", 2);
    bench.fates.push("forgot the policy");
    await bench.admit("d", 2);
    expect(bench.calls.map(({ policies }) => policies)).toEqual([[1], [null], [2], [null], [2]]);
  });

  test("that no meter takes is an error, and none is let in", async () => {
    const bench = new Bench();
    bench.fates.push("forgot the policy");
    await expect(bench.admit("a")).rejects.toThrow("the meter took no policy");
  });

  test("of one key takes nothing along that belongs to another", async () => {
    const bench = new Bench();
    const settled = bench.link.settle("other", settlementOf("a"), false);
    await bench.admit("b");
    expect(bench.calls).toEqual([{ settled: [], admitted: ["b"], policies: [1] }]);
    await settled;
    expect(bench.settled).toEqual(["a"]);
  });
});

describe("a relay that can let nobody in", () => {
  const fail = (bench: Bench) => expect(bench.admit("a")).rejects.toThrow("the call was lost");

  test("knows it after five failures in a row, and no more once one is let in", async () => {
    const bench = new Bench();
    bench.fates.push("lost", "lost", "lost", "lost", "answered", "lost", "lost", "lost", "lost");
    for (let nth = 0; nth < 4; nth += 1) await fail(bench);
    expect(bench.link.isDown).toBe(false);
    await bench.admit("b");
    for (let nth = 0; nth < 4; nth += 1) await fail(bench);
    expect(bench.link.isDown).toBe(false);
    bench.fates.push("lost");
    await fail(bench);
    expect(bench.link.isDown).toBe(true);
    await bench.admit("c");
    expect(bench.link.isDown).toBe(false);
  });

  test("takes it for over where nobody has asked for a while: who was sent away must come back", async () => {
    const bench = new Bench();
    bench.fates.push("lost", "lost", "lost", "lost", "lost");
    for (let nth = 0; nth < 5; nth += 1) await fail(bench);
    const nowMs = Date.now();
    vi.spyOn(Date, "now").mockImplementation(() => nowMs + 10_001);
    expect(bench.link.isDown).toBe(false);
  });
});
