import { describe, expect, test } from "vitest";
import { costOf, nanoDollarsToUsd } from "../../src/upstream/cost.ts";
import { type OperatorPrice, PriceList } from "../../src/upstream/price-list.ts";
import { findPrice, priceTable } from "../../src/upstream/prices.ts";
import {
  emptyReading,
  type IterationUsage,
  type TokenCounts,
  type UsageReading,
} from "../../src/upstream/usage.ts";

const today = "2026-11-22T12:00:00Z";

/** input, output, 5m write, 1h write, cache read */
type Counts = readonly [number, number, number, number, number];

function tokens([input, output, write5m, write1h, read]: Counts): TokenCounts {
  return {
    inputTokens: input,
    outputTokens: output,
    cacheWrite5mTokens: write5m,
    cacheWrite1hTokens: write1h,
    cacheReadTokens: read,
  };
}

function reading(model: string | null, counts: Counts, more: Partial<UsageReading> = {}) {
  const complete = { end: "complete", hasUsage: true } as const;
  return { ...emptyReading(), ...complete, model, tokens: tokens(counts), ...more };
}

function cost(model: string, counts: Counts, more: Partial<UsageReading> = {}, at = today) {
  return costOf(reading(model, counts, more), model, Date.parse(at));
}

function iteration(type: string, model: string | null, counts: Counts): IterationUsage {
  return { type, model, ...tokens(counts) };
}

/** A turn of an agent: a short prompt, some output, writes of both lifetimes, a long cached part. */
const turn: Counts = [10, 500, 2000, 3000, 40_000];

// Every amount below was worked out by hand from the price page, in nano-dollars.
describe("each model costs what its row of the price page says", () => {
  test.each([
    ["claude-fable-5-2", 96_080_000],
    ["claude-fable-5-1", 120_100_000],
    ["claude-mythos-5-1", 120_100_000],
    ["claude-fable-5", 150_100_000],
    ["claude-mythos-5", 150_100_000],
    ["claude-opus-5-5", 52_040_000],
    ["claude-opus-5", 75_050_000],
    ["claude-opus-4-8", 75_050_000],
    ["claude-opus-4-7", 75_050_000],
    ["claude-opus-4-6", 75_050_000],
    ["claude-opus-4-5", 75_050_000],
    ["claude-opus-4-1", 225_150_000],
    ["claude-opus-4", 225_150_000],
    ["claude-3-opus", 225_150_000],
    ["claude-sonnet-5-5", 26_020_000],
    ["claude-sonnet-5", 30_020_000],
    ["claude-sonnet-4-6", 45_030_000],
    ["claude-sonnet-4-5", 45_030_000],
    ["claude-sonnet-4", 45_030_000],
    ["claude-3-7-sonnet", 45_030_000],
    ["claude-haiku-5-5", 1_501_000],
    ["claude-haiku-4-5", 15_010_000],
    ["claude-3-5-haiku", 12_008_000],
    ["claude-3-haiku", 3_927_500],
    ["claude-sonnet-4-5-20250929", 45_030_000],
    ["us.anthropic.claude-opus-4-1-20250805-v1:0", 225_150_000],
    ["claude-sonnet-4-6[1m]", 45_030_000],
  ])("%s: %i", (model, nanoDollars) => {
    expect(cost(model, turn)).toMatchObject({ nanoDollars, priceKnown: true });
  });

  test("each kind of token has its own price", () => {
    expect(cost("claude-opus-5", [1, 0, 0, 0, 0]).nanoDollars).toBe(5000);
    expect(cost("claude-opus-5", [0, 1, 0, 0, 0]).nanoDollars).toBe(25_000);
    expect(cost("claude-opus-5", [0, 0, 1, 0, 0]).nanoDollars).toBe(6250);
    expect(cost("claude-opus-5", [0, 0, 0, 1, 0]).nanoDollars).toBe(10_000);
    expect(cost("claude-opus-5", [0, 0, 0, 0, 1]).nanoDollars).toBe(500);
    expect(cost("claude-opus-5", [1000, 200, 0, 0, 0]).nanoDollars).toBe(10_000_000);
  });

  test("every listed price is a positive whole number of nano-dollars", () => {
    for (const row of priceTable) {
      for (const prices of [row, row.longPrompt ?? row]) {
        for (const kind of ["input", "output", "write5m", "write1h", "read"] as const) {
          expect(Number.isSafeInteger(prices[kind]) && prices[kind] > 0, row.modelId).toBe(true);
        }
      }
    }
  });
});

describe("a price holds from its day on", () => {
  test.each([
    ["claude-sonnet-5-5", "2026-10-06T23:59:59.999Z", 30_020_000, true],
    ["claude-sonnet-5-5", "2026-10-07T00:00:00Z", 26_020_000, true],
    ["claude-haiku-5-5", "2026-10-06T23:59:59.999Z", 75_050_000, false],
    ["claude-haiku-5-5", "2026-10-07T00:00:00Z", 1_501_000, true],
    ["claude-fable-5-2", "2026-11-08T23:59:59.999Z", 75_050_000, false],
  ])("%s at %s: %i, known: %s", (model, at, nanoDollars, priceKnown) => {
    expect(cost(model, turn, {}, at)).toMatchObject({ nanoDollars, priceKnown });
  });

  test("the price id names the row for good", () => {
    expect(cost("claude-sonnet-5-5", turn).priceId).toBe("claude-sonnet-5-5@2026-10-07");
    expect(cost("claude-sonnet-5-5", turn, {}, "2026-10-01T00:00:00Z").priceId).toBe(
      "claude-sonnet-5-5@2024-01-01",
    );
    expect(cost("gpt-9", turn).priceId).toBe("default@2024-01-01");
    const ids = priceTable.map((row) => `${row.modelId}@${row.effectiveFrom}`);
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe("an operator's price counts in place of the built-in one", () => {
  const set = (
    modelId: string,
    effectiveFrom: string,
    input: number,
    more = {},
  ): OperatorPrice => ({
    ...{ modelId, effectiveFrom, input, output: 5 * input, write5m: 2 * input, write1h: 3 * input },
    ...{ read: 100, revision: 7, ...more },
  });
  const list = new PriceList([
    set("claude-sonnet-5-5", "2026-09-01", 1000),
    set("claude-sonnet-5-5", "2026-11-22", 4000, { fast: { numerator: 3, denominator: 1 } }),
    set("gpt-9", "2026-11-01", 2000),
    set("claude-opus-5", "2027-01-01", 1),
  ]);
  const by = (model: string, at: string, more: Partial<UsageReading> = {}) =>
    costOf(reading(model, turn, more), model, Date.parse(at), list);

  test.each([
    // Before its day the table counts; from then on it does not, though a row of its own begins later.
    ["claude-sonnet-5-5", "2026-08-31T23:59:59.999Z", 30_020_000, "claude-sonnet-5-5@2024-01-01"],
    ["claude-sonnet-5-5", "2026-09-01T00:00:00Z", 19_510_000, "claude-sonnet-5-5@2026-09-01#7"],
    ["claude-sonnet-5-5", "2026-11-21T23:59:59Z", 19_510_000, "claude-sonnet-5-5@2026-09-01#7"],
    ["claude-sonnet-5-5-20260901", today, 66_040_000, "claude-sonnet-5-5@2026-11-22#7"],
    ["gpt-9", today, 35_020_000, "gpt-9@2026-11-01#7"],
    ["claude-opus-5", today, 75_050_000, "claude-opus-5@2024-01-01"],
  ])("%s at %s: %i, %s", (model, at, nanoDollars, priceId) => {
    expect(by(model, at)).toMatchObject({ nanoDollars, priceId, priceKnown: true });
  });

  test("with its own multipliers, and for an advisor too; other models are not touched", () => {
    expect(by("claude-sonnet-5-5", today, { speed: "fast" }).nanoDollars).toBe(198_120_000);
    const iterations = [
      iteration("message", null, turn),
      iteration("advisor_message", "gpt-9", [100, 10, 0, 0, 0]),
    ];
    expect(by("claude-haiku-4-5", today, { iterations }).nanoDollars).toBe(15_310_000);
    expect(by("gpt-8", today)).toMatchObject({ nanoDollars: 75_050_000, priceKnown: false });
  });
});

describe("an unknown model is never free and never silent", () => {
  test.each(["gpt-9", "claude-opus-5-6", "claude-opus-5-turbo", "", "claude-mythos-5-2"])(
    "%j",
    (model) => {
      expect(cost(model, turn)).toMatchObject({ nanoDollars: 75_050_000, priceKnown: false });
      expect(findPrice(model, Date.parse(today)).known).toBe(false);
    },
  );

  test("the model that answered decides, and the requested one only where none is named", () => {
    const at = Date.parse(today);
    const answered = reading("claude-haiku-4-5", turn);
    expect(costOf(answered, "claude-opus-5", at).nanoDollars).toBe(15_010_000);
    expect(costOf(reading(null, turn), "claude-opus-5", at).nanoDollars).toBe(75_050_000);
  });
});

describe("a long prompt puts the whole request on the higher tier", () => {
  test.each([
    ["exactly the threshold", [100_000, 1000, 0, 0, 0], 10_500_000],
    ["one token more", [100_001, 1000, 0, 0, 0], 52_500_500],
    ["by cache reads", [1, 1000, 0, 0, 100_000], 7_500_500],
    ["by cache writes", [0, 0, 50_000, 50_001, 0], 81_251_000],
    ["output does not count", [10, 200_000, 0, 0, 0], 100_001_000],
  ] as const)("%s", (_name, counts, nanoDollars) => {
    expect(cost("claude-haiku-5-5", counts).nanoDollars).toBe(nanoDollars);
  });
});

describe("multipliers apply and stack", () => {
  const fast = { speed: "fast" };
  const us = { inferenceGeo: "us" };
  const batch = { serviceTier: "batch" };
  test.each([
    ["claude-opus-5", fast, 150_100_000],
    ["claude-opus-5-5", fast, 104_080_000],
    ["claude-opus-4-8", fast, 150_100_000],
    ["claude-opus-4-6", fast, 450_300_000],
    ["claude-fable-5-2", fast, 192_160_000],
    ["claude-opus-5", { speed: "standard" }, 75_050_000],
    ["claude-opus-5", us, 82_555_000],
    ["claude-opus-5", { inferenceGeo: "global" }, 75_050_000],
    ["claude-opus-4-5", us, 75_050_000],
    ["claude-haiku-5-5", us, 1_651_100],
    ["claude-opus-5-5", { ...fast, ...us }, 114_488_000],
    ["claude-sonnet-5", batch, 15_010_000],
    ["claude-sonnet-5", { ...batch, ...us }, 16_511_000],
    ["claude-opus-5", { serviceTier: "priority" }, 75_050_000],
  ])("%s with %o: %i", (model, more, nanoDollars) => {
    expect(cost(model, turn, more)).toMatchObject({ nanoDollars, priceKnown: true });
  });

  test("fast mode without a listed price is doubled and flagged", () => {
    const guessed = cost("claude-sonnet-5", turn, fast);
    expect(guessed).toMatchObject({ nanoDollars: 60_040_000, priceKnown: false });
  });

  test("half a nano-dollar rounds up, once, after all multipliers", () => {
    expect(cost("claude-haiku-5-5", [0, 0, 1, 0, 0], us).nanoDollars).toBe(138); // 137.5
    expect(cost("claude-haiku-5-5", [0, 0, 0, 0, 1], { ...us, ...batch }).nanoDollars).toBe(6); // 5.5
    expect(cost("claude-haiku-5-5", [0, 0, 1, 0, 0], batch).nanoDollars).toBe(63); // 62.5
  });
});

describe("server tools and edges", () => {
  test("a web search costs a cent, whatever the multipliers", () => {
    const searched = { webSearchRequests: 3, webFetchRequests: 7, inferenceGeo: "us" };
    expect(cost("claude-opus-5", [0, 0, 0, 0, 0], searched).nanoDollars).toBe(30_000_000);
    expect(cost("claude-opus-5", turn, { webSearchRequests: 1 }).nanoDollars).toBe(85_050_000);
  });

  test("nothing used costs nothing", () => {
    expect(cost("claude-opus-5", [0, 0, 0, 0, 0]).nanoDollars).toBe(0);
    expect(cost("gpt-9", [0, 0, 0, 0, 0]).nanoDollars).toBe(0);
  });

  test("absurd counts stop at the largest safe integer", () => {
    const absurd: Counts = [1e12, 1e12, 1e12, 1e12, 1e12];
    expect(cost("claude-opus-4-6", absurd, { speed: "fast" }).nanoDollars).toBe(9007199254740991);
  });

  test("dollars are nano-dollars over a billion", () => {
    expect(nanoDollarsToUsd(75_050_000)).toBe(0.07505);
    expect(nanoDollarsToUsd(0)).toBe(0);
  });
});

describe("iterations are billed as Anthropic documents it", () => {
  test("a compaction comes on top of the top-level usage", () => {
    const iterations = [
      iteration("compaction", null, [180_000, 3500, 0, 0, 0]),
      iteration("message", null, [23_000, 1000, 0, 0, 0]),
    ];
    const compacted = cost("claude-opus-5", [23_000, 1000, 0, 0, 0], { iterations });
    expect(compacted.nanoDollars).toBe(1_127_500_000);
    expect(compacted.lines.map((line) => [line.kind, line.nanoDollars])).toEqual([
      ["compaction", 987_500_000],
      ["message", 140_000_000],
    ]);
  });

  test("an advisor is billed at its own model's price, a tool loop by each of its prompts", () => {
    const iterations = [
      iteration("message", null, [412, 89, 0, 0, 0]),
      iteration("advisor_message", "claude-opus-4-7", [823, 1612, 0, 0, 0]),
      iteration("message", "claude-sonnet-4-6", [1348, 442, 0, 0, 412]),
    ];
    const advised = cost("claude-sonnet-4-6", [412, 531, 0, 0, 0], { iterations });
    expect(advised.nanoDollars).toBe(57_783_600);
    expect(advised.priceId).toBe("claude-sonnet-4-6@2024-01-01");
  });

  test("an attempt that declined before any output is free", () => {
    const iterations = [
      iteration("message", "claude-fable-5-1", [1000, 0, 0, 0, 0]),
      iteration("fallback_message", "claude-opus-5", [1000, 100, 0, 0, 0]),
    ];
    const served = cost("claude-opus-5", [1000, 100, 0, 0, 0], { iterations });
    expect(served.nanoDollars).toBe(7_500_000);
  });

  test("an attempt that declined half-way is billed at its own price", () => {
    const iterations = [
      iteration("message", "claude-fable-5-1", [1000, 20, 0, 0, 0]),
      iteration("fallback_message", "claude-opus-5", [1000, 100, 0, 0, 0]),
    ];
    const served = cost("claude-opus-5", [1000, 100, 0, 0, 0], { iterations });
    expect(served.nanoDollars).toBe(18_500_000);
  });

  test("a list that falls short of the top-level usage does not lower the bill", () => {
    const iterations = [iteration("message", null, [10, 20, 0, 0, 0])];
    const short = cost("claude-opus-5", [1000, 200, 0, 0, 0], { iterations });
    expect(short.nanoDollars).toBe(10_000_000);
  });

  test("a compaction is never taken for the answer", () => {
    const iterations = [iteration("compaction", null, [5000, 300, 0, 0, 0])];
    const compacted = cost("claude-opus-5", [1000, 200, 0, 0, 0], { iterations });
    expect(compacted.nanoDollars).toBe(42_500_000);
  });

  test("an iteration of an unknown model is priced and flagged", () => {
    const iterations = [
      iteration("message", null, [1000, 200, 0, 0, 0]),
      iteration("advisor_message", "claude-next", [100, 10, 0, 0, 0]),
    ];
    const advised = cost("claude-opus-5", [1000, 200, 0, 0, 0], { iterations });
    expect(advised).toMatchObject({ nanoDollars: 10_750_000, priceKnown: false });
  });
});
