import { generateKey, hashKey, keyHint } from "./key-format.ts";
import { UNLIMITED } from "./key-limits.ts";
import { type KeyRecord, markOf } from "./key-record.ts";
import type { StoredKey } from "./key-store.ts";

/** What a new key is given; everything else has its default: unlimited, enabled, for any account. */
export type KeyFields = Pick<KeyRecord, "name"> &
  Partial<
    Pick<
      KeyRecord,
      | "description"
      | "tags"
      | "enabled"
      | "expiresAtMs"
      | "activeForMs"
      | "models"
      | "boundTo"
      | "limits"
    >
  >;

/** Makes a key. The plain one exists in this answer only. */
export async function newKey(
  fields: KeyFields,
  nowMs: number,
): Promise<{ plainKey: string; stored: StoredKey }> {
  const plainKey = generateKey();
  const hash = await hashKey(plainKey);
  const record: KeyRecord = {
    schema: 1,
    id: crypto.randomUUID(),
    description: "",
    tags: [],
    enabled: true,
    expiresAtMs: null,
    activeForMs: null,
    models: { allowed: null, denied: [] },
    boundTo: null,
    limits: UNLIMITED,
    ...fields,
    hint: keyHint(plainKey),
    createdAtMs: nowMs,
    revokedAtMs: null,
    deletedAtMs: null,
    secret: { mark: markOf(hash), previous: null },
    version: 1,
  };
  return { plainKey, stored: { hash, record } };
}

/**
 * Gives a key a new secret. Id, history and limits stay.
 *
 * @param graceMs how long the old secret goes on working beside the new one; 0: not at all
 */
export async function rotateKey(
  { record }: StoredKey,
  graceMs: number,
  nowMs: number,
): Promise<{ plainKey: string; stored: StoredKey }> {
  const plainKey = generateKey();
  const hash = await hashKey(plainKey);
  const previous = graceMs > 0 ? { mark: record.secret.mark, validUntilMs: nowMs + graceMs } : null;
  const rotated: KeyRecord = {
    ...record,
    hint: keyHint(plainKey),
    secret: { mark: markOf(hash), previous },
    version: record.version + 1,
  };
  return { plainKey, stored: { hash, record: rotated } };
}
