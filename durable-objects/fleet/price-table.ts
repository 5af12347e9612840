import type { OperatorPrice } from "../../src/upstream/price-list.ts";

/** Every Worker holds all of them, and gets them anew whenever an account changes. */
export const MAX_PRICES = 200;

/** The prices that the operator set, by model and the day from which they count. */
export class PriceTable {
  readonly #sql: SqlStorage;
  readonly #now: () => number;

  constructor(sql: SqlStorage, now: () => number) {
    this.#sql = sql;
    this.#now = now;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS prices (
        model_id TEXT NOT NULL,
        effective_from TEXT NOT NULL,
        revision INTEGER NOT NULL,
        row TEXT NOT NULL, -- the price, as JSON
        PRIMARY KEY (model_id, effective_from)
      ) WITHOUT ROWID;
    `);
  }

  /** As JSON, by model and day. */
  all(): string[] {
    return this.#sql
      .exec<{ row: string }>("SELECT row FROM prices ORDER BY model_id, effective_from")
      .toArray()
      .map(({ row }) => row);
  }

  /** Adds a price, or takes the place of the one for its model and day. @returns null where it is full */
  set(price: Omit<OperatorPrice, "revision">): OperatorPrice | null {
    const { modelId, effectiveFrom } = price;
    const { others, newest } = this.#sql
      .exec<{ others: number; newest: number }>(
        `SELECT COALESCE(SUM(model_id <> ?1 OR effective_from <> ?2), 0) AS others,
                COALESCE(MAX(revision), 0) AS newest FROM prices`,
        modelId,
        effectiveFrom,
      )
      .one();
    if (others >= MAX_PRICES) return null;
    // The time, so that a price which was removed and comes back is told from what it was.
    const revision = Math.max(this.#now(), newest + 1);
    const row: OperatorPrice = { ...price, revision };
    this.#sql.exec(
      `INSERT INTO prices (model_id, effective_from, revision, row) VALUES (?1, ?2, ?3, ?4)
       ON CONFLICT (model_id, effective_from) DO UPDATE SET revision = ?3, row = ?4`,
      modelId,
      effectiveFrom,
      revision,
      JSON.stringify(row),
    );
    return row;
  }

  /** @returns whether there was one */
  remove(modelId: string, effectiveFrom: string): boolean {
    const { rowsWritten } = this.#sql.exec(
      "DELETE FROM prices WHERE model_id = ? AND effective_from = ?",
      modelId,
      effectiveFrom,
    );
    return rowsWritten > 0;
  }
}
