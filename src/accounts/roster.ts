import type { RosterSnapshot } from "../../durable-objects/fleet.ts";
import { callObject } from "../durable-call.ts";
import {
  LISTED_PRICES,
  PriceList,
  type Prices,
  parseOperatorPrice,
} from "../upstream/price-list.ts";
import { Pool, type PoolPolicy } from "./pool.ts";
import { parseRosterRow, type RosterRow } from "./roster-row.ts";

/** Older than this, a snapshot still serves, and a new one is fetched beside the request. */
const FRESH_MS = 3_000;
/**
 * Older than this, a request waits for a new one; where none comes, the old one serves still. So a
 * change of an account holds everywhere within this time, and at once where it was made.
 */
const STALE_MS = 10_000;
/** A request that found no account looks again, but not more often than this. */
const LOOK_AGAIN_MS = 500;

interface FleetStub {
  snapshot(knownVersion: number | null): Promise<RosterSnapshot>;
}

/** Every account as the Fleet knows it now; rejects where it cannot be asked. */
export async function allAccounts(fleet: () => FleetStub): Promise<RosterRow[]> {
  const { rows } = await callObject(fleet, (object) => object.snapshot(null));
  return (rows ?? []).map(parseRosterRow);
}

/** The roster as this isolate knows it. */
export class Roster {
  readonly #fleet: () => FleetStub;
  readonly #policy: PoolPolicy;
  readonly #now: () => number;
  #pool: Pool | null = null;
  #prices: Prices = LISTED_PRICES;
  #isLedgerWatched = false;
  /** Of the snapshot that the pool was made from; null: read it whole. */
  #version: number | null = null;
  #readAtMs = Number.NEGATIVE_INFINITY;
  /** When a refresh beside a request began: one is enough, unless its request died. */
  #refreshBeganAtMs = Number.NEGATIVE_INFINITY;

  constructor(fleet: () => FleetStub, policy: PoolPolicy, now: () => number = Date.now) {
    this.#fleet = fleet;
    this.#policy = policy;
    this.#now = now;
  }

  /**
   * The accounts to choose from, if they are in memory and young enough: the usual case, without a
   * promise.
   *
   * @param beside runs work that the request does not wait for
   */
  peek(beside: (work: Promise<unknown>) => void): Pool | null {
    const ageMs = this.#now() - this.#readAtMs;
    if (this.#pool === null || ageMs >= STALE_MS) return null;
    if (ageMs >= FRESH_MS && this.#now() - this.#refreshBeganAtMs >= FRESH_MS) {
      this.#refreshBeganAtMs = this.#now();
      beside(this.#read());
    }
    return this.#pool;
  }

  /** @returns null where the Fleet cannot be asked and nothing was ever known */
  async pool(beside: (work: Promise<unknown>) => void): Promise<Pool | null> {
    const known = this.peek(beside);
    if (known !== null) return known;
    try {
      return await this.#read();
    } catch {
      return this.#pool;
    }
  }

  /** What requests cost, as the snapshot in use says: a request that is served has read one. */
  get prices(): Prices {
    return this.#prices;
  }

  /** Whether someone reads the usage ledger these minutes, as the snapshot in use says. */
  get isLedgerWatched(): boolean {
    return this.#isLedgerWatched;
  }

  /** A newer pool than the one in hand, for a request that found no account in it; else null. */
  async newerPool(): Promise<Pool | null> {
    if (this.#now() - this.#readAtMs < LOOK_AGAIN_MS) return null;
    try {
      return await this.#read();
    } catch {
      return null;
    }
  }

  /** Takes in a row that an account's object has just answered. */
  patch(row: RosterRow): void {
    const known = this.#pool?.find(row.id) ?? null;
    if (this.#pool === null || (known !== null && known.revision >= row.revision)) return;
    const others = this.#pool.rows.filter(({ id }) => id !== row.id);
    this.#pool = new Pool([...others, row], this.#policy);
    // The Fleet may hear of this row later than it was asked last: its next answer must be whole.
    this.#version = null;
  }

  /** Makes the next request read anew, after this isolate changed an account. */
  forget(): void {
    this.#readAtMs = Number.NEGATIVE_INFINITY;
  }

  async #read(): Promise<Pool> {
    const known = this.#version;
    const { version, rows, prices, isLedgerWatched } = await callObject(this.#fleet, (fleet) =>
      fleet.snapshot(known),
    );
    this.#readAtMs = this.#now();
    this.#isLedgerWatched = isLedgerWatched;
    if (rows !== null || this.#pool === null) {
      this.#pool = new Pool((rows ?? []).map(parseRosterRow), this.#policy);
      this.#version = version;
    }
    if (prices !== null) this.#prices = new PriceList(prices.map(parseOperatorPrice));
    return this.#pool;
  }
}
