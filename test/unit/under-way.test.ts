import { describe, expect, test } from "vitest";
import { UnderWay } from "../../src/relay/under-way.ts";

/** So many a second are answered, each after so long, from the second on that is named. */
function serve(
  underWay: UnderWay,
  {
    from,
    seconds,
    perSecond,
    afterMs,
  }: Record<"from" | "seconds" | "perSecond" | "afterMs", number>,
  isUsual = true,
): void {
  for (let nth = 0; nth < seconds * perSecond; nth += 1) {
    const nowMs = (from + nth / perSecond) * 1_000;
    underWay.begin(nowMs - afterMs);
    underWay.answered(nowMs - afterMs, nowMs, isUsual);
  }
}

describe("what is usually under way", () => {
  test("is what is answered in a second, times the seconds that an answer takes", () => {
    const underWay = new UnderWay(100, 20);
    expect(underWay.usual).toBe(0);
    serve(underWay, { from: 100, seconds: 3, perSecond: 200, afterMs: 500 });
    expect(underWay.usual).toBeCloseTo(100, 0);
  });

  test("follows what answers take, by and by", () => {
    const underWay = new UnderWay(100, 20);
    serve(underWay, { from: 100, seconds: 2, perSecond: 100, afterMs: 500 });
    serve(underWay, { from: 102, seconds: 2, perSecond: 100, afterMs: 1_300 });
    expect(underWay.usual).toBeCloseTo(60, 0);
    serve(underWay, { from: 104, seconds: 60, perSecond: 100, afterMs: 1_300 });
    expect(underWay.usual).toBeCloseTo(130, 0);
  });

  test("is not changed by answers that the relay itself has held up", () => {
    const underWay = new UnderWay(100, 20);
    serve(underWay, { from: 100, seconds: 2, perSecond: 100, afterMs: 500 });
    serve(underWay, { from: 102, seconds: 60, perSecond: 100, afterMs: 1_300 }, false);
    expect(underWay.usual).toBeCloseTo(50, 0);
  });

  test("is known from the first second on, whatever held its answers up", () => {
    const underWay = new UnderWay(100, 20);
    serve(underWay, { from: 100, seconds: 2, perSecond: 100, afterMs: 500 }, false);
    expect(underWay.usual).toBeCloseTo(50, 0);
  });

  test("is remembered for seconds when fewer are answered, and no longer", () => {
    const underWay = new UnderWay(100, 20);
    serve(underWay, { from: 100, seconds: 2, perSecond: 100, afterMs: 1_000 });
    serve(underWay, { from: 102, seconds: 2, perSecond: 10, afterMs: 1_000 });
    expect(underWay.usual).toBeCloseTo(80, 0);
    serve(underWay, { from: 120, seconds: 2, perSecond: 10, afterMs: 1_000 });
    expect(underWay.usual).toBeCloseTo(10, 0);
  });
});

test("what is under way is counted until it is answered, dropped or too long ago", () => {
  const underWay = new UnderWay(100, 20);
  for (let nth = 0; nth < 5; nth += 1) underWay.begin(10_000);
  underWay.answered(10_000, 10_050, true);
  underWay.drop(10_000);
  expect(underWay.count(10_050)).toBe(3);
  expect(underWay.count(12_050)).toBe(0);
});
