import { RecentMap } from "../../src/recent-map.ts";

const HOUR_MS = 60 * 60_000;
/** A prompt cache lives an hour at the most: after a day without use, moving costs nothing. */
const FORGET_MS = 24 * HOUR_MS;
/** Use is noted no more often than this: a write for each request would be for nothing. */
const TOUCH_EVERY_MS = HOUR_MS;
const MAX_IN_MEMORY = 10_000;

interface Pin {
  accountId: string;
  usedAtMs: number;
}

/**
 * Which account a session of the key is on. Prompt caches live per account and are worth money, so
 * a session stays where it was served last, until that account cannot serve it.
 */
export class Pins {
  readonly #sql: SqlStorage;
  readonly #recent = new RecentMap<string, Pin>(MAX_IN_MEMORY);
  #prunedAtMs = 0;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** The account that the session is on, or null. */
  find(session: string): string | null {
    return this.#find(session)?.accountId ?? null;
  }

  /**
   * The account that the session is on. One that is on none is put on `accountId`, where given.
   *
   * @returns null where it is on none still
   */
  use(session: string, accountId: string | null, nowMs: number): string | null {
    const pin = this.#find(session);
    if (pin === null) {
      if (accountId !== null) this.#put(session, { accountId, usedAtMs: nowMs });
      return accountId;
    }
    if (nowMs - pin.usedAtMs >= TOUCH_EVERY_MS) this.#put(session, { ...pin, usedAtMs: nowMs });
    return pin.accountId;
  }

  /**
   * Another account than the session's own has served it.
   *
   * @param from where the session was when that request began: one that was moved since stays
   */
  move(session: string, from: string | null, accountId: string, nowMs: number): void {
    if ((this.#find(session)?.accountId ?? null) !== from) return;
    this.#put(session, { accountId, usedAtMs: nowMs });
  }

  prune(nowMs: number): void {
    if (nowMs - this.#prunedAtMs < HOUR_MS) return;
    this.#prunedAtMs = nowMs;
    this.#sql.exec("DELETE FROM sessions WHERE used_at_ms < ?", nowMs - FORGET_MS);
  }

  #find(session: string): Pin | null {
    const known = this.#recent.get(session);
    if (known !== undefined) return known;
    const [row] = this.#sql
      .exec<{ account_id: string; used_at_ms: number }>(
        "SELECT account_id, used_at_ms FROM sessions WHERE session = ?",
        session,
      )
      .toArray();
    if (row === undefined) return null;
    const pin = { accountId: row.account_id, usedAtMs: row.used_at_ms };
    this.#recent.set(session, pin);
    return pin;
  }

  #put(session: string, pin: Pin): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO sessions (session, account_id, used_at_ms) VALUES (?, ?, ?)",
      session,
      pin.accountId,
      pin.usedAtMs,
    );
    this.#recent.set(session, pin);
  }
}
