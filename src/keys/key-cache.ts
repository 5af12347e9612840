import { RecentMap } from "../recent-map.ts";
import type { KeyRecord } from "./key-record.ts";
import { type KeyStore, KeyStoreUnavailable } from "./key-store.ts";

/** How long a record, and the mark of changes, are used without asking the store. */
const FRESH_MS = 30_000;
/**
 * How long a record is used while the mark says that no key was changed past the relay. What was
 * changed through it, the meter refuses: it knows more than any record.
 */
const UNCHANGED_MS = 15 * 60_000;
/** Workers KV may show a mark this long before it shows the change that it is about. */
const CHANGE_ARRIVES_MS = 2 * 60_000;
/** How long a record seen before keeps working while the store is down. */
const STALE_IF_DOWN_MS = UNCHANGED_MS;
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
  /** The mark that was known before the record was read; undefined: none was. */
  mark: string | null | undefined;
}

/**
 * Key records by hash, for as long as this isolate lives. One read of the mark in half a minute
 * serves all keys: without it each slow key would cost a read a request.
 */
export class KeyCache {
  readonly #store: KeyStore;
  readonly #now: () => number;
  #downUntilMs = Number.NEGATIVE_INFINITY;
  readonly #entries = new RecentMap<string, Entry>(MAX_ENTRIES);
  #mark: string | null | undefined;
  #markReadAtMs = Number.NEGATIVE_INFINITY;
  /** Records that were read before this may be older than the change which the mark is about. */
  #changeArrivedAtMs = Number.NEGATIVE_INFINITY;

  constructor(store: KeyStore, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
  }

  /** The record if it is fresh in memory, without a promise: the usual case on the hot path. */
  peek(hash: string): KeyRecord | null {
    const entry = this.#entries.get(hash);
    if (entry === undefined || entry.record === null) return null;
    const nowMs = this.#now();
    if (nowMs - entry.readAtMs < FRESH_MS) return entry.record;
    return nowMs - this.#markReadAtMs < FRESH_MS && this.#isUnchanged(entry, nowMs)
      ? entry.record
      : null;
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
      if (usable) {
        await this.#readMark();
        if (this.#isUnchanged(known, this.#now())) return lookupOf(known.record);
      }
      const mark = this.#mark;
      const record = await this.#store.findByHash(hash);
      this.#entries.set(hash, { record, readAtMs: this.#now(), mark });
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

  /** Whether nothing was changed past the relay since the record was read, as far as is known. */
  #isUnchanged({ readAtMs, mark }: Entry, nowMs: number): boolean {
    return (
      mark !== undefined &&
      mark === this.#mark &&
      readAtMs >= this.#changeArrivedAtMs &&
      nowMs - readAtMs < UNCHANGED_MS
    );
  }

  async #readMark(): Promise<void> {
    if (this.#now() - this.#markReadAtMs < FRESH_MS) return;
    const mark = await this.#store.changeMark();
    this.#markReadAtMs = this.#now();
    if (this.#mark !== undefined && mark !== this.#mark) {
      this.#changeArrivedAtMs = this.#now() + CHANGE_ARRIVES_MS;
    }
    this.#mark = mark;
  }
}

function lookupOf(record: KeyRecord | null): KeyLookup {
  return record === null ? { kind: "unknown" } : { kind: "found", record };
}
