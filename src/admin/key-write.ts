import { callObject } from "../durable-call.ts";
import { type KeyRecord, policyOf } from "../keys/key-record.ts";
import type { StoredKey } from "../keys/key-store.ts";
import type { AdminContext } from "./envelope.ts";

/** A key as it now stands, and when it was first used. */
export interface FoundKey {
  stored: StoredKey;
  /** The meter knows of a change that the store does not show. */
  isAhead: boolean;
  activatedAtMs: number | null;
}

/** The store may be a minute behind what the meter was told. */
export async function latestOf(c: AdminContext, stored: StoredKey): Promise<FoundKey> {
  const latest = await callObject(
    () => c.get("services").meter(stored.record.id),
    (meter) => meter.latest(),
  );
  const told = latest?.stored ?? null;
  const isAhead = told !== null && told.record.version > stored.record.version;
  return {
    stored: isAhead ? told : stored,
    isAhead,
    activatedAtMs: latest?.activatedAtMs ?? null,
  };
}

/**
 * Writes a changed record: to the meter, which makes it hold from now on, then to the store.
 *
 * @returns the record, or null where someone else has changed the key meanwhile
 */
export async function writeChange(
  c: AdminContext,
  { hash, record }: StoredKey,
  patch: Partial<KeyRecord>,
): Promise<KeyRecord | null> {
  const { keyStore, keys } = c.get("services");
  const changed: KeyRecord = { ...record, ...patch, version: record.version + 1 };
  const next = { hash, record: changed };
  if (!(await configure(c, next))) return null;
  await keyStore.put(next, record);
  keys.forget(hash);
  return changed;
}

/** Writes a new key, to its meter and to the store. */
export async function writeNew(c: AdminContext, stored: StoredKey): Promise<void> {
  const { keyStore, keys } = c.get("services");
  await configure(c, stored);
  await keyStore.put(stored, null);
  keys.forget(stored.hash);
}

/** Tells a key's meter. @returns false where it knows something newer */
export function configure(c: AdminContext, stored: StoredKey): Promise<boolean> {
  return callObject(
    () => c.get("services").meter(stored.record.id),
    (meter) => meter.configure(policyOf(stored.record), stored),
  );
}
