import { DurableObject } from "cloudflare:workers";
import { createHash, timingSafeEqual } from "node:crypto";
import { verifyPassword } from "../src/admin/password.ts";
import { fail, ok, type Result } from "../src/result.ts";

/** The name of the one AdminGate object. */
export const ADMIN_GATE_NAME = "admin";

/** Wrong passwords from one address before it has to wait. */
const FREE_FAILURES = 5;
const FIRST_WAIT_MS = 30_000;
const LONGEST_WAIT_MS = 15 * 60_000;
/** Failures older than this no longer count. */
const FORGET_FAILURES_MS = 60 * 60_000;
const ADDRESS_MAX_CHARS = 64;

export type LoginRefusal = { kind: "wrong_credentials" } | { kind: "throttled"; retryAtMs: number };

/**
 * Who may enter the admin API: checks passwords one at a time, makes guessing slow, and knows which
 * sessions were ended. An object, since only one place can count tries, and since scrypt's CPU time
 * fits an object's allowance on every plan.
 */
export class AdminGate extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS failures (
        address TEXT PRIMARY KEY,
        count INTEGER NOT NULL,
        last_at_ms INTEGER NOT NULL,
        wait_until_ms INTEGER NOT NULL
      ) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS ended_sessions (
        id TEXT PRIMARY KEY,
        expires_at_ms INTEGER NOT NULL
      ) WITHOUT ROWID;
    `);
  }

  /** @param address the client's, to count its failures by */
  login(username: string, password: string, address: string): Result<null, LoginRefusal> {
    const nowMs = Date.now();
    const from = address.slice(0, ADDRESS_MAX_CHARS);
    const waitUntilMs = this.#waitUntilMs(from);
    if (waitUntilMs > nowMs) return fail({ kind: "throttled", retryAtMs: waitUntilMs });
    // Both are always checked, so that the time taken does not tell which of them was wrong.
    const knownUser = sameText(username, this.env.ADMIN_USERNAME);
    const knownPassword = verifyPassword(password, this.env.ADMIN_PASSWORD_HASH);
    if (knownUser && knownPassword) {
      this.ctx.storage.sql.exec("DELETE FROM failures WHERE address = ?", from);
      return ok(null);
    }
    this.#countFailure(from, nowMs);
    return fail({ kind: "wrong_credentials" });
  }

  /** Ends a session before its time. */
  endSession(id: string, expiresAtMs: number): void {
    const { sql } = this.ctx.storage;
    sql.exec("DELETE FROM ended_sessions WHERE expires_at_ms < ?", Date.now());
    sql.exec("INSERT OR IGNORE INTO ended_sessions VALUES (?, ?)", id, expiresAtMs);
  }

  isEnded(id: string): boolean {
    const rows = this.ctx.storage.sql.exec("SELECT 1 FROM ended_sessions WHERE id = ?", id);
    return rows.toArray().length > 0;
  }

  #waitUntilMs(address: string): number {
    const row = this.ctx.storage.sql
      .exec<{ wait_until_ms: number }>(
        "SELECT wait_until_ms FROM failures WHERE address = ?",
        address,
      )
      .toArray()[0];
    return row?.wait_until_ms ?? 0;
  }

  #countFailure(address: string, nowMs: number): void {
    const { sql } = this.ctx.storage;
    sql.exec("DELETE FROM failures WHERE last_at_ms < ?", nowMs - FORGET_FAILURES_MS);
    const { count } = sql
      .exec<{ count: number }>(
        `INSERT INTO failures (address, count, last_at_ms, wait_until_ms) VALUES (?1, 1, ?2, 0)
         ON CONFLICT (address) DO UPDATE SET count = count + 1, last_at_ms = ?2
         RETURNING count`,
        address,
        nowMs,
      )
      .one();
    if (count < FREE_FAILURES) return;
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** (count - FREE_FAILURES), LONGEST_WAIT_MS);
    sql.exec("UPDATE failures SET wait_until_ms = ? WHERE address = ?", nowMs + waitMs, address);
  }
}

/** Compares in a time that tells nothing of where two texts differ. */
function sameText(left: string, right: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}
