import type { KeyRecord } from "./key-record.ts";

/** A key's record with the hash that it is stored under. */
export interface StoredKey {
  hash: string;
  record: KeyRecord;
}

export interface KeyPage {
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
  readonly kind: "kv";
  /** The record under this hash, or null where there is none. */
  findByHash(hash: string): Promise<KeyRecord | null>;
  findById(id: string): Promise<StoredKey | null>;
  /** Writes a record, new or changed. */
  put(key: StoredKey): Promise<void>;
  remove(key: StoredKey): Promise<void>;
  /** Keys in order of their ids. `limit` is at most 1000. */
  list(options: { cursor: string | null; limit: number }): Promise<KeyPage>;
}
