import {
  MODEL_OF_REQUEST,
  SUM_COLUMNS,
  SUMS_OVER_REQUESTS,
  SUMS_OVER_ROLLUPS,
  type SumColumn,
} from "./schema.ts";

const DAY_MS = 24 * 60 * 60_000;
/** As many days as the report tells one by one, today among them. */
const DAYS_TOLD = 30;

/** Sums over some requests. Tokens are counts, cost is nano-dollars. */
export type UsageSums = Record<SumColumn, number>;

export interface UsageReport {
  total: UsageSums;
  /** The current UTC day and month. */
  daily: UsageSums;
  monthly: UsageSums;
  byModel: (UsageSums & { model: string })[];
  /** The last thirty UTC days, those without use too, the oldest first. An older meter tells none. */
  byDay?: (UsageSums & { startMs: number })[];
  /** Requests that are running now. */
  inFlight: number;
}

/** What a key has used: the folded sums and the rows that are not folded yet, together. */
export function readUsage(sql: SqlStorage, nowMs: number): UsageReport {
  const now = new Date(nowMs);
  const year = now.getUTCFullYear();
  const month = now.getUTCMonth();
  const byModel = sql
    .exec<UsageSums & { model: string }>(
      `SELECT model, ${SUMS_OVER_ROLLUPS} FROM (
         SELECT * FROM lifetime
         UNION ALL
         SELECT ${MODEL_OF_REQUEST}, ${SUMS_OVER_REQUESTS} FROM requests WHERE state <> 'open' GROUP BY 1
       ) GROUP BY model ORDER BY cost_nano DESC, model`,
    )
    .toArray();
  const { open } = sql
    .exec<{ open: number }>("SELECT COUNT(*) AS open FROM requests WHERE state = 'open'")
    .one();
  return {
    total: addUp(byModel),
    daily: since(sql, Date.UTC(year, month, now.getUTCDate())),
    monthly: since(sql, Date.UTC(year, month, 1)),
    byModel,
    byDay: byDay(sql, Date.UTC(year, month, now.getUTCDate())),
    inFlight: open,
  };
}

function byDay(sql: SqlStorage, todayMs: number): (UsageSums & { startMs: number })[] {
  const firstMs = todayMs - (DAYS_TOLD - 1) * DAY_MS;
  const rows = sql
    .exec<UsageSums & { startMs: number }>(
      `SELECT day AS startMs, ${SUMS_OVER_ROLLUPS} FROM (
         SELECT hour_ms - hour_ms % ?2 AS day, ${SUMS_OVER_ROLLUPS} FROM hourly
         WHERE hour_ms >= ?1 GROUP BY 1
         UNION ALL
         SELECT started_at_ms - started_at_ms % ?2, ${SUMS_OVER_REQUESTS} FROM requests
         WHERE state <> 'open' AND started_at_ms >= ?1 GROUP BY 1
       ) GROUP BY day`,
      firstMs,
      DAY_MS,
    )
    .toArray();
  const used = new Map(rows.map((row) => [row.startMs, row]));
  return Array.from({ length: DAYS_TOLD }, (_, index) => {
    const startMs = firstMs + index * DAY_MS;
    return used.get(startMs) ?? { ...addUp([]), startMs };
  });
}

/** Whether no request has been counted here yet. */
export function isUnused(sql: SqlStorage): boolean {
  return ["requests", "lifetime"].every(
    (table) => sql.exec(`SELECT 1 FROM ${table} LIMIT 1`).toArray().length === 0,
  );
}

function since(sql: SqlStorage, startMs: number): UsageSums {
  return addUp(
    sql
      .exec<UsageSums>(
        `SELECT ${SUMS_OVER_ROLLUPS} FROM hourly WHERE hour_ms >= ?1
         UNION ALL
         SELECT ${SUMS_OVER_REQUESTS} FROM requests WHERE state <> 'open' AND started_at_ms >= ?1`,
        startMs,
      )
      .toArray(),
  );
}

function addUp(rows: readonly UsageSums[]): UsageSums {
  const sums = Object.fromEntries(SUM_COLUMNS.map((column) => [column, 0])) as UsageSums;
  for (const row of rows) {
    // SQL's SUM over no row is null.
    for (const column of SUM_COLUMNS) sums[column] += row[column] ?? 0;
  }
  return sums;
}
