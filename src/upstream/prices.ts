import { canonicalModel } from "./model-names.ts";

/** Integer nano-dollars per token: $1 per million tokens is 1000 of them. */
export interface TokenPrices {
  readonly input: number;
  readonly output: number;
  readonly write5m: number;
  readonly write1h: number;
  readonly read: number;
}

/** An exact multiplier. */
export interface Ratio {
  readonly numerator: number;
  readonly denominator: number;
}

export interface PriceRow extends TokenPrices {
  /** Canonical model id, or `default`. */
  readonly modelId: string;
  /** First day of validity, ISO date, midnight UTC. */
  readonly effectiveFrom: string;
  /** Prices of the whole request, output too, when the prompt is longer than the threshold. */
  readonly longPrompt?: TokenPrices & { readonly thresholdTokens: number };
  /** Multiplies every token price in fast mode. Absent: the model is not offered in it. */
  readonly fast?: Ratio;
  /** Multiplies every token price for US-only inference. Absent: the model has no such choice. */
  readonly geoUs?: Ratio;
  /** Only of an operator's price, which can be set anew for the same day. */
  readonly revision?: number;
}

const nanoDollarsPerToken = 1000; // of $1 per million tokens

function usdPerMillion(
  input: number,
  output: number,
  write5m: number,
  write1h: number,
  read: number,
): TokenPrices {
  // Rounded, because 0.3 * 1000 need not be 300 in floating point.
  const nano = (usd: number) => Math.round(usd * nanoDollarsPerToken);
  return {
    input: nano(input),
    output: nano(output),
    write5m: nano(write5m),
    write1h: nano(write1h),
    read: nano(read),
  };
}

function rows(
  modelIds: readonly string[],
  effectiveFrom: string,
  prices: TokenPrices,
  extras: Pick<PriceRow, "longPrompt" | "fast" | "geoUs"> = {},
): PriceRow[] {
  return modelIds.map((modelId) => ({ modelId, effectiveFrom, ...prices, ...extras }));
}

/** Since before this table begins, at the same price throughout. */
const always = "2024-01-01";

// "inference_geo: us" costs 1.1 times the price on every token category, Claude 4.6 and later.
const geoUs: Ratio = { numerator: 11, denominator: 10 };
const us = { geoUs };
// Fast mode multiplies the cache prices too. Opus 5: one copy of the price page shares Opus 5.5's
// 8/40 with it, but the price lists of Vercel and OpenRouter say 10/50, which is 2x.
// Opus 4.8 at 10/50 comes from one page copy. Opus 4.6 and 4.7 (removed 2026-07-24): 30/150.
// Fable 5.2 at 16/80, Opus 5.5 at 8/40.
const fastDouble = { geoUs, fast: { numerator: 2, denominator: 1 } };
const fastSixfold = { geoUs, fast: { numerator: 6, denominator: 1 } };

const fable51 = usdPerMillion(10, 50, 12.5, 20, 0.25);
const fable5 = usdPerMillion(10, 50, 12.5, 20, 1);
const opus4x = usdPerMillion(5, 25, 6.25, 10, 0.5);
const opus4 = usdPerMillion(15, 75, 18.75, 30, 1.5);
const sonnet4x = usdPerMillion(3, 15, 3.75, 6, 0.3);

/**
 * List prices, platform.claude.com/docs/en/about-claude/pricing and its copies up to 2026-11-12.
 * A change of price is a new row; rows are never edited, so that history keeps its prices.
 *
 * Not listed: the premium above 200k tokens that Sonnet 4 and 4.5 had in the 1M beta. When it
 * ended is not documented, and without that beta no such prompt is accepted. Nor Mythos 5.2 and
 * Mythos Preview, for which no price could be found: they fall to the default, flagged.
 */
export const priceTable: readonly PriceRow[] = [
  ...rows(["claude-fable-5-2"], "2026-11-09", usdPerMillion(8, 40, 10, 16, 0.2), fastDouble),
  ...rows(["claude-fable-5-1", "claude-mythos-5-1"], always, fable51, us),
  ...rows(["claude-fable-5", "claude-mythos-5"], always, fable5, us),
  ...rows(["claude-opus-5-5"], always, usdPerMillion(4, 20, 5, 8, 0.2), fastDouble),
  ...rows(["claude-opus-5", "claude-opus-4-8"], always, opus4x, fastDouble),
  ...rows(["claude-opus-4-7", "claude-opus-4-6"], always, opus4x, fastSixfold),
  ...rows(["claude-opus-4-5"], always, opus4x),
  ...rows(["claude-opus-4-1", "claude-opus-4", "claude-3-opus"], always, opus4),
  ...rows(["claude-sonnet-5-5"], always, usdPerMillion(2, 10, 2.5, 4, 0.2), us),
  ...rows(["claude-sonnet-5-5"], "2026-10-07", usdPerMillion(2, 10, 2.5, 4, 0.1), us),
  ...rows(["claude-sonnet-5"], always, usdPerMillion(2, 10, 2.5, 4, 0.2), us),
  ...rows(["claude-sonnet-4-6"], always, sonnet4x, us),
  ...rows(["claude-sonnet-4-5", "claude-sonnet-4", "claude-3-7-sonnet"], always, sonnet4x),
  ...rows(["claude-haiku-5-5"], "2026-10-07", usdPerMillion(0.1, 0.5, 0.125, 0.2, 0.01), {
    geoUs,
    longPrompt: { thresholdTokens: 100_000, ...usdPerMillion(0.5, 2.5, 0.625, 1, 0.05) },
  }),
  ...rows(["claude-haiku-4-5"], always, usdPerMillion(1, 5, 1.25, 2, 0.1)),
  ...rows(["claude-3-5-haiku"], always, usdPerMillion(0.8, 4, 1, 1.6, 0.08)),
  ...rows(["claude-3-haiku"], always, usdPerMillion(0.25, 1.25, 0.3, 0.5, 0.03)),
];

/** What Anthropic's own gateway charges for a model that it does not know. Never free. */
export const defaultPrice: PriceRow = {
  modelId: "default",
  effectiveFrom: always,
  ...usdPerMillion(5, 25, 6.25, 10, 0.5),
  ...fastDouble,
};

const rowsByModel = Map.groupBy(
  priceTable.toSorted((a, b) => Date.parse(b.effectiveFrom) - Date.parse(a.effectiveFrom)),
  (row) => row.modelId,
);

/**
 * The row in force for a model, given in any spelling, at a time in epoch milliseconds.
 * `known` is false where the default stands in, also for a time before the model's first row.
 */
export function findPrice(model: string, atMs: number): { row: PriceRow; known: boolean } {
  const row = rowsByModel
    .get(canonicalModel(model))
    ?.find((candidate) => Date.parse(candidate.effectiveFrom) <= atMs);
  return row === undefined ? { row: defaultPrice, known: false } : { row, known: true };
}

/** The name that the table lists a model under, or null where it does not. */
export function listedModel(model: string): string | null {
  const name = canonicalModel(model);
  return rowsByModel.has(name) ? name : null;
}

/** Names a row for good: `claude-opus-5@2024-01-01`, an operator's with its revision behind a `#`. */
export function priceIdOf({ modelId, effectiveFrom, revision }: PriceRow): string {
  return `${modelId}@${effectiveFrom}${revision === undefined ? "" : `#${revision}`}`;
}
