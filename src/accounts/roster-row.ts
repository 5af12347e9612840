import type { Windows } from "../upstream/rate-limits.ts";

/** How an account proves itself upstream. */
export type CredentialKind = "api_key" | "oauth" | "setup_token";

/** The whole account rests, or one model family of it. */
export type CoolDownScope = "*" | (string & {});

export interface CoolDown {
  scope: CoolDownScope;
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
export interface RosterRow {
  id: string;
  name: string;
  description: string;
  kind: CredentialKind;
  /** Keys can be bound to the accounts that carry a tag. */
  tags: string[];
  /** The operator's switch; never set or cleared by the relay itself. */
  enabled: boolean;
  /** 1 to 100; a lower tier is used up before the next. */
  priority: number;
  hasProxy: boolean;
  trouble: AccountTrouble | null;
  coolDowns: CoolDown[];
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

/** Whether an account can serve a model family now, or why not and until when. */
export type Standing =
  | { kind: "ready" }
  | { kind: "disabled" }
  | { kind: "no_egress" }
  | { kind: "trouble"; trouble: AccountTrouble }
  | { kind: "cooling_down"; untilMs: number; reason: string };

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
  if (!row.enabled) return { kind: "disabled" };
  const trouble = troubleNow(row, nowMs);
  if (trouble !== null) return { kind: "trouble", trouble };
  if (row.hasProxy && !canReachProxies) return { kind: "no_egress" };
  let latest: CoolDown | null = null;
  for (const coolDown of row.coolDowns) {
    if (coolDown.untilMs <= nowMs || (coolDown.scope !== "*" && coolDown.scope !== family))
      continue;
    if (latest === null || coolDown.untilMs > latest.untilMs) latest = coolDown;
  }
  return latest === null
    ? { kind: "ready" }
    : { kind: "cooling_down", untilMs: latest.untilMs, reason: latest.reason };
}
