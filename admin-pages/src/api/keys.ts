import { type Answer, call } from "./client.ts";
import type { KeyInUse, KeyUsage } from "./usage.ts";

export type KeyStatus = "active" | "disabled" | "expired" | "revoked" | "deleted";

export const FAMILIES = ["fable", "mythos", "opus", "sonnet", "haiku", "other"] as const;
export type Family = (typeof FAMILIES)[number];

/** What a key may use. Costs in US dollars; null: unlimited. */
export interface KeyLimits {
  concurrency: number | null;
  window: {
    minutes: number;
    requests: number | null;
    tokens: number | null;
    cost: number | null;
  } | null;
  dailyCost: number | null;
  weeklyCost: number | null;
  monthlyCost: number | null;
  totalCost: number | null;
  weeklyFamilyCost: { family: Family; cost: number } | null;
}

export interface KeySettings {
  description: string;
  tags: string[];
  enabled: boolean;
  expiresAt: string | null;
  activeForHours: number | null;
  allowedModels: string[] | null;
  deniedModels: string[];
  accountId: string | null;
  accountTag: string | null;
  limits: KeyLimits;
}

export interface RelayKey extends KeySettings {
  id: string;
  name: string;
  /** The plain key's end, to tell it by. */
  hint: string;
  status: KeyStatus;
  createdAt: string;
  activatedAt: string | null;
  revokedAt: string | null;
  deletedAt: string | null;
}

/** A key right after it was made: the only answers that hold its plain text. */
export type NewKey = RelayKey & { apiKey: string };
export type KeyWithUsage = RelayKey & { usage: KeyUsage; inUse: KeyInUse };

const of = (id: string) => `/api-keys/${encodeURIComponent(id)}`;

export function listKeys(
  cursor: string | null,
  limit: number,
  signal?: AbortSignal,
): Promise<Answer<{ keys: RelayKey[]; cursor: string | null }>> {
  return call("GET", "/api-keys", {
    query: { cursor, limit },
    ...(signal === undefined ? {} : { signal }),
  });
}

export function readKey(id: string, signal: AbortSignal): Promise<Answer<KeyWithUsage>> {
  return call("GET", of(id), { signal });
}

export function createKey(body: { name: string } & Partial<KeySettings>): Promise<Answer<NewKey>> {
  return call("POST", "/api-keys", { body });
}

export function createKeys(
  body: {
    namePrefix: string;
    count: number;
    from: number;
    digits: number;
  } & Partial<KeySettings>,
): Promise<Answer<{ keys: NewKey[]; missing: string[] }>> {
  return call("POST", "/api-keys/batch", { body });
}

export function updateKey(
  id: string,
  body: { name?: string } & Partial<KeySettings>,
): Promise<Answer<RelayKey>> {
  return call("PUT", of(id), { body });
}

export function rotateKey(id: string, graceHours: number): Promise<Answer<NewKey>> {
  return call("POST", `${of(id)}/rotate`, { body: { graceHours } });
}

export function revokeKey(id: string): Promise<Answer<RelayKey>> {
  return call("POST", `${of(id)}/revoke`);
}

export function deleteKey(id: string): Promise<Answer<RelayKey>> {
  return call("DELETE", of(id));
}

/** Nothing brings it back. */
export function deleteKeyForGood(id: string): Promise<Answer<{ id: string }>> {
  return call("DELETE", of(id), { query: { permanent: "true" } });
}

export function restoreKey(id: string): Promise<Answer<RelayKey>> {
  return call("POST", `${of(id)}/restore`);
}

/** One of a key's newest requests, as its meter holds it: there from its first moment on. */
export interface MeteredRequest {
  id: string;
  startedAt: string;
  /** `open` while it runs. */
  state: "open" | "settled" | "unsettled";
  outcome: string | null;
  model: string;
  answeredModel: string | null;
  status: number | null;
  durationMs: number | null;
}

export function readKeyRequests(
  id: string,
  limit: number,
  signal: AbortSignal,
): Promise<Answer<{ requests: MeteredRequest[] }>> {
  return call("GET", `${of(id)}/requests`, { query: { limit }, signal });
}
