import { peakUtilisation } from "../upstream/rate-limits.ts";
import { type RosterRow, type Standing, standingOf } from "./roster-row.ts";

export interface ChoiceInput {
  rows: readonly RosterRow[];
  family: string;
  keyId: string;
  /** Client-supplied, so only ever used together with the key's id. Null: no session. */
  session: string | null;
  /** The account that made the message a thread continues: that one and no other. */
  onlyAccountId: string | null;
  /** The account, or the accounts with this tag, that alone may serve the key; null: any. */
  boundTo: { kind: "account" | "tag"; value: string } | null;
  /** Accounts that this request has tried. */
  exclude: ReadonlySet<string>;
  nowMs: number;
  canReachProxies: boolean;
  /** Requests of this isolate now running on an account. */
  inFlight: (accountId: string) => number;
}

type NotReady = Exclude<Standing, { kind: "ready" }>;

/** Why no account was chosen: what each one that could have been said. */
export interface NoChoice {
  standings: { row: RosterRow; standing: NotReady }[];
}

export type Choice = { ok: true; row: RosterRow } | { ok: false; none: NoChoice };

/**
 * Chooses the account for a request: among those that can serve, the lowest priority tier; within
 * it, a session goes by rendezvous hash of (key, session), so that every isolate everywhere agrees
 * without shared state, and a request without a session goes where there is most headroom.
 */
export function choose(input: ChoiceInput): Choice {
  let tier: RosterRow[] = [];
  const standings: NoChoice["standings"] = [];
  for (const row of input.rows) {
    if (input.exclude.has(row.id)) continue;
    if (input.onlyAccountId !== null && row.id !== input.onlyAccountId) continue;
    if (input.boundTo !== null && !isBound(row, input.boundTo)) continue;
    const standing = standingOf(row, input.family, input.nowMs, input.canReachProxies);
    if (standing.kind !== "ready") {
      standings.push({ row, standing });
      continue;
    }
    const best = tier[0];
    if (best === undefined || row.priority < best.priority) tier = [row];
    else if (row.priority === best.priority) tier.push(row);
  }
  const row =
    input.session === null
      ? mostHeadroom(tier, input)
      : highestHash(tier, `${input.keyId}\n${input.session}`);
  return row === null ? { ok: false, none: { standings } } : { ok: true, row };
}

function isBound(row: RosterRow, { kind, value }: NonNullable<ChoiceInput["boundTo"]>): boolean {
  return kind === "account" ? row.id === value : row.tags.includes(value);
}

function highestHash(rows: readonly RosterRow[], subject: string): RosterRow | null {
  let chosen: RosterRow | null = null;
  let highest = -1;
  for (const row of rows) {
    const score = hash32(`${subject}\n${row.id}`);
    if (score > highest) {
      highest = score;
      chosen = row;
    }
  }
  return chosen;
}

/** Least used window first, then fewest requests in flight, then by chance, to spread evenly. */
function mostHeadroom(rows: readonly RosterRow[], input: ChoiceInput): RosterRow | null {
  let chosen: RosterRow | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const row of rows) {
    // Utilisation in whole percents: a smaller difference says less than the requests in flight.
    const used = Math.floor(peakUtilisation(row.windows, input.nowMs, input.family) * 100);
    const load = used * 1_000 + input.inFlight(row.id) + Math.random();
    if (load < least) {
      least = load;
      chosen = row;
    }
  }
  return chosen;
}

/** FNV-1a over UTF-16 units, with Murmur3's finaliser for an even spread. Not cryptographic. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
