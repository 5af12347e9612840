import { type KeyRecord, parseKeyRecord } from "./key-record.ts";
import { type KeyPage, type KeyStore, KeyStoreUnavailable, type StoredKey } from "./key-store.ts";

/**
 * Layout (docs/storage-schema.md):
 * - `key:<hash>` holds the record as JSON: the one read of the hot path;
 * - `id:<id>` holds the hash, with the record as metadata, so that a page of the list is one
 *   operation and needs no read per key.
 */
const RECORD_PREFIX = "key:";
const ID_PREFIX = "id:";
/** Workers KV refuses metadata over 1024 bytes; a longer record leaves out its description. */
const METADATA_MAX_BYTES = 1024;

/** The relay keys in Workers KV: replicated everywhere, and up to a minute behind the last write. */
export class KvKeyStore implements KeyStore {
  readonly kind = "kv";
  readonly #kv: KVNamespace;

  constructor(kv: KVNamespace) {
    this.#kv = kv;
  }

  async findByHash(hash: string): Promise<KeyRecord | null> {
    const stored = await guarded(() => this.#kv.get<unknown>(RECORD_PREFIX + hash, "json"));
    if (stored === null) return null;
    const record = parseKeyRecord(stored);
    if (record === null) throw new KeyStoreUnavailable("a stored key record cannot be read");
    return record;
  }

  async findById(id: string): Promise<StoredKey | null> {
    const hash = await guarded(() => this.#kv.get(ID_PREFIX + id));
    if (hash === null) return null;
    const record = await this.findByHash(hash);
    return record === null ? null : { hash, record };
  }

  async put({ hash, record }: StoredKey): Promise<void> {
    // Listed before it works: should the second write fail, the operator sees the key and can delete it.
    await guarded(() => this.#kv.put(ID_PREFIX + record.id, hash, { metadata: listed(record) }));
    await guarded(() => this.#kv.put(RECORD_PREFIX + hash, JSON.stringify(record)));
  }

  async remove({ hash, record }: StoredKey): Promise<void> {
    await guarded(() => this.#kv.delete(RECORD_PREFIX + hash));
    await guarded(() => this.#kv.delete(ID_PREFIX + record.id));
  }

  async list({ cursor, limit }: { cursor: string | null; limit: number }): Promise<KeyPage> {
    const page = await guarded(() =>
      this.#kv.list<unknown>({ prefix: ID_PREFIX, limit, ...(cursor === null ? {} : { cursor }) }),
    );
    const keys: KeyRecord[] = [];
    for (const entry of page.keys) {
      const record = parseKeyRecord(entry.metadata);
      if (record !== null) keys.push(record);
    }
    return { keys, cursor: page.list_complete ? null : page.cursor };
  }
}

function listed(record: KeyRecord): KeyRecord {
  const bytes = new TextEncoder().encode(JSON.stringify(record)).byteLength;
  return bytes <= METADATA_MAX_BYTES ? record : { ...record, description: "" };
}

async function guarded<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (cause) {
    throw new KeyStoreUnavailable("Workers KV did not answer", { cause });
  }
}
