import { RecentMap } from "../recent-map.ts";
import type { KeyRecord } from "./key-record.ts";
import { type KeyStore, KeyStoreUnavailable } from "./key-store.ts";

/** How long a record is used without asking the store. The meter refuses what changed meanwhile. */
const FRESH_MS = 30_000;
/** How long a record seen before keeps working while the store is down. */
const STALE_IF_DOWN_MS = 10 * 60_000;
/** After a failure, known keys do not wait for the store again for so long. */
const DOWN_MS = 5_000;
/** How long "no such key" is remembered: long enough to spare the store, short for a new key. */
const UNKNOWN_MS = 5_000;
/** Bounds the isolate's memory: some 500 bytes an entry. */
const MAX_ENTRIES = 10_000;

export type KeyLookup =
  | { kind: "found"; record: KeyRecord }
  | { kind: "unknown" }
  | { kind: "unavailable" };

interface Entry {
  record: KeyRecord | null;
  readAtMs: number;
}

/** Key records by hash, for as long as this isolate lives. */
export class KeyCache {
  readonly #store: KeyStore;
  readonly #now: () => number;
  #downUntilMs = Number.NEGATIVE_INFINITY;
  readonly #entries = new RecentMap<string, Entry>(MAX_ENTRIES);

  constructor(store: KeyStore, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
  }

  /** The record if it is fresh in memory, without a promise: the usual case on the hot path. */
  peek(hash: string): KeyRecord | null {
    const entry = this.#entries.get(hash);
    if (entry === undefined || entry.record === null) return null;
    return this.#now() - entry.readAtMs < FRESH_MS ? entry.record : null;
  }

  /** Whether this isolate has seen the key to be good, however long ago. */
  hasSeen(hash: string): boolean {
    return this.#entries.get(hash)?.record != null;
  }

  async find(hash: string): Promise<KeyLookup> {
    const known = this.#entries.get(hash);
    const ageMs = known === undefined ? Number.POSITIVE_INFINITY : this.#now() - known.readAtMs;
    if (known !== undefined && ageMs < (known.record === null ? UNKNOWN_MS : FRESH_MS)) {
      return lookupOf(known.record);
    }
    const usable = known !== undefined && known.record !== null && ageMs < STALE_IF_DOWN_MS;
    if (usable && this.#now() < this.#downUntilMs) return lookupOf(known.record);
    try {
      const record = await this.#store.findByHash(hash);
      this.#entries.set(hash, { record, readAtMs: this.#now() });
      return lookupOf(record);
    } catch (error) {
      if (!(error instanceof KeyStoreUnavailable)) throw error;
      this.#downUntilMs = this.#now() + DOWN_MS;
      return usable ? lookupOf(known.record) : { kind: "unavailable" };
    }
  }

  /** Drops what is known of a key, after this isolate changed it. */
  forget(hash: string): void {
    this.#entries.delete(hash);
  }
}

function lookupOf(record: KeyRecord | null): KeyLookup {
  return record === null ? { kind: "unknown" } : { kind: "found", record };
}
