import type { NewPrice, Price, TokenDollars } from "../../api/prices.ts";

export const AMOUNTS = [
  "input",
  "output",
  "cacheWrite5m",
  "cacheWrite1h",
  "cacheRead",
] as const satisfies readonly (keyof TokenDollars)[];

export type Amount = (typeof AMOUNTS)[number];
type Texts = Record<Amount, string>;

/** A price while it is typed. */
export interface PriceDraft {
  model: string;
  effectiveFrom: string;
  amounts: Texts;
  hasLongPrompt: boolean;
  thresholdTokens: string;
  longPrompt: Texts;
}

export const NO_AMOUNTS: Texts = {
  input: "",
  output: "",
  cacheWrite5m: "",
  cacheWrite1h: "",
  cacheRead: "",
};

const AMOUNT = /^\d{1,6}(\.\d{1,3})?$/;
const WHOLE = /^[1-9]\d{0,8}$/;

export function emptyDraft(): PriceDraft {
  return {
    model: "",
    effectiveFrom: new Date().toISOString().slice(0, 10),
    amounts: NO_AMOUNTS,
    hasLongPrompt: false,
    thresholdTokens: "200000",
    longPrompt: NO_AMOUNTS,
  };
}

/** With the amounts of another price. */
export function draftLike(draft: PriceDraft, price: Price): PriceDraft {
  const { longPrompt } = price;
  return {
    ...draft,
    amounts: textsOf(price),
    hasLongPrompt: longPrompt !== null,
    ...(longPrompt === null
      ? {}
      : { thresholdTokens: String(longPrompt.thresholdTokens), longPrompt: textsOf(longPrompt) }),
  };
}

function textsOf(dollars: TokenDollars): Texts {
  return Object.fromEntries(AMOUNTS.map((name) => [name, String(dollars[name])])) as Texts;
}

export function isAmount(text: string): boolean {
  return AMOUNT.test(text.trim());
}

export function isThreshold(text: string): boolean {
  return WHOLE.test(text.trim());
}

/** @returns null where something is missing or no number */
export function priceIn(draft: PriceDraft): NewPrice | null {
  const model = draft.model.trim();
  const { effectiveFrom, hasLongPrompt, thresholdTokens } = draft;
  const amounts = amountsIn(draft.amounts);
  if (model === "" || effectiveFrom === "" || amounts === null) return null;
  if (!hasLongPrompt) return { model, effectiveFrom, ...amounts };
  const long = amountsIn(draft.longPrompt);
  if (long === null || !isThreshold(thresholdTokens)) return null;
  const longPrompt = { thresholdTokens: Number(thresholdTokens), ...long };
  return { model, effectiveFrom, ...amounts, longPrompt };
}

function amountsIn(texts: Texts): TokenDollars | null {
  if (!AMOUNTS.every((name) => isAmount(texts[name]))) return null;
  return Object.fromEntries(
    AMOUNTS.map((name) => [name, Number(texts[name])]),
  ) as unknown as TokenDollars;
}
