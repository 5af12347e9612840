import { type CoolDown, type RosterRow, troubleNow } from "../accounts/roster-row.ts";
import type { Incident } from "./alert.ts";

/** A rest that is shorter is over before anyone could act on it. */
const SHORTEST_REST_MS = 30_000;
/** Every model family. */
const ALL_FAMILIES = "*";

/** What is wrong with the accounts now. */
export interface AccountPicture {
  incidents: Incident[];
  /** The accounts that the operator wants to serve: what vanishes from here was switched off or removed. */
  watched: string[];
  /** When it looks different without any account's doing; null: never. */
  changesAtMs: number | null;
}

/** @param canReachProxies whether accounts with a proxy of their own can be served at all */
export function pictureOf(
  rows: readonly RosterRow[],
  nowMs: number,
  canReachProxies: boolean,
): AccountPicture {
  const wanted = rows.filter(({ enabled }) => enabled);
  const watched = wanted.filter((row) => !isExpired(row, nowMs));
  const troubles = watched.flatMap((row) => troubleOf(row, nowMs));
  const exhausted = exhaustedFamilies(wanted, nowMs, canReachProxies);
  const times = [
    ...watched.flatMap(({ trouble, expiresAtMs }) => [trouble?.untilMs, expiresAtMs]),
    ...(exhausted.length === 0 ? [] : watched.flatMap((row) => longRests(row))).map(
      ({ untilMs }) => untilMs,
    ),
  ].filter((atMs) => atMs !== null && atMs !== undefined && atMs > nowMs) as number[];
  return {
    incidents: [...troubles, ...exhausted],
    watched: watched.map(({ id }) => id),
    changesAtMs: times.length === 0 ? null : Math.min(...times),
  };
}

/** What of a row the picture depends on: where this stays the same, nobody need look again. */
export function pictureKey({
  name,
  enabled,
  expiresAtMs,
  hasProxy,
  trouble,
  coolDowns,
  isHalfOpen,
}: RosterRow): string {
  return JSON.stringify([name, enabled, expiresAtMs, hasProxy, trouble, coolDowns, isHalfOpen]);
}

function troubleOf(row: RosterRow, nowMs: number): Incident[] {
  const trouble = openTrouble(row, nowMs);
  if (trouble === null) return [];
  return [
    {
      id: `account:${row.id}`,
      kind: trouble.kind === "needs_relogin" ? "account_needs_relogin" : "account_unusable",
      cause: trouble.kind,
      subject: { type: "account", id: row.id, name: row.name },
      reason: trouble.detail,
      sinceMs: trouble.sinceMs,
      untilMs: trouble.untilMs,
    },
  ];
}

/**
 * A refused credential rests, and is tried again: it is well only once an answer has shown it. Else
 * every rest that ends would be a recovery.
 */
function openTrouble(row: RosterRow, nowMs: number) {
  return row.trouble?.kind === "credential_rejected" ? row.trouble : troubleNow(row, nowMs);
}

/** Model families that no account can serve; where that is all of them, only this. */
function exhaustedFamilies(
  rows: readonly RosterRow[],
  nowMs: number,
  canReachProxies: boolean,
): Incident[] {
  if (rows.length === 0) return [];
  const found = new Set(rows.flatMap(({ coolDowns }) => coolDowns.map(({ scope }) => scope)));
  found.delete(ALL_FAMILIES);
  const exhausted = (family: string): Incident[] => {
    const stuck = rows.map((row) => stuckFor(row, family, nowMs, canReachProxies));
    if (stuck.some((why) => why === null)) return [];
    const whys = stuck.filter((why) => why !== null);
    const ends = whys.map(({ untilMs }) => untilMs).filter((atMs) => atMs !== null);
    const name = family === ALL_FAMILIES ? "all accounts" : `all accounts, for ${family} models`;
    return [
      {
        id: `pool:${family}`,
        kind: "accounts_exhausted",
        cause: "exhausted",
        subject: { type: "pool", id: family, name },
        reason: countedReasons(whys.map(({ reason }) => reason)),
        sinceMs: Math.max(...whys.map(({ sinceMs }) => sinceMs)),
        untilMs: ends.length === 0 ? null : Math.min(...ends),
      },
    ];
  };
  const whole = exhausted(ALL_FAMILIES);
  return whole.length > 0 ? whole : [...found].sort().flatMap(exhausted);
}

interface Stuck {
  reason: string;
  sinceMs: number;
  untilMs: number | null;
}

/** Why an account cannot serve a family for a while; null: it can, or could in a moment. */
function stuckFor(
  row: RosterRow,
  family: string,
  nowMs: number,
  canReachProxies: boolean,
): Stuck | null {
  if (isExpired(row, nowMs)) {
    return { reason: "expired", sinceMs: row.expiresAtMs ?? nowMs, untilMs: null };
  }
  const trouble = openTrouble(row, nowMs);
  if (trouble !== null) {
    const reason = trouble.kind.replaceAll("_", " ");
    return { reason, sinceMs: trouble.sinceMs, untilMs: trouble.untilMs };
  }
  if (row.hasProxy && !canReachProxies) {
    return { reason: "no forward proxy", sinceMs: nowMs, untilMs: null };
  }
  const rest = longRests(row).find(
    ({ scope, untilMs }) =>
      (scope === ALL_FAMILIES || scope === family) &&
      // One whose breaker opened is tried again, and is well only once that has worked.
      (untilMs > nowMs || (row.isHalfOpen && scope === ALL_FAMILIES)),
  );
  if (rest === undefined) return null;
  return { reason: rest.reason, sinceMs: rest.sinceMs, untilMs: Math.max(rest.untilMs, nowMs) };
}

function longRests({ coolDowns }: RosterRow): CoolDown[] {
  return coolDowns.filter(({ sinceMs, untilMs }) => untilMs - sinceMs >= SHORTEST_REST_MS);
}

function isExpired({ expiresAtMs }: RosterRow, nowMs: number): boolean {
  return expiresAtMs !== null && expiresAtMs <= nowMs;
}

/** `2 × rate limited by upstream (429), 1 × needs relogin` */
function countedReasons(reasons: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].map(([reason, count]) => `${count} × ${reason}`).join(", ");
}
