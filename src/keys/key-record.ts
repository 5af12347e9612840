import * as v from "valibot";

export const KEY_NAME_MAX_CHARS = 100;
export const KEY_DESCRIPTION_MAX_CHARS = 1000;

/**
 * What is stored of a relay key, in the key store under the key's hash. Times are unix
 * milliseconds. `version` grows by one with every change: whoever holds two copies knows which is
 * newer, although Workers KV may serve an old one for a minute.
 */
export interface KeyRecord {
  schema: 1;
  id: string;
  name: string;
  description: string;
  /** First and last characters, to recognise a key by. */
  hint: string;
  enabled: boolean;
  createdAtMs: number;
  expiresAtMs: number | null;
  /** Set once, for good: a revoked key never works again. */
  revokedAtMs: number | null;
  version: number;
}

/** The part of a record that decides whether a request may pass; the key's meter keeps its own copy. */
export interface KeyPolicy {
  enabled: boolean;
  expiresAtMs: number | null;
  revokedAtMs: number | null;
  /** The key was deleted: it is refused as unknown. */
  deleted: boolean;
  version: number;
}

const timeSchema = v.pipe(v.number(), v.integer(), v.minValue(0));

const recordSchema = v.object({
  schema: v.literal(1),
  id: v.string(),
  name: v.string(),
  description: v.string(),
  hint: v.string(),
  enabled: v.boolean(),
  createdAtMs: timeSchema,
  expiresAtMs: v.nullable(timeSchema),
  revokedAtMs: v.nullable(timeSchema),
  version: v.pipe(v.number(), v.integer(), v.minValue(1)),
});

/**
 * Reads a stored record.
 *
 * @returns null where the stored value is no record of this schema; the caller treats that as an
 *   unavailable store, never as an unknown key.
 */
export function parseKeyRecord(value: unknown): KeyRecord | null {
  const parsed = v.safeParse(recordSchema, value);
  return parsed.success ? parsed.output : null;
}

export function policyOf(record: KeyRecord): KeyPolicy {
  return {
    enabled: record.enabled,
    expiresAtMs: record.expiresAtMs,
    revokedAtMs: record.revokedAtMs,
    deleted: false,
    version: record.version,
  };
}

/** Why a policy refuses a request now, or null where it does not. */
export type PolicyRefusal =
  | { kind: "key_unknown" }
  | { kind: "key_revoked" }
  | { kind: "key_disabled" }
  | { kind: "key_expired"; expiredAtMs: number };

export function refusalOf(policy: KeyPolicy, nowMs: number): PolicyRefusal | null {
  if (policy.deleted) return { kind: "key_unknown" };
  if (policy.revokedAtMs !== null) return { kind: "key_revoked" };
  if (!policy.enabled) return { kind: "key_disabled" };
  if (policy.expiresAtMs !== null && policy.expiresAtMs <= nowMs) {
    return { kind: "key_expired", expiredAtMs: policy.expiresAtMs };
  }
  return null;
}
