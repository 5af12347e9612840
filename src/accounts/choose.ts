import type { AccountLoad } from "./load.ts";
import type { Candidate, CandidateGroup, Pool } from "./pool.ts";
import { hash32, mixed, weightedScore } from "./rendezvous.ts";
import type { RosterRow, Standing } from "./roster-row.ts";

export interface ChoiceInput {
  pool: Pool;
  load: AccountLoad;
  family: string;
  keyId: string;
  /** Client-supplied, so only ever used together with the key's id. Null: no session. */
  session: string | null;
  /** The account that served the session last, if any. */
  pinnedTo: string | null;
  /** The account that made the message a thread continues: that one and no other. */
  onlyAccountId: string | null;
  /** The account, or the accounts with this tag, that alone may serve the key; null: any. */
  boundTo: { kind: "account" | "tag"; value: string } | null;
  /** Accounts that this request has tried. */
  exclude: ReadonlySet<string>;
  nowMs: number;
}

/** What decided: kept with the request's record. */
export type ChosenBy = "thread" | "bound" | "pin" | "hash" | "headroom";

export type NotReady =
  | Exclude<Standing, { kind: "ready" }>
  /** It could serve, and takes no new work. */
  | { kind: "not_schedulable" }
  /** Its circuit breaker opened, and a request is finding out whether it is well again. */
  | { kind: "on_trial" };

/** Why no account was chosen: what each one that could have been said. */
export interface NoChoice {
  standings: { row: RosterRow; standing: NotReady }[];
}

export type Choice = { ok: true; row: RosterRow; by: ChosenBy } | { ok: false; none: NoChoice };

/**
 * Chooses the account for a request: the one it must go to, else the one that its session is on,
 * while that can serve. Otherwise among those that take new work, those with room before those near
 * a limit, a lower priority tier before a higher: a session by weighted rendezvous hash of (key,
 * session), a request without a session to where there is most headroom.
 */
export function choose(input: ChoiceInput): Choice {
  const only = onlyAccount(input);
  if (only !== null) return direct(input, only.id, only.by) ?? none(input);
  const pinned = input.pinnedTo === null ? null : direct(input, input.pinnedTo, "pin");
  if (pinned !== null) return pinned;
  const { pool, family, nowMs } = input;
  return (
    fromGroups(input, pool.groups(family, nowMs)) ??
    fromGroups(input, pool.freshGroups(family, nowMs)) ??
    none(input)
  );
}

/** The one account that may serve this request, where there is only one. */
function onlyAccount({ onlyAccountId, boundTo }: ChoiceInput): { id: string; by: ChosenBy } | null {
  if (onlyAccountId !== null) return { id: onlyAccountId, by: "thread" };
  return boundTo?.kind === "account" ? { id: boundTo.value, by: "bound" } : null;
}

/** A named account, if it can serve now; whether it takes new work does not matter here. */
function direct(input: ChoiceInput, id: string, by: ChosenBy): Choice | null {
  const { pool, load, family, exclude, nowMs } = input;
  const row = exclude.has(id) || !isBound(input, id) ? null : pool.find(id);
  if (row === null || pool.standing(row, family, nowMs).kind !== "ready") return null;
  return load.mayEnter(row, nowMs) ? { ok: true, row, by } : null;
}

function fromGroups(input: ChoiceInput, groups: readonly CandidateGroup[]): Choice | null {
  const { session, keyId } = input;
  const subject = session === null ? null : hash32(`${keyId}\n${session}`);
  for (const group of groups) {
    const row =
      subject === null ? mostHeadroom(input, group.candidates) : highestHash(input, group, subject);
    if (row !== null) return { ok: true, row, by: subject === null ? "headroom" : "hash" };
  }
  return null;
}

function highestHash(
  input: ChoiceInput,
  { candidates, isEven }: CandidateGroup,
  subject: number,
): RosterRow | null {
  let chosen: RosterRow | null = null;
  let highest = Number.NEGATIVE_INFINITY;
  for (const candidate of candidates) {
    const hash = mixed(subject, candidate.hash);
    // With equal weights the hash alone gives the same order, and spares a logarithm each.
    const score = isEven ? hash : weightedScore(hash, candidate.weight);
    if (score <= highest || !mayTake(input, candidate.row)) continue;
    highest = score;
    chosen = candidate.row;
  }
  return chosen;
}

/** Least used window first, then fewest requests running for its weight, then least recently used. */
function mostHeadroom(input: ChoiceInput, candidates: readonly Candidate[]): RosterRow | null {
  const { load } = input;
  let chosen: Candidate | null = null;
  let running = 0;
  let usedAtMs = 0;
  let heldBack: RosterRow | null = null;
  for (const candidate of candidates) {
    const { row, share, usedPercent } = candidate;
    if (!mayTake(input, row)) continue;
    // An account that comes back from a rest has the most headroom: it gets a part of the requests.
    if (share < 1 && Math.random() >= share) {
      heldBack ??= row;
      continue;
    }
    const nowRunning = load.inFlight(row.id) / row.weight;
    const lastUsedMs = load.lastUsedMs(row.id);
    const isBetter =
      chosen === null ||
      usedPercent < chosen.usedPercent ||
      (usedPercent === chosen.usedPercent &&
        (nowRunning < running || (nowRunning === running && lastUsedMs < usedAtMs)));
    if (!isBetter) continue;
    chosen = candidate;
    running = nowRunning;
    usedAtMs = lastUsedMs;
  }
  return chosen?.row ?? heldBack;
}

function mayTake(input: ChoiceInput, row: RosterRow): boolean {
  const { boundTo, exclude, load, nowMs } = input;
  if (exclude.size > 0 && exclude.has(row.id)) return false;
  if (boundTo?.kind === "tag" && !row.tags.includes(boundTo.value)) return false;
  return load.mayEnter(row, nowMs);
}

/** Whether the key may use an account: its thread or session may be on one from before it was bound. */
function isBound({ boundTo, pool }: ChoiceInput, id: string): boolean {
  if (boundTo === null) return true;
  return boundTo.kind === "account"
    ? boundTo.value === id
    : (pool.find(id)?.tags.includes(boundTo.value) ?? false);
}

/** Looked at only where nothing was found: what each account that may serve the key has to say. */
function none(input: ChoiceInput): Choice {
  const { pool, family, exclude, nowMs } = input;
  const only = onlyAccount(input);
  const standings: NoChoice["standings"] = [];
  for (const row of pool.rows) {
    if (exclude.has(row.id) || (only !== null && row.id !== only.id)) continue;
    if (!isBound(input, row.id)) continue;
    const standing = pool.standing(row, family, nowMs);
    if (standing.kind !== "ready") standings.push({ row, standing });
    else if (only === null && !row.schedulable) {
      standings.push({ row, standing: { kind: "not_schedulable" } });
    } else standings.push({ row, standing: { kind: "on_trial" } });
  }
  return { ok: false, none: { standings } };
}
