import { Redis } from "@upstash/redis/cloudflare";
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
 * Layout (docs/storage-schema.md), below a prefix so that the Redis may be shared:
 * - `relay:key:<hash>` holds the record as JSON: the one read of the hot path;
 * - `relay:id:<id>` holds hash and record;
 * - `relay:changed` holds a mark that every change past the relay replaces;
 * - `relay:ids`, `relay:names` and `relay:tag:<tag>` are sorted sets, all scores 0, that are read in
 *   the order of their members: ids, or `<text>.<id>` in `relay:names`; see `indexText`.
 */
const PREFIX = "relay:";
const IDS = `${PREFIX}ids`;
const NAMES = `${PREFIX}names`;
const CHANGE_MARK = `${PREFIX}changed`;
/** A request waits for this store: longer than Upstash needs from anywhere, with one retry. */
const ANSWER_MAX_MS = 2_000;
const RETRIES = 1;
const RETRY_DELAY_MS = 50;
/** A record can be several kilobytes long, and Upstash limits the size of an answer. */
const READ_BATCH = 100;
const REASON_MAX_CHARS = 200;

/** The relay keys in Upstash Redis, over its REST API. */
export class UpstashKeyStore implements KeyStore {
  readonly kind = "upstash";
  readonly #redis: Redis;

  constructor({ url, token }: { url: string; token: string }) {
    this.#redis = new Redis({
      url,
      token,
      // For both tries together. A signal that is no function would make an abort look like a value.
      signal: () => AbortSignal.timeout(ANSWER_MAX_MS),
      retry: { retries: RETRIES, backoff: () => RETRY_DELAY_MS },
      // Values stay the text that they are; the client would guess numbers and objects.
      automaticDeserialization: false,
      enableAutoPipelining: false,
      enableTelemetry: false,
    });
  }

  findByHash(hash: string): Promise<KeyRecord | null> {
    return asked(async () => {
      const json = await this.#redis.get<string>(keyName(hash));
      return json === null ? null : readable(parseKeyRecord(JSON.parse(json)));
    });
  }

  findById(id: string): Promise<StoredKey | null> {
    return asked(async () => {
      const json = await this.#redis.get<string>(idName(id));
      return json === null ? null : readable(parseStoredKey(JSON.parse(json)));
    });
  }

  findByIds(ids: readonly string[]): Promise<StoredKey[]> {
    return asked(async () => {
      const batches = inBatches(ids, READ_BATCH).map((batch) =>
        this.#redis.mget<(string | null)[]>(batch.map(idName)),
      );
      return (await Promise.all(batches))
        .flat()
        .flatMap((json) => (json === null ? [] : [readable(parseStoredKey(JSON.parse(json)))]));
    });
  }

  /** All of it or nothing. Entries of an index that are there already stay as they are. */
  put({ hash, record }: StoredKey, before: KeyRecord | null): Promise<void> {
    return asked(async () => {
      const has = indexEntries(record);
      const write = this.#redis.multi();
      write.set(keyName(hash), JSON.stringify(record));
      write.set(idName(record.id), JSON.stringify({ hash, record }));
      for (const { set, entry } of has) write.zadd(set, { score: 0, member: entry });
      for (const { set, entry } of before === null ? [] : indexEntries(before)) {
        if (!has.some((kept) => kept.set === set && kept.entry === entry)) write.zrem(set, entry);
      }
      await write.exec();
    });
  }

  retire(hash: string, record: KeyRecord, untilMs: number): Promise<void> {
    if (untilMs <= Date.now()) return this.dropHash(hash);
    return asked(async () => {
      await this.#redis.set(keyName(hash), JSON.stringify(record), { pxat: untilMs });
    });
  }

  dropHash(hash: string): Promise<void> {
    return asked(async () => {
      await this.#redis.del(keyName(hash));
    });
  }

  remove({ hash, record }: StoredKey): Promise<void> {
    return asked(async () => {
      // A change that failed may have left another hash or other entries than the caller knows.
      const listed = await this.findById(record.id);
      const write = this.#redis.multi();
      write.del(keyName(hash), keyName(listed?.hash ?? hash), idName(record.id));
      for (const { set, entry } of [record, listed?.record ?? record].flatMap(indexEntries)) {
        write.zrem(set, entry);
      }
      await write.exec();
    });
  }

  changeMark(): Promise<string | null> {
    return asked(() => this.#redis.get<string>(CHANGE_MARK));
  }

  noteChange(): Promise<void> {
    return asked(async () => {
      await this.#redis.set(CHANGE_MARK, crypto.randomUUID());
    });
  }

  list(query: KeyQuery): Promise<KeyPage> {
    return asked(async () => {
      const { cursor, limit } = query;
      const { set, from, to } = rangeOf(query);
      const entries = await this.#redis.zrange<string[]>(
        set,
        cursor === null ? from : `(${cursor}`,
        to,
        // One more than asked for tells whether there is a next page.
        { byLex: true, offset: 0, count: limit + 1 },
      );
      const shown = entries.slice(0, limit);
      const found = await this.findByIds(set === NAMES ? shown.map(idOfMember) : shown);
      return {
        keys: found.flatMap(({ record }) => (isAskedFor(record, query) ? [record] : [])),
        cursor: entries.length > limit ? (shown.at(-1) ?? null) : null,
      };
    });
  }
}

function keyName(hash: string): string {
  return `${PREFIX}key:${hash}`;
}

function idName(id: string): string {
  return `${PREFIX}id:${id}`;
}

function tagName(tag: string): string {
  return `${PREFIX}tag:${tag}`;
}

function indexEntries({ id, name, tags }: KeyRecord): { set: string; entry: string }[] {
  return [
    { set: IDS, entry: id },
    { set: NAMES, entry: member(indexText(folded(name)), id) },
    ...tags.map((tag) => ({ set: tagName(tag), entry: id })),
  ];
}

interface LexRange {
  set: string;
  from: `[${string}` | "-";
  to: `(${string}` | "+";
}

function rangeOf({ namePrefix, tag }: KeyQuery): LexRange {
  if (tag !== undefined) return { set: tagName(tag), from: "-", to: "+" };
  if (namePrefix === undefined) return { set: IDS, from: "-", to: "+" };
  const text = indexText(folded(namePrefix));
  // "g" sorts after every hex digit.
  return { set: NAMES, from: `[${text}`, to: `(${text}g` };
}

async function asked<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (error instanceof KeyStoreUnavailable) throw error;
    throw new KeyStoreUnavailable(`Upstash Redis did not answer: ${reasonOf(error)}`);
  }
}

/** The client's messages end in the whole command: records belong in no log. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  const [reason = ""] = error.message.split(", command was:");
  return `${error.name}: ${reason.slice(0, REASON_MAX_CHARS)}`;
}
