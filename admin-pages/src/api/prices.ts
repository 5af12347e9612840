import { type Answer, call } from "./client.ts";

/** Dollars for a million tokens. */
export interface TokenDollars {
  input: number;
  output: number;
  cacheWrite5m: number;
  cacheWrite1h: number;
  cacheRead: number;
}

export interface Price extends TokenDollars {
  /** Names this set of amounts for good. */
  id: string;
  model: string;
  /** The first day, UTC. */
  effectiveFrom: string;
  longPrompt: ({ thresholdTokens: number } & TokenDollars) | null;
  /** Null: of the built-in table. */
  setAt: string | null;
}

export interface PriceBook {
  /** The operator's own. */
  prices: Price[];
  /** Built in. */
  listed: Price[];
  /** What unknown models are reckoned at. */
  standIn: Price;
}

export interface NewPrice extends TokenDollars {
  model: string;
  effectiveFrom: string;
  longPrompt?: { thresholdTokens: number } & TokenDollars;
  /** It is meant, though it is far from the built-in price. */
  force?: boolean;
}

export function readPrices(signal: AbortSignal): Promise<Answer<PriceBook>> {
  return call("GET", "/prices", { signal });
}

export function setPrice(body: NewPrice): Promise<Answer<Price>> {
  return call("PUT", "/prices", { body });
}

export function removePrice(
  model: string,
  effectiveFrom: string,
): Promise<Answer<{ removed: boolean }>> {
  return call("DELETE", "/prices", { query: { model, effectiveFrom } });
}
