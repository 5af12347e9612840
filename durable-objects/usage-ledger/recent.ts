import type { LedgerRetention } from "../../src/ledger/retention.ts";
import { firstIdOf, timeOf } from "../../src/request-id.ts";
import type { LedgerFact, LedgerOutcome, LedgerRequest, RecentQuery } from "./contract.ts";
import { DAY_MS } from "./schema.ts";
import { modelOf, outcomeOf } from "./sums.ts";

/** So many blocks can share a millisecond. */
const BLOCKS_PER_MS = 1_024;
/** Between two prunings by the hour, the ring grows by this part of its length at the most. */
const OVERRUN = 0.1;

type BlockRow = { at: number; key_id: string; requests: number; body: string };

/**
 * The newest requests, a block of rows for each batch that came: a row a request, with an index for
 * each filter, would be most of what a request costs. Blocks are found by time and by key; what is in
 * them besides, their facets say, so that only blocks with something to find are opened.
 */
export class Recent {
  readonly #sql: SqlStorage;
  #addedSincePruning = 0;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  add(keyId: string, facts: readonly LedgerFact[]): void {
    const requests = new Map<string, LedgerRequest>();
    for (const { request, corrects } of facts) {
      if (corrects && !requests.has(request.id)) this.#remove(keyId, request.id);
      requests.set(request.id, { keyId, ...request });
    }
    const list = [...requests.values()].sort(byIdDescending);
    const [newest] = list;
    const oldest = list.at(-1);
    if (newest === undefined || oldest === undefined) return;
    this.#sql.exec(
      "INSERT INTO blocks (at, key_id, oldest_id, requests, facets, body) VALUES (?, ?, ?, ?, ?, ?)",
      this.#placeFor(newest.id),
      keyId,
      oldest.id,
      list.length,
      facetsOf(list),
      JSON.stringify(list),
    );
    this.#addedSincePruning += list.length;
  }

  /** The newest requests that pass, the newest first. */
  page(query: RecentQuery): LedgerRequest[] {
    const { keyId, before, limit } = query;
    const facets = facetsAskedFor(query);
    const where = facets.map(() => "instr(facets, ?) > 0");
    const bindings: string[] = [...facets];
    if (keyId !== null) {
      where.push("key_id = ?");
      bindings.push(keyId);
    }
    if (before !== null) {
      where.push("oldest_id < ?");
      bindings.push(before);
    }
    const blocks = this.#sql.exec<BlockRow>(
      `SELECT at, key_id, requests, body FROM blocks
       ${where.length > 0 ? `WHERE ${where.join(" AND ")}` : ""} ORDER BY at DESC`,
      ...bindings,
    );
    const found: LedgerRequest[] = [];
    for (const block of blocks) {
      // Blocks overlap. No request of this block or a later one began after this block's newest.
      const firstUnsure = firstIdOf(Math.floor(block.at / BLOCKS_PER_MS) + 1);
      if (found.filter(({ id }) => id >= firstUnsure).length >= limit) break;
      for (const request of requestsOf(block)) if (passes(request, query)) found.push(request);
    }
    return found.sort(byIdDescending).slice(0, limit);
  }

  find(id: string): LedgerRequest | null {
    const block = this.#blockOf(id, null);
    return block === null ? null : (requestsOf(block).find((request) => request.id === id) ?? null);
  }

  /** Where the ring has outgrown its length. */
  pruneIfLong(retention: () => LedgerRetention): void {
    const { recentRequests } = retention();
    if (this.#addedSincePruning > recentRequests * OVERRUN) this.#pruneTo(recentRequests);
  }

  prune({ recentRequests, recentDays }: LedgerRetention, nowMs: number): void {
    this.#sql.exec(
      "DELETE FROM blocks WHERE at < ?",
      (nowMs - recentDays * DAY_MS) * BLOCKS_PER_MS,
    );
    this.#pruneTo(recentRequests);
  }

  #pruneTo(requests: number): void {
    this.#addedSincePruning = 0;
    this.#sql.exec(
      `DELETE FROM blocks WHERE at <= (
         SELECT at FROM (SELECT at, SUM(requests) OVER (ORDER BY at DESC) AS upto FROM blocks)
         WHERE upto > ? ORDER BY at DESC LIMIT 1)`,
      requests,
    );
  }

  /** A request that was called unsettled and was settled after all. */
  #remove(keyId: string, id: string): void {
    const block = this.#blockOf(id, keyId);
    if (block === null) return;
    const left = requestsOf(block).filter((request) => request.id !== id);
    if (left.length === 0) this.#sql.exec("DELETE FROM blocks WHERE at = ?", block.at);
    else {
      this.#sql.exec(
        "UPDATE blocks SET requests = ?, facets = ?, body = ? WHERE at = ?",
        left.length,
        facetsOf(left),
        JSON.stringify(left),
        block.at,
      );
    }
  }

  #blockOf(id: string, keyId: string | null): BlockRow | null {
    const startedAtMs = timeOf(id);
    if (startedAtMs === null) return null;
    const [block] = this.#sql
      .exec<BlockRow>(
        `SELECT at, key_id, requests, body FROM blocks
         WHERE at >= ?1 AND oldest_id <= ?2 AND instr(body, ?2) > 0 ${keyId === null ? "" : "AND key_id = ?3"}
         ORDER BY at LIMIT 1`,
        startedAtMs * BLOCKS_PER_MS,
        id,
        ...(keyId === null ? [] : [keyId]),
      )
      .toArray();
    return block ?? null;
  }

  /** The first free place from that request's time on. */
  #placeFor(newestId: string): number {
    const first = (timeOf(newestId) ?? 0) * BLOCKS_PER_MS;
    const last = this.#sql
      .exec<{ at: number | null }>(
        "SELECT MAX(at) AS at FROM blocks WHERE at >= ? AND at < ?",
        first,
        first + BLOCKS_PER_MS,
      )
      .one().at;
    let place = last === null ? first : last + 1;
    while (this.#isTaken(place)) place += 1;
    return place;
  }

  #isTaken(place: number): boolean {
    return this.#sql.exec("SELECT 1 FROM blocks WHERE at = ?", place).toArray().length > 0;
  }
}

function requestsOf({ body }: BlockRow): LedgerRequest[] {
  return JSON.parse(body) as LedgerRequest[];
}

function byIdDescending(left: LedgerRequest, right: LedgerRequest): number {
  return left.id < right.id ? 1 : -1;
}

function passes(request: LedgerRequest, query: RecentQuery): boolean {
  return (
    (query.keyId === null || request.keyId === query.keyId) &&
    (query.accountId === null || request.accountId === query.accountId) &&
    (query.model === null || modelOf(request) === query.model) &&
    (query.outcome === null || outcomeOf(request) === query.outcome) &&
    (query.before === null || request.id < query.before)
  );
}

const accountFacet = (accountId: string) => `\na:${accountId}\n`;
const modelFacet = (model: string) => `\nm:${model}\n`;
const outcomeFacet = (outcome: LedgerOutcome) => `\no:${outcome}\n`;

function facetsOf(requests: readonly LedgerRequest[]): string {
  const facets = new Set<string>();
  for (const request of requests) {
    if (request.accountId !== null) facets.add(accountFacet(request.accountId));
    facets.add(modelFacet(modelOf(request)));
    facets.add(outcomeFacet(outcomeOf(request)));
  }
  return [...facets].join("");
}

function facetsAskedFor({ accountId, model, outcome }: RecentQuery): string[] {
  const facets: string[] = [];
  if (accountId !== null) facets.push(accountFacet(accountId));
  if (model !== null) facets.push(modelFacet(model));
  if (outcome !== null) facets.push(outcomeFacet(outcome));
  return facets;
}
