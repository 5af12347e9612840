import * as v from "valibot";
import { canonicalModel } from "../upstream/model-names.ts";
import {
  findPrice,
  type PriceRow,
  priceIdOf,
  priceTable,
  type TokenPrices,
} from "../upstream/prices.ts";

/** Nano-dollars a token, where a million tokens cost one dollar. */
const NANO_A_DOLLAR = 1_000;
/** A thousand times what any model costs: beyond it is a mistake that nothing should force. */
const MAX_DOLLARS = 100_000;
/** What was meant for a thousand tokens, or in cents, is further off than this. */
const USUAL_FACTOR = 10;
const MAX_THRESHOLD_TOKENS = 100_000_000;
const MODEL = /^[A-Za-z0-9][A-Za-z0-9._:@/[\]-]{0,99}$/;
const DAY = /^20\d\d-\d\d-\d\d$/;

const dollarsSchema = v.pipe(
  v.number(),
  v.minValue(0),
  v.maxValue(MAX_DOLLARS),
  v.check(
    (dollars) => Math.abs(dollars * NANO_A_DOLLAR - Math.round(dollars * NANO_A_DOLLAR)) < 1e-6,
    "has more than three decimals: costs are whole nano-dollars a token",
  ),
);

/** Dollars for a million tokens. */
const dollarFields = {
  input: dollarsSchema,
  output: dollarsSchema,
  cacheWrite5m: dollarsSchema,
  cacheWrite1h: dollarsSchema,
  cacheRead: dollarsSchema,
};

const daySchema = v.pipe(v.string(), v.check(isDay, "is no day such as 2027-01-31"));

/** What a price is found by. */
export const wherePriceSchema = {
  model: v.pipe(v.string(), v.regex(MODEL, "is no name of a model")),
  effectiveFrom: daySchema,
};

export const priceSchema = v.strictObject({
  model: wherePriceSchema.model,
  effectiveFrom: v.optional(daySchema),
  ...dollarFields,
  longPrompt: v.optional(
    v.strictObject({
      thresholdTokens: v.pipe(
        v.number(),
        v.integer(),
        v.minValue(1),
        v.maxValue(MAX_THRESHOLD_TOKENS),
      ),
      ...dollarFields,
    }),
  ),
  force: v.optional(v.boolean(), false),
});

/**
 * A price as it is reckoned with. What fast mode and US-only inference multiply it by is the built-in
 * row's, and stays so, that the price's id names all of it.
 */
export function priceOf(
  { model, effectiveFrom, longPrompt, ...dollars }: v.InferOutput<typeof priceSchema>,
  nowMs: number,
): PriceRow {
  const day = effectiveFrom ?? new Date(nowMs).toISOString().slice(0, 10);
  const modelId = canonicalModel(model);
  const { fast, geoUs } = builtIn(modelId, day) ?? {};
  return {
    modelId,
    effectiveFrom: day,
    ...nanoPrices(dollars),
    ...(longPrompt === undefined
      ? {}
      : {
          longPrompt: {
            thresholdTokens: longPrompt.thresholdTokens,
            ...nanoPrices(longPrompt),
          },
        }),
    ...(fast === undefined ? {} : { fast }),
    ...(geoUs === undefined ? {} : { geoUs }),
  };
}

/** In words, what of a price is far from what would count without it; null: nothing. */
export function offScale(price: PriceRow): string | null {
  const { modelId, effectiveFrom, longPrompt } = price;
  const usual =
    builtIn(modelId, effectiveFrom) ?? findPrice(modelId, Date.parse(effectiveFrom)).row;
  const far = [
    ...farFields(price, usual, ""),
    ...(longPrompt === undefined
      ? []
      : farFields(longPrompt, usual.longPrompt ?? usual, "longPrompt.")),
  ];
  if (far.length === 0) return null;
  return `${far.join(", ")} would be more than ${USUAL_FACTOR} times, or less than a ${USUAL_FACTOR}th of, the price in ${priceIdOf(usual)}. Prices are dollars for a million tokens. If it is meant, set force.`;
}

/** Dollars for a million tokens, as they are given. */
export function shownPrice(row: PriceRow) {
  const { modelId, effectiveFrom, longPrompt, fast, geoUs, revision } = row;
  const factor = (ratio: PriceRow["fast"]) =>
    ratio === undefined ? null : ratio.numerator / ratio.denominator;
  return {
    id: priceIdOf(row),
    model: modelId,
    effectiveFrom,
    ...dollarsOf(row),
    longPrompt:
      longPrompt === undefined
        ? null
        : { thresholdTokens: longPrompt.thresholdTokens, ...dollarsOf(longPrompt) },
    fastFactor: factor(fast),
    usFactor: factor(geoUs),
    setAt: revision === undefined ? null : new Date(revision).toISOString(),
  };
}

/** The table's row for a model on a day, or its first one where it begins later; null: it has none. */
function builtIn(modelId: string, day: string): PriceRow | null {
  const { row, known } = findPrice(modelId, Date.parse(day));
  if (known) return row;
  return priceTable.find((candidate) => candidate.modelId === modelId) ?? null;
}

const FIELDS = {
  input: "input",
  output: "output",
  cacheWrite5m: "write5m",
  cacheWrite1h: "write1h",
  cacheRead: "read",
} as const satisfies Record<keyof typeof dollarFields, keyof TokenPrices>;

type Dollars = Record<keyof typeof FIELDS, number>;

function nanoPrices(dollars: Dollars): TokenPrices {
  const nano = (name: keyof typeof FIELDS) => Math.round(dollars[name] * NANO_A_DOLLAR);
  return {
    input: nano("input"),
    output: nano("output"),
    write5m: nano("cacheWrite5m"),
    write1h: nano("cacheWrite1h"),
    read: nano("cacheRead"),
  };
}

function dollarsOf(prices: TokenPrices): Dollars {
  const shown = Object.entries(FIELDS).map(([name, own]) => [name, prices[own] / NANO_A_DOLLAR]);
  return Object.fromEntries(shown) as Dollars;
}

function farFields(prices: TokenPrices, usual: TokenPrices, prefix: string): string[] {
  return Object.entries(FIELDS)
    .filter(
      ([, own]) =>
        prices[own] > usual[own] * USUAL_FACTOR || prices[own] * USUAL_FACTOR < usual[own],
    )
    .map(([name]) => prefix + name);
}

/** Date.parse takes 2027-02-31 for a day in March. */
function isDay(text: string): boolean {
  const atMs = Date.parse(text);
  return DAY.test(text) && !Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(text);
}
