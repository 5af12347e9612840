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
export class AuditTrail {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
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

  begin({ actor, action, target, detail }: AuditEntry): number {
    const { id } = this.#sql
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
    this.#sql.exec("DELETE FROM audit WHERE id <= ?", id - KEEP_ACTS);
    return id;
  }

  finish(id: number, outcome: "done" | "failed"): void {
    this.#sql.exec("UPDATE audit SET outcome = ? WHERE id = ?", outcome, id);
  }

  /** The newest acts first. @param before only acts with a smaller id; null: from the newest on */
  page(before: number | null, limit: number): AuditRow[] {
    return this.#sql
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
