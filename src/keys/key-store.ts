import type { KeyRecord } from "./key-record.ts";

/** A key's record with the hash that it is stored under. */
export interface StoredKey {
  hash: string;
  record: KeyRecord;
}

/** Which keys a page shows. */
export interface KeyQuery {
  /** Opaque, from the page before; null: the first page. */
  cursor: string | null;
  /** 1 to {@link KEY_PAGE_MAX}. */
  limit: number;
  /** Only keys whose name begins so, whatever its case; not together with `tag`. */
  namePrefix?: string | undefined;
  /** Only keys that carry this tag. */
  tag?: string | undefined;
}

export const KEY_PAGE_MAX = 1_000;

export interface KeyPage {
  /** In order of their ids, or of their names where they were searched by name. */
  keys: KeyRecord[];
  /** Opaque; null on the last page. */
  cursor: string | null;
}

/** Thrown by every method of a store that cannot be asked: an outage is never "no such key". */
export class KeyStoreUnavailable extends Error {
  override readonly name = "KeyStoreUnavailable";
}

/** Where relay keys are kept, under their hashes. One implementation a file. */
export interface KeyStore {
  readonly kind: "kv" | "upstash";
  /** The record under this hash, or null where there is none. The one read of the hot path. */
  findByHash(hash: string): Promise<KeyRecord | null>;
  findById(id: string): Promise<StoredKey | null>;
  /** Those of the keys that are there, in the order of the ids, in one read for a hundred. */
  findByIds(ids: readonly string[]): Promise<StoredKey[]>;
  /**
   * Writes a record, new or changed.
   *
   * @param before the record as it was, so that names and tags it no longer has are found no more
   */
  put(key: StoredKey, before: KeyRecord | null): Promise<void>;
  /** Lets a hash that was replaced work until a time, and then be gone. */
  retire(hash: string, record: KeyRecord, untilMs: number): Promise<void>;
  /** Removes a record from under a hash, and nothing else: after a rotation without grace. */
  dropHash(hash: string): Promise<void>;
  remove(key: StoredKey): Promise<void>;
  /**
   * When keys were last changed past the relay, as {@link noteChange} wrote it: opaque, and another
   * one after each such change. Null: never.
   */
  changeMark(): Promise<string | null>;
  /** Notes that keys were changed, and that their meters could not be told. */
  noteChange(): Promise<void>;
  /** A page, in a time that does not grow with the number of keys. */
  list(query: KeyQuery): Promise<KeyPage>;
}
