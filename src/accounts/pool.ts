import { isNearLimit, peakUtilisation } from "../upstream/rate-limits.ts";
import { hash32 } from "./rendezvous.ts";
import { type RosterRow, type Standing, shareOfReturn, standingOf } from "./roster-row.ts";

/** How long an order may serve while nothing in it is bound to change. */
const ORDER_MAX_AGE_MS = 1_000;
/** While an account comes back, its share grows in steps of this length. */
const RETURN_STEP_MS = 250;

/** What an operator decides about the pool as a whole. */
export interface PoolPolicy {
  /** Whether accounts with a proxy of their own can be served at all. */
  canReachProxies: boolean;
  /** A window used to this fraction or more: no new sessions while others can take them. */
  nearLimit: number;
}

/** An account that can take new work now. */
export interface Candidate {
  row: RosterRow;
  /** Of the account's id, for rendezvous hashing. */
  hash: number;
  /** Its weight, less while it comes back from a rest. */
  weight: number;
  /** The share of its usual work that it takes now; 1 except while it comes back. */
  share: number;
  /** Its fullest window, in whole percents: a smaller difference says less than what is running. */
  usedPercent: number;
}

/** Candidates that are equally welcome; all of them are tried before the next group's. */
export interface CandidateGroup {
  candidates: readonly Candidate[];
  /** True where all weights are the same, which makes comparing cheaper. */
  isEven: boolean;
}

interface Order {
  groups: readonly CandidateGroup[];
  madeAtMs: number;
  validUntilMs: number;
}

/**
 * The roster, ordered for choosing. With a thousand accounts, judging each of them for each request
 * would cost more than everything else, so the order is made once and kept until it must change.
 */
export class Pool {
  readonly rows: readonly RosterRow[];
  readonly #policy: PoolPolicy;
  readonly #byId: ReadonlyMap<string, RosterRow>;
  readonly #orders = new Map<string, Order>();

  constructor(rows: readonly RosterRow[], policy: PoolPolicy) {
    this.rows = rows;
    this.#policy = policy;
    this.#byId = new Map(rows.map((row) => [row.id, row]));
  }

  find(id: string): RosterRow | null {
    return this.#byId.get(id) ?? null;
  }

  standing(row: RosterRow, family: string, nowMs: number): Standing {
    return standingOf(row, family, nowMs, this.#policy.canReachProxies);
  }

  isNearLimit(row: RosterRow, family: string, nowMs: number): boolean {
    return isNearLimit(row.windows, this.#policy.nearLimit, nowMs, family);
  }

  /** Who can take new work of this family, most welcome first. */
  groups(family: string, nowMs: number): readonly CandidateGroup[] {
    const known = this.#orders.get(family);
    if (known !== undefined && nowMs < known.validUntilMs) return known.groups;
    const order = this.#order(family, nowMs);
    this.#orders.set(family, order);
    return order.groups;
  }

  /** The same, judged anew: for a request that is about to be refused. */
  freshGroups(family: string, nowMs: number): readonly CandidateGroup[] {
    if (this.#orders.get(family)?.madeAtMs !== nowMs) this.#orders.delete(family);
    return this.groups(family, nowMs);
  }

  #order(family: string, nowMs: number): Order {
    const byRank = new Map<number, Candidate[]>();
    let validUntilMs = nowMs + ORDER_MAX_AGE_MS;
    const changesAt = (atMs: number) => {
      if (atMs > nowMs && atMs < validUntilMs) validUntilMs = atMs;
    };
    for (const row of this.rows) {
      if (row.expiresAtMs !== null) changesAt(row.expiresAtMs);
      const standing = this.standing(row, family, nowMs);
      if (standing.kind === "cooling_down") changesAt(standing.untilMs);
      if (standing.kind === "trouble") changesAt(standing.trouble.untilMs ?? 0);
      if (standing.kind !== "ready" || !row.schedulable) continue;
      const share = shareOfReturn(row, family, nowMs);
      if (share < 1) changesAt(nowMs + RETURN_STEP_MS);
      const rank = rankOf(row, this.isNearLimit(row, family, nowMs));
      const candidate = {
        row,
        hash: hash32(row.id),
        weight: row.weight * share,
        share,
        usedPercent: Math.floor(peakUtilisation(row.windows, nowMs, family) * 100),
      };
      const group = byRank.get(rank);
      if (group === undefined) byRank.set(rank, [candidate]);
      else group.push(candidate);
    }
    const ranks = [...byRank.keys()].sort((left, right) => left - right);
    const groups = ranks.map((rank) => groupOf(byRank.get(rank) ?? []));
    return { groups, madeAtMs: nowMs, validUntilMs };
  }
}

/** An account near its limit comes after all others, whatever their priority. */
function rankOf({ priority }: RosterRow, isNear: boolean): number {
  return isNear ? 1_000 + priority : priority;
}

function groupOf(candidates: readonly Candidate[]): CandidateGroup {
  const first = candidates[0]?.weight;
  return { candidates, isEven: candidates.every(({ weight }) => weight === first) };
}
