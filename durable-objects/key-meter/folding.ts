import { firstIdOf } from "../../src/request-id.ts";
import type { MeterStorage } from "./meter.ts";
import { DELETE_FOLDED, FOLD_INTO_HOURLY, FOLD_INTO_LIFETIME } from "./schema.ts";

const MINUTE_MS = 60_000;
/** A row stays this long after it began, so that a repeated settlement finds it. */
const KEEP_ROWS_MS = 60 * MINUTE_MS;
/**
 * Rows wait this long after they could be folded: an alarm that comes to deliver would else write sums
 * for a few rows.
 */
const FOLD_EVERY_MS = 30 * MINUTE_MS;
/** How long a thread's messages are remembered: upstream documents no lifetime. */
const KEEP_THREADS_MS = 30 * 24 * 60 * MINUTE_MS;
/** Hourly sums are kept a bit over a year, for comparisons with the year before. */
const KEEP_HOURLY_MS = 400 * 24 * 60 * MINUTE_MS;

/** The end of a request's row: it is added to the sums of its hour, and goes. */
export class Folding {
  readonly #storage: Pick<MeterStorage, "sql" | "transactionSync">;
  #triedAtMs = 0;

  constructor(storage: Pick<MeterStorage, "sql" | "transactionSync">) {
    this.#storage = storage;
  }

  /**
   * Folds what is old enough, and forgets what is kept no longer.
   *
   * @param windowMinutes of the key's sliding window; what it still counts is not folded
   * @param deliveredSeq the ledger has every fact up to this one: what it has not would be gone
   * @returns whether it was time to fold
   */
  fold(windowMinutes: number, deliveredSeq: number, nowMs: number): boolean {
    const ripeAtMs = this.#ripeAtMs(windowMinutes);
    if (ripeAtMs === null || nowMs < ripeAtMs) return false;
    this.#triedAtMs = nowMs;
    const { sql } = this.#storage;
    this.#storage.transactionSync(() => {
      const upTo = [firstIdOf(nowMs - keepRowsMs(windowMinutes)), deliveredSeq];
      sql.exec(FOLD_INTO_HOURLY, ...upTo);
      sql.exec(FOLD_INTO_LIFETIME, ...upTo);
      sql.exec(DELETE_FOLDED, ...upTo);
      sql.exec("DELETE FROM threads WHERE made_at_ms < ?", nowMs - KEEP_THREADS_MS);
      sql.exec("DELETE FROM hourly WHERE hour_ms < ?", nowMs - KEEP_HOURLY_MS);
    });
    return true;
  }

  /** When to fold again; null: there is no row. */
  dueAtMs(windowMinutes: number): number | null {
    const ripeAtMs = this.#ripeAtMs(windowMinutes);
    // What the ledger did not have could not be folded just now, and cannot be in a moment.
    return ripeAtMs === null ? null : Math.max(ripeAtMs, this.#triedAtMs + FOLD_EVERY_MS);
  }

  #ripeAtMs(windowMinutes: number): number | null {
    const [oldest] = this.#storage.sql
      .exec<{ at: number }>("SELECT started_at_ms AS at FROM requests ORDER BY id LIMIT 1")
      .toArray();
    return oldest === undefined ? null : oldest.at + keepRowsMs(windowMinutes) + FOLD_EVERY_MS;
  }
}

function keepRowsMs(windowMinutes: number): number {
  return Math.max(KEEP_ROWS_MS, windowMinutes * MINUTE_MS);
}
