import { DurableObject } from "cloudflare:workers";

/** The name of the one EventLog object. */
export const EVENT_LOG_NAME = "events";

/** The audit trail keeps this many acts. */
const KEEP_ACTS = 50_000;
const PAGE_MAX = 200;

/** One act of an admin. `before` and `after` hold no secret. */
export interface AuditEntry {
  actor: string;
  /** `key.create`, `account.delete` … */
  action: string;
  /** The id of what was acted on; null where it did not exist yet. */
  target: string | null;
  detail: Record<string, unknown>;
}

export interface AuditRow extends AuditEntry {
  id: number;
  atMs: number;
  /** `begun` stays where the act was cut short: then it is not known whether it took effect. */
  outcome: "begun" | "done" | "failed";
}

/** The audit trail of admin acts: written before the act, completed after it. */
export class EventLog extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        target TEXT,
        outcome TEXT NOT NULL,
        detail TEXT NOT NULL
      );
    `);
  }

  /** Writes that an act begins. An act that cannot be written here must not happen. */
  begin({ actor, action, target, detail }: AuditEntry): number {
    const { sql } = this.ctx.storage;
    const { id } = sql
      .exec<{ id: number }>(
        `INSERT INTO audit (at_ms, actor, action, target, outcome, detail)
         VALUES (?, ?, ?, ?, 'begun', ?) RETURNING id`,
        Date.now(),
        actor,
        action,
        target,
        JSON.stringify(detail),
      )
      .one();
    sql.exec("DELETE FROM audit WHERE id <= ?", id - KEEP_ACTS);
    return id;
  }

  finish(id: number, outcome: "done" | "failed"): void {
    this.ctx.storage.sql.exec("UPDATE audit SET outcome = ? WHERE id = ?", outcome, id);
  }

  /** The newest acts first. @param before only acts with a smaller id; null: from the newest on */
  audit(before: number | null, limit: number): AuditRow[] {
    return this.ctx.storage.sql
      .exec<{
        id: number;
        at_ms: number;
        actor: string;
        action: string;
        target: string | null;
        outcome: AuditRow["outcome"];
        detail: string;
      }>(
        "SELECT * FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?",
        before ?? Number.MAX_SAFE_INTEGER,
        Math.min(PAGE_MAX, limit),
      )
      .toArray()
      .map((row) => ({
        id: row.id,
        atMs: row.at_ms,
        actor: row.actor,
        action: row.action,
        target: row.target,
        outcome: row.outcome,
        detail: JSON.parse(row.detail) as Record<string, unknown>,
      }));
  }
}
