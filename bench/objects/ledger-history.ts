import { randomUUID } from "node:crypto";
import {
  DAY_MS,
  HOUR_MS,
  ROLLUPS,
  SUM_COLUMNS,
  type SumColumn,
} from "../../durable-objects/usage-ledger/schema.ts";
import type { ObjectCall, Probe } from "./probe.ts";

/** What each key did with each model in each hour of its work. */
const IN_AN_HOUR: Partial<Record<SumColumn, number>> = {
  requests: 12,
  completed: 12,
  input_tokens: 14_000,
  output_tokens: 4_200,
  read_tokens: 480_000,
  cost_nano: 300_000_000,
  first_byte_ms: 7_200,
  duration_ms: 24_000,
  first_byte_3: 12,
};
/** A working day, in UTC. */
const FIRST_HOUR = 8;

export interface HistoryShape {
  days: number;
  hoursADay: number;
  keys: number;
  models: number;
  /** Each key is on one of them. */
  accounts: number;
}

export interface History {
  keyIds: string[];
  /** When its first day begins. */
  fromMs: number;
  /** When the hour after its last one begins, at the latest. */
  toMs: number;
  requests: number;
  /** Rows of sums by key and hour. */
  rows: number;
}

/**
 * Writes months of use into a shard of the ledger: the rows by hour as its own statements would, over
 * all keys and by key; then it folds them into days itself. The days end with yesterday.
 */
export async function writeHistory(
  probe: Probe,
  ledger: Pick<ObjectCall, "binding" | "name">,
  shape: HistoryShape,
): Promise<History> {
  const { days, hoursADay, keys, models, accounts } = shape;
  const toMs = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const fromMs = toMs - days * DAY_MS;
  const accountIds = Array.from({ length: accounts }, () => randomUUID());
  const users = Array.from({ length: keys }, () => randomUUID())
    .sort()
    .map((id, index) => ({ id, account: accountIds[index % accounts] }));
  const names = Array.from({ length: models }, (_, index) => `claude-model-${index}`);
  let rows = 0;
  for (let dayMs = fromMs; dayMs < toMs; dayMs += DAY_MS) {
    const hours = Array.from(
      { length: hoursADay },
      (_, hour) => dayMs + (FIRST_HOUR + hour) * HOUR_MS,
    );
    const run = (sql: string, bindings: unknown[]) =>
      probe.call<{ rowsWritten: number }>({ ...ledger, method: "runSql", args: [sql, bindings] });
    const lists = [hours, users, names].map((list) => JSON.stringify(list));
    rows += (await run(KEY_HOURS, lists)).rowsWritten;
    await run(HOURS, [dayMs, dayMs + DAY_MS]);
  }
  await probe.call({ ...ledger, method: "tidy", args: [] });
  const requests = days * hoursADay * keys * models * (IN_AN_HOUR.requests ?? 0);
  return { keyIds: users.map(({ id }) => id), fromMs, toMs, requests, rows };
}

const SUMS = SUM_COLUMNS.join(", ");

/** In the order of the primary key: pages are filled one after the other. */
const KEY_HOURS = `
  INSERT INTO key_hours (start_ms, ${ROLLUPS.key_hours.join(", ")}, ${SUMS})
  SELECT hour.value, user.value ->> 'id', user.value ->> 'account', model.value,
         ${SUM_COLUMNS.map((column) => IN_AN_HOUR[column] ?? 0).join(", ")}
  FROM json_each(?1) AS hour CROSS JOIN json_each(?2) AS user CROSS JOIN json_each(?3) AS model`;

const HOURS = `
  INSERT INTO hours (start_ms, ${ROLLUPS.hours.join(", ")}, ${SUMS})
  SELECT start_ms, ${ROLLUPS.hours.join(", ")},
         ${SUM_COLUMNS.map((column) => `SUM(${column})`).join(", ")}
  FROM key_hours WHERE start_ms >= ?1 AND start_ms < ?2
  GROUP BY start_ms, ${ROLLUPS.hours.join(", ")}`;
