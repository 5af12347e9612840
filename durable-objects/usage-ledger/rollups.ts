import type { LedgerRetention } from "../../src/ledger/retention.ts";
import type {
  Dimension,
  GroupSums,
  KeySums,
  KeySumsQuery,
  LedgerFact,
  LedgerReach,
  Sums,
  TrendQuery,
  UsageFilter,
  UsageRange,
} from "./contract.ts";
import { KEY_SUM_COLUMNS } from "./contract.ts";
import {
  addToRollup,
  DAY_MS,
  foldIntoDays,
  HOUR_MS,
  type Rollup,
  SUM_COLUMNS,
  totals,
} from "./schema.ts";
import { addSums, modelOf, noSums, sumsOf, unsettledTakenBack } from "./sums.ts";

/** No request of this relay is older. Keeps a range without a beginning from being listed hour by hour. */
const EARLIEST_MS = Date.UTC(2026, 0, 1);

const ADD_TO: Record<Rollup, string> = {
  hours: addToRollup("hours"),
  days: addToRollup("days"),
  key_hours: addToRollup("key_hours"),
  key_days: addToRollup("key_days"),
};

/** What a batch adds to one row of each table. */
export interface Addition {
  hourMs: number;
  accountId: string;
  model: string;
  sums: Sums;
}

/** A part of a range, and whether its hours or its days are read. */
interface Segment extends UsageRange {
  by: "hours" | "days";
}

interface Source {
  /** From FROM on. */
  sql: string;
  bindings: (string | number)[];
}

/** Sums by hour and by day, over all keys of this shard and for each of them. */
export class Rollups {
  readonly #sql: SqlStorage;
  #foldedUntilMs: number;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const [row] = sql
      .exec<{ folded_until_ms: number }>("SELECT folded_until_ms FROM progress")
      .toArray();
    this.#foldedUntilMs = row?.folded_until_ms ?? 0;
  }

  /** @returns what was added */
  add(keyId: string, facts: readonly LedgerFact[]): Addition[] {
    const additions = additionsOf(facts);
    for (const { hourMs, accountId, model, sums } of additions) {
      const values = SUM_COLUMNS.map((column) => sums[column]);
      const addTo = (overAll: Rollup, ofKey: Rollup, startMs: number) => {
        this.#sql.exec(ADD_TO[overAll], startMs, accountId, model, ...values);
        this.#sql.exec(ADD_TO[ofKey], startMs, keyId, accountId, model, ...values);
      };
      addTo("hours", "key_hours", hourMs);
      // Its day was summed up without it.
      if (hourMs < this.#foldedUntilMs) addTo("days", "key_days", dayOf(hourMs));
    }
    return additions;
  }

  reach(): LedgerReach {
    const first = (table: Rollup) =>
      this.#sql.exec<{ at: number | null }>(`SELECT MIN(start_ms) AS at FROM ${table}`).one().at;
    return { firstHourMs: first("hours"), firstDayMs: first("days") };
  }

  /** Sums over a range, grouped. Days that are folded are read as days. */
  sums(range: UsageRange, filter: UsageFilter, by: readonly Dimension[]): GroupSums[] {
    const parts = this.#segments(range).map((segment) => this.#source(segment, filter));
    const select = [...by, ...SUM_COLUMNS].join(", ");
    const union = parts.map(({ sql }) => `SELECT ${select} ${sql}`).join(" UNION ALL ");
    const group = by.length === 0 ? "" : `GROUP BY ${by.join(", ")}`;
    const rows = this.#sql.exec<Record<string, string | number>>(
      `SELECT ${[...by, totals(SUM_COLUMNS)].join(", ")} FROM (${union})
       ${group} HAVING TOTAL(requests) > 0`,
      ...parts.flatMap(({ bindings }) => bindings),
    );
    return rows.toArray().map((row) => ({
      account_id: by.includes("account_id") ? String(row.account_id) : null,
      model: by.includes("model") ? String(row.model) : null,
      sums: pickSums(row),
    }));
  }

  /**
   * Sums by key over a range. First by key and time, which is the order that the rows lie in, and only
   * then by key: sorting every model's row would take twice as long.
   */
  keySums({ order, limit, filter, ...range }: KeySumsQuery): KeySums[] {
    const sums = totals(KEY_SUM_COLUMNS);
    const parts = this.#segments(range).map((segment) => this.#source(segment, filter, true));
    const union = parts
      .map(({ sql }) => `SELECT key_id, ${sums} ${sql} GROUP BY start_ms, key_id`)
      .join(" UNION ALL ");
    const after = order.by === "id" ? order.after : "";
    return this.#sql
      .exec<KeySums>(
        `SELECT key_id, ${sums} FROM (${union}) WHERE key_id > ?
         GROUP BY key_id HAVING TOTAL(requests) > 0
         ORDER BY ${order.by === "cost" ? "cost_nano DESC, key_id" : "key_id"} LIMIT ?`,
        ...parts.flatMap(({ bindings }) => bindings),
        after,
        limit,
      )
      .toArray();
  }

  /** Sums by bucket. */
  trend({ filter, starts, toMs, utcDays }: TrendQuery): Sums[] {
    const buckets = starts.map(noSums);
    const [fromMs] = starts;
    if (fromMs === undefined) return [];
    const range = { fromMs, toMs };
    const segments: Segment[] = utcDays ? this.#segments(range) : [{ ...range, by: "hours" }];
    for (const segment of segments) {
      const { sql, bindings } = this.#source(segment, filter);
      const rows = this.#sql.exec<Record<string, number>>(
        `SELECT start_ms, ${totals(SUM_COLUMNS)} ${sql} GROUP BY start_ms`,
        ...bindings,
      );
      // Both ascend: one walk along the buckets.
      let at = 0;
      for (const row of rows) {
        while ((starts[at + 1] ?? Number.POSITIVE_INFINITY) <= Number(row.start_ms)) at += 1;
        const bucket = buckets[at];
        if (bucket !== undefined) addSums(bucket, pickSums(row));
      }
    }
    return buckets;
  }

  /** Sums up the days that had ended by then. */
  fold(byMs: number): void {
    const untilMs = dayOf(byMs);
    if (untilMs <= this.#foldedUntilMs) return;
    this.#sql.exec(foldIntoDays("hours", "days"), this.#foldedUntilMs, untilMs);
    this.#sql.exec(foldIntoDays("key_hours", "key_days"), this.#foldedUntilMs, untilMs);
    this.#sql.exec(
      `INSERT INTO progress (one, folded_until_ms) VALUES (1, ?1)
       ON CONFLICT (one) DO UPDATE SET folded_until_ms = ?1`,
      untilMs,
    );
    this.#foldedUntilMs = untilMs;
  }

  /** Drops hours, and keys' days, that are older than they are kept. Never what is not folded. */
  prune({ hourlyDays, dailyDays }: LedgerRetention, nowMs: number): void {
    const before = (days: number) => Math.min(dayOf(nowMs - days * DAY_MS), this.#foldedUntilMs);
    for (const table of ["hours", "key_hours"] as const) {
      this.#sql.exec(`DELETE FROM ${table} WHERE start_ms < ?`, before(hourlyDays));
    }
    this.#sql.exec("DELETE FROM key_days WHERE start_ms < ?", before(dailyDays));
  }

  /**
   * A range in parts that are read by day where they can be. Its beginning, where it lies within a
   * day whose hours are gone, becomes that day's.
   */
  #segments({ fromMs, toMs }: UsageRange): Segment[] {
    const beginMs = Math.max(fromMs, EARLIEST_MS);
    const firstHourMs = this.reach().firstHourMs ?? Number.POSITIVE_INFINITY;
    const firstDayMs = beginMs < firstHourMs ? dayOf(beginMs) : dayOf(beginMs + DAY_MS - 1);
    const lastDayMs = Math.min(dayOf(toMs), this.#foldedUntilMs);
    const segments: Segment[] =
      firstDayMs < lastDayMs
        ? [
            { by: "hours", fromMs: beginMs, toMs: firstDayMs },
            { by: "days", fromMs: firstDayMs, toMs: lastDayMs },
            { by: "hours", fromMs: lastDayMs, toMs },
          ]
        : [{ by: "hours", fromMs: beginMs, toMs }];
    const whole = segments.filter((segment) => segment.fromMs < segment.toMs);
    return whole.length > 0 ? whole : [{ by: "hours", fromMs, toMs: fromMs }];
  }

  /** The rows of a segment that pass the filter, found along the primary key. */
  #source({ by, fromMs, toMs }: Segment, filter: UsageFilter, perKey = false): Source {
    const where: string[] = [];
    const bindings: (string | number)[] = [];
    const need = (column: string, value: string | null) => {
      if (value === null) return;
      where.push(`${column} = ?`);
      bindings.push(value);
    };
    let from: string;
    if (filter.keyId === null) {
      from = perKey ? `key_${by}` : by;
      where.push("start_ms >= ?", "start_ms < ?");
      bindings.push(fromMs, toMs);
    } else {
      // One look-up an hour, rather than a walk along every key's hours.
      from = `json_each(?) AS slot CROSS JOIN key_${by} ON start_ms = slot.value AND key_id = ?`;
      const stepMs = by === "days" ? DAY_MS : HOUR_MS;
      bindings.push(JSON.stringify(stepsOf(fromMs, toMs, stepMs)), filter.keyId);
    }
    need("account_id", filter.accountId);
    need("model", filter.model);
    return {
      sql: `FROM ${from} ${where.length > 0 ? `WHERE ${where.join(" AND ")}` : ""}`,
      bindings,
    };
  }
}

function additionsOf(facts: readonly LedgerFact[]): Addition[] {
  const additions = new Map<string, Addition>();
  const add = (startedAtMs: number, accountId: string, model: string, sums: Sums) => {
    const hourMs = startedAtMs - (startedAtMs % HOUR_MS);
    const name = JSON.stringify([hourMs, accountId, model]);
    const known = additions.get(name);
    if (known === undefined) additions.set(name, { hourMs, accountId, model, sums });
    else addSums(known.sums, sums);
  };
  for (const { request, corrects } of facts) {
    const { startedAtMs, accountId, model } = request;
    if (corrects) add(startedAtMs, "", model, unsettledTakenBack());
    add(startedAtMs, accountId ?? "", modelOf(request), sumsOf(request));
  }
  return [...additions.values()];
}

function pickSums(row: Record<string, string | number>): Sums {
  const sums = noSums();
  for (const column of SUM_COLUMNS) sums[column] = Number(row[column]);
  return sums;
}

function dayOf(atMs: number): number {
  return atMs - (atMs % DAY_MS);
}

function stepsOf(fromMs: number, toMs: number, stepMs: number): number[] {
  const steps: number[] = [];
  for (let atMs = fromMs; atMs < toMs; atMs += stepMs) steps.push(atMs);
  return steps;
}
