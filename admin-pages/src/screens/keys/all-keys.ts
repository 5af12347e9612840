import { computed, signal } from "@preact/signals";
import { ABANDONED, type Failure } from "../../api/client.ts";
import { listKeys, type RelayKey } from "../../api/keys.ts";

/** The first page is small, so that something stands there at once. */
const FIRST_PAGE = 100;
const PAGE = 500;
/** Of many pages one may meet a store that is slow just then: it is asked for again, after a pause. */
const TRIES = 3;
const PAUSE_MS = 1_000;

/**
 * All keys of the relay, page after page. Its list finds beginnings of names and whole tags, in the
 * order of its store; what a person searches and sorts by is done here, over all of them.
 */
const known = signal<ReadonlyMap<string, RelayKey> | null>(null);
export const keysFailure = signal<Failure | null>(null);
export const isLoadingKeys = signal(false);
export const allKeys = computed(() => (known.value === null ? null : [...known.value.values()]));

let current: AbortController | null = null;
/** What was changed, or is gone (null), since the reading began: pages that were read before do not show it. */
let changedMeanwhile = new Map<string, RelayKey | null>();

/** Reads all of them; what is shown meanwhile stays until the last page is there. */
export async function loadKeys(): Promise<void> {
  current?.abort();
  const own = new AbortController();
  current = own;
  isLoadingKeys.value = true;
  changedMeanwhile = new Map();
  const isFirst = known.value === null;
  const read = new Map<string, RelayKey>();
  let cursor: string | null = null;
  do {
    const page = await readPage(cursor, own.signal);
    if (current !== own) return;
    if (!page.ok) {
      isLoadingKeys.value = false;
      if (page.error.code !== ABANDONED) keysFailure.value = page.error;
      return;
    }
    for (const key of page.value.keys) read.set(key.id, key);
    if (isFirst) known.value = withChanges(read);
    cursor = page.value.cursor;
  } while (cursor !== null);
  keysFailure.value = null;
  isLoadingKeys.value = false;
  known.value = withChanges(read);
}

async function readPage(cursor: string | null, signal: AbortSignal) {
  const limit = cursor === null ? FIRST_PAGE : PAGE;
  for (let tries = 1; ; tries += 1) {
    const page = await listKeys(cursor, limit, signal);
    if (page.ok || page.error.code !== "unavailable" || tries === TRIES) return page;
    await new Promise((settle) => setTimeout(settle, PAUSE_MS));
  }
}

function withChanges(read: ReadonlyMap<string, RelayKey>): Map<string, RelayKey> {
  const all = new Map(read);
  for (const [id, key] of changedMeanwhile) {
    if (key === null) all.delete(id);
    else all.set(id, key);
  }
  return all;
}

/** No more is wanted: nobody looks any more. */
export function stopLoadingKeys(): void {
  current?.abort();
  current = null;
  isLoadingKeys.value = false;
}

/** Puts in place what an act has brought: the store's list may be a minute behind. */
export function keysChanged(...changed: RelayKey[]): void {
  for (const key of changed) changedMeanwhile.set(key.id, key);
  if (known.value === null) return;
  known.value = withChanges(known.value);
}

export function keyIsGone(id: string): void {
  changedMeanwhile.set(id, null);
  known.value = withChanges(known.value ?? new Map());
}
