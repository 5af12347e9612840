import type { Windows } from "../upstream/rate-limits.ts";

/** How an account proves itself upstream. */
export type CredentialKind = "api_key" | "oauth" | "setup_token";

/** Where Cloudflare may be asked to place an account's object. */
export const LOCATION_HINTS = [
  "wnam",
  "enam",
  "sam",
  "weur",
  "eeur",
  "apac",
  "oc",
  "afr",
  "me",
] as const;

export type LocationHint = (typeof LOCATION_HINTS)[number];

/** What the operator sets of an account. */
export interface AccountSettings {
  name: string;
  description: string;
  /** Keys can be bound to the accounts that carry a tag. */
  tags: string[];
  /** The operator's switch; never set or cleared by the relay itself. */
  enabled: boolean;
  /** False: no new work. Sessions that are on the account, and keys bound to it, stay. */
  schedulable: boolean;
  /** 1 to 100; a lower tier is used up before the next. */
  priority: number;
  /** 1 to 100: its share of new sessions among accounts of the same tier. */
  weight: number;
  /** Requests at once, everywhere; null: as many as come. */
  maxConcurrency: number | null;
  /** From then on it does not serve; null: no such end. */
  expiresAtMs: number | null;
  /** Where its object is made; has no effect once it is. */
  locationHint: LocationHint | null;
}

/** For rows and states that were written before these settings existed. */
export const LATER_SETTINGS = {
  schedulable: true,
  weight: 1,
  maxConcurrency: null,
  expiresAtMs: null,
  locationHint: null,
} satisfies Partial<AccountSettings>;

/** The whole account rests, or one model family of it. */
export type CoolDownScope = "*" | (string & {});

/** Why an account rests: a limit of its own, upstream as a whole, or its way there. */
export type CoolDownKind = "rate_limited" | "overloaded" | "failing";

export interface CoolDown {
  scope: CoolDownScope;
  kind: CoolDownKind;
  sinceMs: number;
  untilMs: number;
  reason: string;
}

/** Why an account cannot serve until a person acts, or a stated time has come. */
export interface AccountTrouble {
  kind: "needs_relogin" | "credential_rejected" | "spend_limited" | "org_disabled";
  detail: string;
  sinceMs: number;
  untilMs: number | null;
}

/**
 * What Workers know of an account: everything that choosing needs, and nothing secret. Pushed by
 * the account's object to the Fleet whenever it changes.
 */
export interface RosterRow extends AccountSettings {
  id: string;
  kind: CredentialKind;
  hasProxy: boolean;
  trouble: AccountTrouble | null;
  /** Those that run, and those that ended so lately that new work returns step by step. */
  coolDowns: CoolDown[];
  /** Its last requests failed: the next success is worth a report. */
  isSuspect: boolean;
  /** Its circuit breaker opened, and no success has closed it yet: it is tried with few requests. */
  isHalfOpen: boolean;
  windows: Windows;
  /** Grows with every new credential: a cached one of a lower generation is stale. */
  generation: number;
  /** Names the ENCRYPTION_KEY that the credential was sealed under, without telling anything of it. */
  sealedUnder: string;
  createdAtMs: number;
  /** When the access token runs out; null for credentials that do not. */
  credentialExpiresAtMs: number | null;
  /** The account's e-mail and organisation as upstream told them. */
  profile: AccountProfile | null;
  /** Grows with every change of this row, so that a late push never puts back an old state. */
  revision: number;
}

export interface AccountProfile {
  email: string | null;
  organisation: string | null;
}

/** A row as the Fleet keeps it, with what rows of an older version lack. */
export function parseRosterRow(text: string): RosterRow {
  const row = JSON.parse(text) as Partial<RosterRow>;
  return { ...LATER_SETTINGS, isSuspect: false, isHalfOpen: false, ...row } as RosterRow;
}

/** Whether an account can serve a model family now, or why not and until when. */
export type Standing =
  | { kind: "ready" }
  | { kind: "disabled" }
  | { kind: "expired"; expiredAtMs: number }
  | { kind: "no_egress" }
  | { kind: "trouble"; trouble: AccountTrouble }
  | { kind: "cooling_down"; untilMs: number; rest: CoolDownKind; reason: string };

const READY: Standing = { kind: "ready" };
const DISABLED: Standing = { kind: "disabled" };
const NO_EGRESS: Standing = { kind: "no_egress" };

/** The account's trouble, unless its stated time has come. */
export function troubleNow({ trouble }: RosterRow, nowMs: number): AccountTrouble | null {
  return trouble === null || (trouble.untilMs !== null && trouble.untilMs <= nowMs)
    ? null
    : trouble;
}

/**
 * A cool-down is a time compared here, never a flag that someone must clear.
 *
 * @param canReachProxies whether accounts with a proxy of their own can be served at all
 */
export function standingOf(
  row: RosterRow,
  family: string,
  nowMs: number,
  canReachProxies: boolean,
): Standing {
  if (!row.enabled) return DISABLED;
  if (row.expiresAtMs !== null && row.expiresAtMs <= nowMs) {
    return { kind: "expired", expiredAtMs: row.expiresAtMs };
  }
  const trouble = troubleNow(row, nowMs);
  if (trouble !== null) return { kind: "trouble", trouble };
  if (row.hasProxy && !canReachProxies) return NO_EGRESS;
  let latest: CoolDown | null = null;
  for (const coolDown of row.coolDowns) {
    if (coolDown.untilMs <= nowMs || !concerns(coolDown, family)) continue;
    if (latest === null || coolDown.untilMs > latest.untilMs) latest = coolDown;
  }
  return latest === null
    ? READY
    : {
        kind: "cooling_down",
        untilMs: latest.untilMs,
        rest: latest.kind,
        reason: latest.reason,
      };
}

/** After a long rest, an account's share of new work grows to the full one within this time. */
export const RETURN_MS = 30_000;
/** What a returning account gets at the least: without any work it could not show that it is well. */
const LEAST_SHARE = 0.05;

/**
 * How much of its usual share of new work an account takes now: 1, or less while it comes back from
 * a rest. A short rest is followed by as short a return.
 */
export function shareOfReturn(row: RosterRow, family: string, nowMs: number): number {
  let share = 1;
  for (const coolDown of row.coolDowns) {
    if (coolDown.untilMs > nowMs || !concerns(coolDown, family)) continue;
    const returnMs = Math.min(RETURN_MS, coolDown.untilMs - coolDown.sinceMs);
    const sinceMs = nowMs - coolDown.untilMs;
    if (sinceMs < returnMs) share = Math.min(share, Math.max(LEAST_SHARE, sinceMs / returnMs));
  }
  return share;
}

function concerns({ scope }: CoolDown, family: string): boolean {
  return scope === "*" || scope === family;
}
