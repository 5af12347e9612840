import { SHARED_READS } from "./usage.ts";

/** Who asks how often, and how much of it is played. Times are those of the relay's clock. */
export interface CostLoad {
  name: string;
  keys: number;
  perKeyPerS: number;
  accounts: number;
  /** Keys and accounts that are played: one key costs what any other does. */
  sampleKeys: number;
  sampleAccounts: number;
  /** How much faster than the machine's the relay's clock runs. */
  clockScale: number;
  /** The first hour has no rows that are old enough to be folded away, and so is left out. */
  warmS: number;
  windowS: number;
}

const MINUTE_S = 60;

export const COST_LOADS: CostLoad[] = [
  {
    name: "one key at 1/s",
    keys: 1,
    perKeyPerS: 1,
    accounts: 1,
    sampleKeys: 1,
    sampleAccounts: 1,
    clockScale: 30,
    warmS: 62 * MINUTE_S,
    windowS: 10 * MINUTE_S,
  },
  {
    name: "100 keys at 1/s each",
    keys: 100,
    perKeyPerS: 1,
    accounts: 10,
    sampleKeys: 5,
    sampleAccounts: 10,
    clockScale: 50,
    warmS: 62 * MINUTE_S,
    windowS: 10 * MINUTE_S,
  },
  {
    name: "10,000 keys at 1 a minute each",
    keys: 10_000,
    perKeyPerS: 1 / MINUTE_S,
    accounts: 1_000,
    sampleKeys: 30,
    sampleAccounts: 3,
    clockScale: 100,
    warmS: 62 * MINUTE_S,
    windowS: 10 * MINUTE_S,
  },
];

/**
 * The part of a sample's use that counts, by class: one Fleet serves all keys, and accounts serve as
 * many keys as there are.
 */
export function shares(load: CostLoad): Record<string, number> {
  const playedKeys = load.sampleKeys / load.keys;
  const playedAccounts = load.sampleAccounts / load.accounts;
  return {
    Fleet: playedKeys,
    ClaudeAccount: playedKeys / playedAccounts,
    [SHARED_READS]: playedKeys,
  };
}
