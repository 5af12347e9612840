import * as v from "valibot";
import { canonicalModel } from "../upstream/model-names.ts";
import { type KeyLimits, WINDOW_MAX_MINUTES } from "./key-limits.ts";

export const KEY_NAME_MAX_CHARS = 100;
export const KEY_DESCRIPTION_MAX_CHARS = 1000;
export const TAG_MAX_CHARS = 40;
export const MAX_TAGS = 10;
export const MAX_MODEL_PATTERNS = 50;

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
  tags: string[];
  enabled: boolean;
  createdAtMs: number;
  expiresAtMs: number | null;
  /** Valid for this long from the first request on; null: no such end. */
  activeForMs: number | null;
  /** Set once, for good: a revoked key never works again. */
  revokedAtMs: number | null;
  /** Deleted, and can be restored. */
  deletedAtMs: number | null;
  models: ModelRules;
  /** The only account, or the only accounts, that serve this key; null: any. */
  boundTo: { kind: "account" | "tag"; value: string } | null;
  limits: KeyLimits;
  /** Marks of the secret in use, and of the one before it while its grace lasts. */
  secret: KeySecret;
  version: number;
}

/** Which models a key may use. Patterns are model names, or prefixes that end in `*`. */
export interface ModelRules {
  /** Null: every model that is not denied. */
  allowed: string[] | null;
  denied: string[];
}

/** A mark is the beginning of a secret's hash: it tells two secrets apart and is useless otherwise. */
export interface KeySecret {
  mark: string;
  previous: { mark: string; validUntilMs: number } | null;
}

const MARK_CHARS = 16;

export function markOf(hash: string): string {
  return hash.slice(0, MARK_CHARS);
}

/** The part of a record that decides whether a request may pass; the key's meter keeps its own copy. */
export type KeyPolicy = Pick<
  KeyRecord,
  | "enabled"
  | "expiresAtMs"
  | "activeForMs"
  | "revokedAtMs"
  | "deletedAtMs"
  | "models"
  | "limits"
  | "secret"
  | "version"
>;

const timeSchema = v.pipe(v.number(), v.integer(), v.minValue(0));
const amountSchema = v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0)));
const textsSchema = v.array(v.string());

const recordSchema = v.object({
  schema: v.literal(1),
  id: v.string(),
  name: v.string(),
  description: v.string(),
  hint: v.string(),
  tags: textsSchema,
  enabled: v.boolean(),
  createdAtMs: timeSchema,
  expiresAtMs: v.nullable(timeSchema),
  activeForMs: v.nullable(timeSchema),
  revokedAtMs: v.nullable(timeSchema),
  deletedAtMs: v.nullable(timeSchema),
  models: v.object({ allowed: v.nullable(textsSchema), denied: textsSchema }),
  boundTo: v.nullable(v.object({ kind: v.picklist(["account", "tag"]), value: v.string() })),
  limits: v.object({
    concurrency: amountSchema,
    window: v.nullable(
      v.object({
        minutes: v.pipe(v.number(), v.minValue(1), v.maxValue(WINDOW_MAX_MINUTES)),
        requests: amountSchema,
        tokens: amountSchema,
        cost: amountSchema,
      }),
    ),
    costPerDay: amountSchema,
    costPerWeek: amountSchema,
    costPerMonth: amountSchema,
    costTotal: amountSchema,
    familyCostPerWeek: v.nullable(
      v.object({
        family: v.picklist(["fable", "mythos", "opus", "sonnet", "haiku", "other"]),
        cost: v.pipe(v.number(), v.integer(), v.minValue(0)),
      }),
    ),
  }),
  secret: v.object({
    mark: v.string(),
    previous: v.nullable(v.object({ mark: v.string(), validUntilMs: timeSchema })),
  }),
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
  const { enabled, expiresAtMs, activeForMs, revokedAtMs, deletedAtMs } = record;
  const { models, limits, secret, version } = record;
  return {
    enabled,
    expiresAtMs,
    activeForMs,
    revokedAtMs,
    deletedAtMs,
    models,
    limits,
    secret,
    version,
  };
}

/** Why a policy refuses a request now, before any limit is looked at. */
export type PolicyRefusal =
  | { kind: "key_unknown" }
  | { kind: "key_replaced" }
  | { kind: "key_revoked" }
  | { kind: "key_disabled" }
  | { kind: "key_expired"; expiredAtMs: number }
  | { kind: "model_not_allowed"; model: string };

/**
 * @param use which secret was shown, for which model (null where none is asked for), and when the
 *   key was first used (null: not yet)
 */
export function refusalOf(
  policy: KeyPolicy,
  use: { mark: string | null; model: string | null; activatedAtMs: number | null },
  nowMs: number,
): PolicyRefusal | null {
  if (policy.deletedAtMs !== null) return { kind: "key_unknown" };
  if (use.mark !== null && !isCurrent(policy.secret, use.mark, nowMs)) {
    return { kind: "key_replaced" };
  }
  if (policy.revokedAtMs !== null) return { kind: "key_revoked" };
  if (!policy.enabled) return { kind: "key_disabled" };
  const endsAtMs = endOf(policy, use.activatedAtMs);
  if (endsAtMs !== null && endsAtMs <= nowMs) return { kind: "key_expired", expiredAtMs: endsAtMs };
  if (use.model !== null && !mayUse(policy.models, use.model)) {
    return { kind: "model_not_allowed", model: use.model };
  }
  return null;
}

/** When a key ends: at its date, or so long after its first use; the earlier of the two. */
export function endOf(
  { expiresAtMs, activeForMs }: Pick<KeyPolicy, "expiresAtMs" | "activeForMs">,
  activatedAtMs: number | null,
): number | null {
  const spentAtMs =
    activeForMs === null || activatedAtMs === null ? null : activatedAtMs + activeForMs;
  if (expiresAtMs === null || spentAtMs === null) return expiresAtMs ?? spentAtMs;
  return Math.min(expiresAtMs, spentAtMs);
}

/** Whether a key may use a model: by the name that was asked for, and by its canonical form. */
export function mayUse({ allowed, denied }: ModelRules, model: string): boolean {
  if (allowed === null && denied.length === 0) return true;
  const names = [model, canonicalModel(model)];
  const matches = (pattern: string) =>
    names.some((name) =>
      pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
    );
  return !denied.some(matches) && (allowed === null || allowed.some(matches));
}

function isCurrent({ mark, previous }: KeySecret, shown: string, nowMs: number): boolean {
  if (shown === mark) return true;
  return previous !== null && shown === previous.mark && nowMs < previous.validUntilMs;
}
