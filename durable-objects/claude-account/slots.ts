/** A request that was never given back counts until then: longer than any answer takes. */
const LEASE_MS = 15 * 60_000;

/**
 * The places of an account that takes only so many requests at once. On disk, since the object may
 * be evicted while answers are still streaming.
 */
export class Slots {
  readonly #sql: SqlStorage;
  readonly #now: () => number;
  /** Request ids, with the end of each lease. Null: not read yet. */
  #taken: Map<string, number> | null = null;

  constructor(sql: SqlStorage, now: () => number) {
    this.#sql = sql;
    this.#now = now;
  }

  /** @returns whether the request has a place; asking twice takes one */
  take(requestId: string, most: number): boolean {
    const taken = this.#read();
    if (taken.has(requestId)) return true;
    const nowMs = this.#now();
    if (taken.size >= most) this.#sweep(taken, nowMs);
    if (taken.size >= most) return false;
    const untilMs = nowMs + LEASE_MS;
    this.#sql.exec("INSERT INTO slots (request_id, until_ms) VALUES (?, ?)", requestId, untilMs);
    taken.set(requestId, untilMs);
    return true;
  }

  release(requestId: string): void {
    if (!this.#read().delete(requestId)) return;
    this.#sql.exec("DELETE FROM slots WHERE request_id = ?", requestId);
  }

  #sweep(taken: Map<string, number>, nowMs: number): void {
    for (const [requestId, untilMs] of taken) {
      if (untilMs <= nowMs) this.release(requestId);
    }
  }

  #read(): Map<string, number> {
    this.#taken ??= new Map(
      this.#sql
        .exec<{ request_id: string; until_ms: number }>("SELECT request_id, until_ms FROM slots")
        .toArray()
        .map((row) => [row.request_id, row.until_ms]),
    );
    return this.#taken;
  }
}
