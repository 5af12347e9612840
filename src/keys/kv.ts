import type { KVNamespace } from "@cloudflare/workers-types";
import {
  folded,
  idOfMember,
  inBatches,
  indexText,
  isAskedFor,
  member,
  parseStoredKey,
  readable,
} from "./key-index.ts";
import { type KeyRecord, parseKeyRecord } from "./key-record.ts";
import {
  type KeyPage,
  type KeyQuery,
  type KeyStore,
  KeyStoreUnavailable,
  type StoredKey,
} from "./key-store.ts";

/**
 * Layout (docs/storage-schema.md):
 * - `key:<hash>` holds the record as JSON: the one read of the hot path;
 * - `id:<id>` holds hash and record, and the record again as metadata where it fits, so that a page
 *   of the list is one operation;
 * - `changed` holds a mark that every change past the relay replaces;
 * - `name:<text>.<id>` and `tag:<text>.<id>` are there to be listed by prefix; see {@link indexText}.
 */
const RECORD_PREFIX = "key:";
const ID_PREFIX = "id:";
const NAME_PREFIX = "name:";
const TAG_PREFIX = "tag:";
const CHANGE_MARK = "changed";
/** Workers KV refuses longer metadata. */
const METADATA_MAX_BYTES = 1024;
/** So many keys can be read in one operation. */
const BULK_MAX_KEYS = 100;
/** Workers KV refuses a shorter life. */
const MIN_TTL_SECONDS = 60;
/**
 * How long to wait before a write is tried again, and then once more. One name takes one write a
 * second (429 otherwise), so together they outlast a second.
 */
const WRITE_PAUSES_MS = [300, 1_000];
/** The share of a pause that chance decides: writes that failed together do not come back together. */
const PAUSE_JITTER = 0.5;

const encoder = new TextEncoder();

/** The relay keys in Workers KV: replicated everywhere, and up to a minute behind the last write. */
export class KvKeyStore implements KeyStore {
  readonly kind = "kv";
  readonly #kv: KVNamespace;
  readonly #writePausesMs: readonly number[];

  /** @param writePausesMs before each repetition of a write that failed; none: it is not repeated */
  constructor(kv: KVNamespace, writePausesMs: readonly number[] = WRITE_PAUSES_MS) {
    this.#kv = kv;
    this.#writePausesMs = writePausesMs;
  }

  async findByHash(hash: string): Promise<KeyRecord | null> {
    const value = await guarded(() => this.#kv.get<unknown>(RECORD_PREFIX + hash, "json"));
    return value === null ? null : readable(parseKeyRecord(value));
  }

  async findById(id: string): Promise<StoredKey | null> {
    const value = await guarded(() => this.#kv.get<unknown>(ID_PREFIX + id, "json"));
    return value === null ? null : readable(parseStoredKey(value));
  }

  async findByIds(ids: readonly string[]): Promise<StoredKey[]> {
    const batches = inBatches(ids, BULK_MAX_KEYS).map((batch) =>
      guarded(() =>
        this.#kv.get<unknown>(
          batch.map((id) => ID_PREFIX + id),
          "json",
        ),
      ),
    );
    const values = new Map((await Promise.all(batches)).flatMap((batch) => [...batch]));
    return ids.flatMap((id) => {
      const value = values.get(ID_PREFIX + id) ?? null;
      return value === null ? [] : [readable(parseStoredKey(value))];
    });
  }

  /**
   * Found before listed, listed before it works, and forgotten where it is found no more only at
   * the end: whatever fails in between, no key works that is not listed, and the next try mends it.
   */
  async put({ hash, record }: StoredKey, before: KeyRecord | null): Promise<void> {
    const has = indexEntries(record);
    const told = before === null ? [] : indexEntries(before);
    // A write that failed half-way may have left less behind than the caller thinks.
    const listed = before === null ? null : await this.findById(record.id);
    const found = listed === null ? [] : indexEntries(listed.record);
    await this.#write(has.filter((entry) => !(told.includes(entry) && found.includes(entry))));
    const json = JSON.stringify(record);
    const fits = encoder.encode(json).byteLength <= METADATA_MAX_BYTES;
    await this.#written(() =>
      this.#kv.put(
        ID_PREFIX + record.id,
        JSON.stringify({ hash, record }),
        fits ? { metadata: record } : {},
      ),
    );
    await this.#written(() => this.#kv.put(RECORD_PREFIX + hash, json));
    const had = new Set([...told, ...found]);
    await this.#delete([...had].filter((entry) => !has.includes(entry)));
  }

  /** Workers KV keeps it for at least a minute: the key's meter knows the exact time. */
  async retire(hash: string, record: KeyRecord, untilMs: number): Promise<void> {
    const seconds = Math.ceil((untilMs - Date.now()) / 1000);
    const expirationTtl = Math.max(seconds, MIN_TTL_SECONDS);
    await this.#written(() =>
      this.#kv.put(RECORD_PREFIX + hash, JSON.stringify(record), { expirationTtl }),
    );
  }

  async dropHash(hash: string): Promise<void> {
    await this.#delete([RECORD_PREFIX + hash]);
  }

  /** Listed until the end: what no longer works can be seen, and removed again if that failed. */
  async remove({ hash, record }: StoredKey): Promise<void> {
    const listed = await this.findById(record.id);
    const hashes = new Set([hash, listed?.hash ?? hash]);
    const entries = [record, listed?.record ?? record].flatMap(indexEntries);
    await this.#delete([...hashes].map((each) => RECORD_PREFIX + each));
    await this.#delete([...new Set(entries)]);
    await this.#delete([ID_PREFIX + record.id]);
  }

  changeMark(): Promise<string | null> {
    return guarded(() => this.#kv.get(CHANGE_MARK, "text"));
  }

  async noteChange(): Promise<void> {
    await this.#written(() => this.#kv.put(CHANGE_MARK, crypto.randomUUID()));
  }

  async list(query: KeyQuery): Promise<KeyPage> {
    const { cursor, limit } = query;
    const prefix = listPrefix(query);
    const page = await guarded(() =>
      this.#kv.list<unknown>({ prefix, limit, ...(cursor === null ? {} : { cursor }) }),
    );
    const listed = new Map<string, KeyRecord | null>();
    for (const { name, metadata } of page.keys) {
      const id = prefix === ID_PREFIX ? name.slice(ID_PREFIX.length) : idOfMember(name);
      listed.set(id, parseKeyRecord(metadata));
    }
    const missing = [...listed].flatMap(([id, record]) => (record === null ? [id] : []));
    for (const { record } of await this.findByIds(missing)) listed.set(record.id, record);
    const keys = [...listed.values()].filter((record) => record !== null);
    return {
      keys: keys.filter((record) => isAskedFor(record, query)),
      cursor: page.list_complete ? null : page.cursor,
    };
  }

  async #write(entries: string[]): Promise<void> {
    await Promise.all(entries.map((name) => this.#written(() => this.#kv.put(name, ""))));
  }

  async #delete(names: string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#written(() => this.#kv.delete(name))));
  }

  /** Every write here says what is to stand under a name, so it may be repeated. */
  async #written(write: () => Promise<void>): Promise<void> {
    for (const pauseMs of this.#writePausesMs) {
      try {
        return await write();
      } catch {
        await pause(pauseMs * (1 + PAUSE_JITTER * Math.random()));
      }
    }
    return guarded(write);
  }
}

/** The names under which a record is found by name and by tag. */
function indexEntries({ id, name, tags }: KeyRecord): string[] {
  return [
    NAME_PREFIX + member(indexText(folded(name)), id),
    ...new Set(tags.map((tag) => TAG_PREFIX + member(indexText(tag), id))),
  ];
}

function listPrefix({ namePrefix, tag }: KeyQuery): string {
  if (tag !== undefined) return TAG_PREFIX + member(indexText(tag), "");
  if (namePrefix !== undefined) return NAME_PREFIX + indexText(folded(namePrefix));
  return ID_PREFIX;
}

async function guarded<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (cause) {
    throw new KeyStoreUnavailable("Workers KV did not answer", { cause });
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((settle) => setTimeout(settle, ms));
}
