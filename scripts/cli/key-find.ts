import type { KeyRecord } from "../../src/keys/key-record.ts";
import { KEY_PAGE_MAX, type KeyQuery, type StoredKey } from "../../src/keys/key-store.ts";
import { Failure } from "./failure.ts";
import type { OpenStore } from "./open-store.ts";
import { isWholeId, MIN_PREFIX_CHARS, pick } from "./reference.ts";
import { plain } from "./text-width.ts";

const ID_START = /^[0-9a-f-]+$/i;

/**
 * The key that a person means by a name, an id or the beginning of one.
 *
 * @param isDeleted of several keys with one name the deleted ones are meant, else the others
 */
export async function findStoredKey(
  open: OpenStore,
  given: string,
  isDeleted = false,
): Promise<StoredKey> {
  const id = isWholeId(given)
    ? given
    : pick("key", given, await candidates(open, given, isDeleted)).id;
  const stored = await open.store.findById(id);
  if (stored === null) throw new Failure(`There is no key with the id ${plain(id)}.`);
  return stored;
}

async function candidates(
  open: OpenStore,
  given: string,
  isDeleted: boolean,
): Promise<KeyRecord[]> {
  const named = await all(open, { namePrefix: given });
  const same = named.filter(({ name }) => name === given);
  const meant = same.filter(({ deletedAtMs }) => (deletedAtMs !== null) === isDeleted);
  if (same.length > 0) return meant.length > 0 ? meant : same;
  // The store has no index of beginnings of ids: every key is looked at.
  const mayBeId = given.length >= MIN_PREFIX_CHARS && ID_START.test(given);
  return mayBeId ? all(open, {}) : [];
}

async function all(
  { store }: OpenStore,
  query: Pick<KeyQuery, "namePrefix" | "tag">,
): Promise<KeyRecord[]> {
  const found: KeyRecord[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof store.list>> = await store.list({
      ...query,
      cursor,
      limit: KEY_PAGE_MAX,
    });
    found.push(...page.keys);
    cursor = page.cursor;
  } while (cursor !== null);
  return found;
}
