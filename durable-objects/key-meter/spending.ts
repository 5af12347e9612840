import { type CostPeriod, periodStartMs } from "../../src/keys/key-limits.ts";
import { type ModelFamily, modelFamily } from "../../src/upstream/model-names.ts";
import { MODEL_OF_REQUEST } from "./schema.ts";

export const COST_PERIODS = ["daily", "weekly", "monthly", "total"] as const;

/**
 * What a key has spent in the current periods, in nano-dollars: read from the rows once, then
 * counted along, and read anew when a period ends.
 */
export class Spending {
  readonly #sql: SqlStorage;
  readonly #periods = new Map<CostPeriod, { startMs: number; cost: number }>();
  #week: { startMs: number; byFamily: Map<ModelFamily, number> } | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  spent(period: CostPeriod, nowMs: number): number {
    const startMs = periodStartMs(period, nowMs);
    const known = this.#periods.get(period);
    if (known !== undefined && known.startMs === startMs) return known.cost;
    const cost = period === "total" ? this.#lifetime() : this.#since(startMs);
    this.#periods.set(period, { startMs, cost });
    return cost;
  }

  spentByFamilyThisWeek(family: ModelFamily, nowMs: number): number {
    const startMs = periodStartMs("weekly", nowMs);
    if (this.#week === null || this.#week.startMs !== startMs) {
      this.#week = { startMs, byFamily: this.#familiesSince(startMs) };
    }
    return this.#week.byFamily.get(family) ?? 0;
  }

  /** Adds what a request cost. It counts in the periods that it began in. */
  add(cost: number, model: string, startedAtMs: number): void {
    for (const period of this.#periods.values()) {
      if (startedAtMs >= period.startMs) period.cost += cost;
    }
    if (this.#week !== null && startedAtMs >= this.#week.startMs) {
      const family = modelFamily(model);
      this.#week.byFamily.set(family, (this.#week.byFamily.get(family) ?? 0) + cost);
    }
  }

  #lifetime(): number {
    return this.#sum(
      `SELECT (SELECT COALESCE(SUM(cost_nano), 0) FROM lifetime)
            + (SELECT COALESCE(SUM(cost_nano), 0) FROM requests) AS cost`,
    );
  }

  #since(startMs: number): number {
    return this.#sum(
      `SELECT (SELECT COALESCE(SUM(cost_nano), 0) FROM hourly WHERE hour_ms >= ?1)
            + (SELECT COALESCE(SUM(cost_nano), 0) FROM requests WHERE started_at_ms >= ?1) AS cost`,
      startMs,
    );
  }

  #sum(query: string, ...bindings: number[]): number {
    return this.#sql.exec<{ cost: number }>(query, ...bindings).one().cost;
  }

  #familiesSince(startMs: number): Map<ModelFamily, number> {
    const byFamily = new Map<ModelFamily, number>();
    const rows = this.#sql.exec<{ model: string; cost: number }>(
      `SELECT model, SUM(cost_nano) AS cost FROM hourly WHERE hour_ms >= ?1 GROUP BY model
       UNION ALL
       SELECT ${MODEL_OF_REQUEST}, SUM(cost_nano) FROM requests WHERE started_at_ms >= ?1 GROUP BY 1`,
      startMs,
    );
    for (const { model, cost } of rows) {
      const family = modelFamily(model);
      byFamily.set(family, (byFamily.get(family) ?? 0) + cost);
    }
    return byFamily;
  }
}
