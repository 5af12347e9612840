import { listedModel } from "../../src/upstream/prices.ts";
import type { GroupSums, LifetimeSums } from "./contract.ts";
import { addSums } from "./sums.ts";

/** Stands for every model without a price of its own: clients may invent names without end. */
export const OTHER_MODEL = "other";

/**
 * Sums over everything that was ever counted, by account and model. Read from the rollups once, when
 * they are first asked for, and carried on in memory from then: whoever watches asks every few seconds.
 */
export class Lifetime {
  readonly #load: () => readonly GroupSums[];
  #groups: Map<string, LifetimeSums> | null = null;

  /** @param load everything that the rollups hold, by account and model */
  constructor(load: () => readonly GroupSums[]) {
    this.#load = load;
  }

  /** What was just counted, once it is kept. Costs nothing while nobody asks. */
  add(accountId: string, model: string, sums: LifetimeSums["sums"]): void {
    if (this.#groups !== null) addTo(this.#groups, accountId, model, sums);
  }

  read(): LifetimeSums[] {
    if (this.#groups === null) {
      const groups = new Map<string, LifetimeSums>();
      for (const { account_id, model, sums } of this.#load()) {
        addTo(groups, account_id ?? "", model ?? "", sums);
      }
      this.#groups = groups;
    }
    return [...this.#groups.values()];
  }
}

function addTo(
  groups: Map<string, LifetimeSums>,
  accountId: string,
  model: string,
  sums: LifetimeSums["sums"],
): void {
  const listed = listedModel(model) ?? OTHER_MODEL;
  const name = JSON.stringify([accountId, listed]);
  const known = groups.get(name);
  if (known !== undefined) addSums(known.sums, sums);
  else groups.set(name, { accountId, model: listed, sums: { ...sums } });
}
