import { canonicalModel } from "./model-names.ts";
import { findPrice, type PriceRow } from "./prices.ts";

/** A price that the operator set. */
export interface OperatorPrice extends PriceRow {
  /** Tells it from every other that had its model and day: grows with each change. */
  readonly revision: number;
}

/** Where the price of a model is looked up. */
export interface Prices {
  /** The row in force at a time in epoch milliseconds; `known` is false where the default stands in. */
  find(model: string, atMs: number): { row: PriceRow; known: boolean };
}

/** The built-in table alone. */
export const LISTED_PRICES: Prices = { find: findPrice };

/**
 * The operator's prices over the built-in table. From its day on, an operator's price counts until it
 * is removed, whatever the table says; of several for a model, the one with the latest day.
 */
export class PriceList implements Prices {
  readonly #byModel: ReadonlyMap<string, readonly OperatorPrice[]>;

  constructor(operatorPrices: readonly OperatorPrice[]) {
    this.#byModel = Map.groupBy(
      operatorPrices.toSorted((a, b) => Date.parse(b.effectiveFrom) - Date.parse(a.effectiveFrom)),
      ({ modelId }) => modelId,
    );
  }

  find(model: string, atMs: number): { row: PriceRow; known: boolean } {
    const own = this.#byModel
      .get(canonicalModel(model))
      ?.find(({ effectiveFrom }) => Date.parse(effectiveFrom) <= atMs);
    return own === undefined ? findPrice(model, atMs) : { row: own, known: true };
  }
}

/** An operator's price as the Fleet hands it out. */
export function parseOperatorPrice(text: string): OperatorPrice {
  return JSON.parse(text) as OperatorPrice;
}
