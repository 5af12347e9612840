import { beforeAll, describe, expect, test } from "vitest";
import { ensureBundle } from "../../scripts/host/bundle.ts";
import type { PhaseFigures } from "../chaos/flood/job.ts";
import { OVERLOAD_ROWS, type OverloadFigures, playOverload } from "../chaos/overload.ts";

/** The short form of `npm run chaos -- overload`: so much more than it can take that some must be refused. */
const SHORT = {
  over: 5,
  capacityAssumed: 1_000,
  connected: 200,
  mostConnections: 4_000,
  capacityMs: 300,
  normalMs: 300,
  floodMs: 1_000,
  afterMs: 500,
};
const TIME_LIMIT_MS = 180_000;

describe.skipIf(process.platform !== "linux")("more than the relay can take", () => {
  let figures: OverloadFigures;

  beforeAll(async () => {
    const [row] = OVERLOAD_ROWS;
    if (row === undefined) throw new Error("there is no overload to play");
    figures = await playOverload(await ensureBundle(), row, SHORT);
  }, TIME_LIMIT_MS);

  const sum = (fate: keyof Omit<PhaseFigures, "name">) =>
    figures.flood.phases.reduce((all, phase) => all + phase[fate], 0);

  test("is served or refused in the API's form with a time to come again, and nothing else", () => {
    expect(sum("served")).toBeGreaterThan(0);
    expect(sum("refused")).toBeGreaterThan(0);
    expect(figures.flood.examples.join("\n")).toContain("more requests are waiting here");
    const others = { broken: sum("broken"), hung: sum("hung"), dishonest: sum("dishonest") };
    expect(others).toEqual({ broken: 0, hung: 0, dishonest: 0 });
    expect(sum("served") + sum("refused") + sum("keptOff")).toBe(sum("offered"));
  });

  test("leaves each request that upstream billed in the ledger once, and no lease", () => {
    const { billed } = figures.kept;
    expect(billed).toBeGreaterThan(sum("served"));
    expect(figures.kept).toEqual({
      billed,
      inMeters: billed,
      inLedger: billed,
      tokensOff: 0,
      estimated: 0,
      unsettled: 0,
      failed: 0,
      openLeases: 0,
    });
  });

  test("is over when it is over: everyone is served at the first try", () => {
    expect(figures.isWell).toBe(true);
  });
});
