import { type KeyPlan, REFUSED } from "../../src/admin/key-plan.ts";
import type { KeyRecord } from "../../src/keys/key-record.ts";
import type { StoredKey } from "../../src/keys/key-store.ts";
import { rotateKey } from "../../src/keys/new-key.ts";
import { PROGRAM } from "./command-context.ts";
import { Failure } from "./failure.ts";
import type { OpenStore } from "./open-store.ts";
import { plain } from "./text-width.ts";

/** The rules of the admin API, in its words: what may be done to a key in which state. */

export function refuseDeleted({ id, name, deletedAtMs }: KeyRecord): void {
  if (deletedAtMs === null) return;
  throw new Failure(
    `Key "${plain(name)}" is deleted. Restore it first: ${PROGRAM} keys restore ${id}`,
  );
}

export function refuseRevoked({ revokedAtMs }: KeyRecord): void {
  if (revokedAtMs === null) return;
  throw new Failure(REFUSED.revoked);
}

/** What a plan changes; null where the key is already as it wants it. @throws Failure */
export function patchOf(plan: KeyPlan, record: KeyRecord): Partial<KeyRecord> | null {
  if (plan.kind === "same") return null;
  if (plan.kind === "change") return plan.patch;
  refuseDeleted(record);
  throw new Failure(`Key "${plain(record.name)}": ${REFUSED[plan.reason]}`);
}

/** Writes a changed record, one version on. @returns it */
export async function changeKey(
  { store }: OpenStore,
  { hash, record }: StoredKey,
  patch: Partial<KeyRecord>,
): Promise<KeyRecord> {
  const changed: KeyRecord = { ...record, ...patch, version: record.version + 1 };
  await store.put({ hash, record: changed }, record);
  return changed;
}

/** Gives a key a new secret; the old one works on for `graceMs`, or not at all. */
export async function replaceSecret(
  { store }: OpenStore,
  old: StoredKey,
  graceMs: number,
): Promise<{ plainKey: string; record: KeyRecord }> {
  const { plainKey, stored } = await rotateKey(old, graceMs, Date.now());
  await store.put(stored, old.record);
  const { previous } = stored.record.secret;
  if (previous === null) await store.dropHash(old.hash);
  else await store.retire(old.hash, stored.record, previous.validUntilMs);
  return { plainKey, record: stored.record };
}

/**
 * Writes a copy of a key as it is, over what the store has under its id.
 *
 * @returns false where the store has the same version or a newer one, which stays
 */
export async function copyKey({ store }: OpenStore, copy: StoredKey): Promise<boolean> {
  const existing = await store.findById(copy.record.id);
  if (existing !== null && existing.record.version >= copy.record.version) return false;
  await store.put(copy, existing?.record ?? null);
  if (existing !== null && existing.hash !== copy.hash) await store.dropHash(existing.hash);
  return true;
}
