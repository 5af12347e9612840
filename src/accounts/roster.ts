import type { RosterSnapshot } from "../../durable-objects/fleet.ts";
import { callObject } from "../durable-call.ts";
import type { RosterRow } from "./roster-row.ts";

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
  snapshot(): Promise<RosterSnapshot>;
}

/** The roster as this isolate knows it. */
export class Roster {
  readonly #fleet: () => FleetStub;
  readonly #now: () => number;
  #rows: readonly RosterRow[] | null = null;
  #readAtMs = Number.NEGATIVE_INFINITY;
  /** When a refresh beside a request began: one is enough, unless its request died. */
  #refreshBeganAtMs = Number.NEGATIVE_INFINITY;

  constructor(fleet: () => FleetStub, now: () => number = Date.now) {
    this.#fleet = fleet;
    this.#now = now;
  }

  /**
   * The accounts to choose from.
   *
   * @param beside runs work that the request does not wait for
   * @returns null where the Fleet cannot be asked and nothing was ever known
   */
  async rows(beside: (work: Promise<unknown>) => void): Promise<readonly RosterRow[] | null> {
    const ageMs = this.#now() - this.#readAtMs;
    if (this.#rows !== null && ageMs < STALE_MS) {
      if (ageMs >= FRESH_MS && this.#now() - this.#refreshBeganAtMs >= FRESH_MS) {
        this.#refreshBeganAtMs = this.#now();
        beside(this.#read());
      }
      return this.#rows;
    }
    try {
      return await this.#read();
    } catch {
      return this.#rows;
    }
  }

  /** A newer roster than the one in hand, for a request that found no account in it; else null. */
  async newerRows(): Promise<readonly RosterRow[] | null> {
    if (this.#now() - this.#readAtMs < LOOK_AGAIN_MS) return null;
    try {
      return await this.#read();
    } catch {
      return null;
    }
  }

  /** Takes in a row that an account's object has just answered. */
  patch(row: RosterRow): void {
    if (this.#rows === null) return;
    const others = this.#rows.filter(({ id }) => id !== row.id);
    const known = this.#rows.find(({ id }) => id === row.id);
    if (known === undefined || known.revision < row.revision) this.#rows = [...others, row];
  }

  /** Makes the next request read anew, after this isolate changed an account. */
  forget(): void {
    this.#readAtMs = Number.NEGATIVE_INFINITY;
  }

  async #read(): Promise<readonly RosterRow[]> {
    const { rows } = await callObject(this.#fleet, (fleet) => fleet.snapshot());
    this.#rows = rows;
    this.#readAtMs = this.#now();
    return rows;
  }
}
