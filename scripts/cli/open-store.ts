import { inBatches } from "../../src/keys/key-index.ts";
import type { KeyStore } from "../../src/keys/key-store.ts";
import { KeyStoreUnavailable, type StoredKey } from "../../src/keys/key-store.ts";
import { KvKeyStore } from "../../src/keys/kv.ts";
import { UpstashKeyStore } from "../../src/keys/upstash.ts";
import { Failure } from "./failure.ts";
import { type KeyStorePlace, placeText } from "./key-store-place.ts";
import { openLocalKv } from "./local-kv.ts";
import { plain } from "./text-width.ts";
import { asKv, WranglerKv, type WranglerTarget } from "./wrangler-kv.ts";

/** So many keys are written at once to a store that answers each write by itself. */
const AT_ONCE = 16;
/** So many go into one call of wrangler; Cloudflare reads no more than 100 values at once. */
const REMOTE_AT_ONCE = 100;
const LIST_PAGE = 1_000;
/** Both stores read a hundred keys in one operation. */
const READ_AT_ONCE = 100;

/** A store of relay keys, opened by this process. */
export interface OpenStore {
  place: KeyStorePlace;
  store: KeyStore;
  /** Keys that are worked on together. */
  atOnce: number;
  /** Reads ahead what will be asked for, where each read alone is slow. */
  prepare(wanted: { ids?: readonly string[]; hashes?: readonly string[] }): Promise<void>;
  /** Writes out what was put: before it, nothing may have reached a remote store. */
  commit(): Promise<void>;
  close(): Promise<void>;
}

export async function openStore(
  place: KeyStorePlace,
  target: WranglerTarget = {},
): Promise<OpenStore> {
  const nothing = async () => {};
  switch (place.kind) {
    case "local": {
      const { kv, close } = await openLocalKv(place);
      // What is busy here is waited for already, each operation by itself.
      const store = new KvKeyStore(kv, []);
      return { place, store, atOnce: AT_ONCE, prepare: nothing, commit: nothing, close };
    }
    case "upstash": {
      const store = new UpstashKeyStore(place);
      return { place, store, atOnce: AT_ONCE, prepare: nothing, commit: nothing, close: nothing };
    }
    case "remote": {
      const kv = new WranglerKv(target);
      return {
        place,
        store: new KvKeyStore(asKv(kv)),
        atOnce: REMOTE_AT_ONCE,
        prepare: ({ ids = [], hashes = [] }) =>
          kv.readAhead([...ids.map((id) => `id:${id}`), ...hashes.map((hash) => `key:${hash}`)]),
        commit: () => kv.flush(),
        close: nothing,
      };
    }
  }
}

/** Opens a store, works with it, and closes it. An outage is told in words, with exit code 1. */
export async function withStore<T>(
  place: KeyStorePlace,
  work: (open: OpenStore) => Promise<T>,
): Promise<T> {
  const open = await openStore(place);
  try {
    return await work(open);
  } catch (error) {
    if (!(error instanceof KeyStoreUnavailable)) throw error;
    const cause = error.cause instanceof Error ? error.cause : error;
    if (cause instanceof Failure) throw cause;
    throw new Failure(`${placeText(place)} cannot be used: ${plain(cause.message)}`);
  } finally {
    await open.close();
  }
}

/** Every key's id, in pages. */
export async function* keyIds(open: OpenStore, query: { tag?: string } = {}) {
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<KeyStore["list"]>> = await open.store.list({
      ...query,
      cursor,
      limit: LIST_PAGE,
    });
    yield page.keys.map(({ id }) => id);
    cursor = page.cursor;
  } while (cursor !== null);
}

/** Those of the keys that are still there, read together. */
export async function storedKeys(open: OpenStore, ids: readonly string[]): Promise<StoredKey[]> {
  const found: StoredKey[] = [];
  for (const chunk of inBatches(ids, READ_AT_ONCE)) {
    found.push(...(await open.store.findByIds(chunk)));
  }
  return found;
}

/**
 * Writes many keys, chunk by chunk. What a chunk could write is reported before the first error of
 * it ends the work.
 */
export async function writeEach<Item, Result>(
  open: OpenStore,
  items: readonly Item[],
  write: (item: Item) => Promise<Result>,
  onWritten: (results: Result[]) => void,
): Promise<void> {
  for (const chunk of inBatches(items, open.atOnce)) {
    const outcomes = await Promise.allSettled(chunk.map(write));
    await open.commit();
    onWritten(outcomes.flatMap((done) => (done.status === "fulfilled" ? [done.value] : [])));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
}
