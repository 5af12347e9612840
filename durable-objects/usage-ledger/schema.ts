/** Upper bounds of the histogram of times to the first byte; what takes longer has a place of its own. */
export const FIRST_BYTE_BUCKETS_MS = [
  100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200,
] as const;

/** What every rollup sums up. Released columns stay as they are; a new one comes with a step. */
export const SUM_COLUMNS = [
  "requests",
  "completed",
  "upstream_error",
  "client_closed",
  "truncated",
  "refused",
  "unsettled",
  "estimated",
  "unlisted",
  "input_tokens",
  "output_tokens",
  "write_5m_tokens",
  "write_1h_tokens",
  "read_tokens",
  "web_searches",
  "cost_nano",
  "first_byte_ms",
  "duration_ms",
  "first_byte_0",
  "first_byte_1",
  "first_byte_2",
  "first_byte_3",
  "first_byte_4",
  "first_byte_5",
  "first_byte_6",
  "first_byte_7",
  "first_byte_8",
  "first_byte_9",
  "first_byte_10",
] as const;

export type SumColumn = (typeof SUM_COLUMNS)[number];

/** The histogram's columns, one a bucket, and the last for what is over all bounds. */
export const FIRST_BYTE_COLUMNS = SUM_COLUMNS.filter((column) => /^first_byte_\d+$/.test(column));

const FIRST_SUMS = `
    requests INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    upstream_error INTEGER NOT NULL,
    client_closed INTEGER NOT NULL,
    truncated INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    unsettled INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    unlisted INTEGER NOT NULL, -- their model had no price of its own
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    write_5m_tokens INTEGER NOT NULL,
    write_1h_tokens INTEGER NOT NULL,
    read_tokens INTEGER NOT NULL,
    web_searches INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    first_byte_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    first_byte_0 INTEGER NOT NULL,
    first_byte_1 INTEGER NOT NULL,
    first_byte_2 INTEGER NOT NULL,
    first_byte_3 INTEGER NOT NULL,
    first_byte_4 INTEGER NOT NULL,
    first_byte_5 INTEGER NOT NULL,
    first_byte_6 INTEGER NOT NULL,
    first_byte_7 INTEGER NOT NULL,
    first_byte_8 INTEGER NOT NULL,
    first_byte_9 INTEGER NOT NULL,
    first_byte_10 INTEGER NOT NULL`;

/**
 * Sums by hour, once over all keys and once by key: a chart over all keys must not read a thousand
 * keys' rows, and one key's must not read the others'. Days are folded from hours once they are over.
 * Every primary key begins with the time, so that a range is one walk along it, and one key's hours
 * are looked up one by one; a second index would be a second write with each batch.
 */
const TABLES = `
  CREATE TABLE IF NOT EXISTS hours (
    start_ms INTEGER NOT NULL,
    account_id TEXT NOT NULL, -- empty: none served
    model TEXT NOT NULL,${FIRST_SUMS},
    PRIMARY KEY (start_ms, account_id, model)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS days (
    start_ms INTEGER NOT NULL,
    account_id TEXT NOT NULL,
    model TEXT NOT NULL,${FIRST_SUMS},
    PRIMARY KEY (start_ms, account_id, model)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS key_hours (
    start_ms INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    model TEXT NOT NULL,${FIRST_SUMS},
    PRIMARY KEY (start_ms, key_id, account_id, model)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS key_days (
    start_ms INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    model TEXT NOT NULL,${FIRST_SUMS},
    PRIMARY KEY (start_ms, key_id, account_id, model)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS sources (
    key_id TEXT PRIMARY KEY,
    counted_seq INTEGER NOT NULL -- facts of this key up to here are in the sums
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    folded_until_ms INTEGER NOT NULL -- days before this are folded
  );
  CREATE TABLE IF NOT EXISTS blocks (
    at INTEGER PRIMARY KEY, -- when its newest request began, and a number that tells blocks apart
    key_id TEXT NOT NULL,
    oldest_id TEXT NOT NULL,
    requests INTEGER NOT NULL,
    facets TEXT NOT NULL, -- which accounts, models and outcomes are in it
    body TEXT NOT NULL -- the requests, as JSON
  );
  CREATE INDEX IF NOT EXISTS blocks_by_key ON blocks (key_id, at);
`;

/** The tables, one step a version; see `migrate`. */
export const SCHEMA_STEPS = [TABLES];

/** The tables of sums, and what besides the time they are kept by. */
export const ROLLUPS = {
  hours: ["account_id", "model"],
  days: ["account_id", "model"],
  key_hours: ["key_id", "account_id", "model"],
  key_days: ["key_id", "account_id", "model"],
} as const;

export type Rollup = keyof typeof ROLLUPS;

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

const SUM_LIST = SUM_COLUMNS.join(", ");
const ADD_UP = SUM_COLUMNS.map((column) => `${column} = ${column} + excluded.${column}`).join(", ");

/** Adds a row of sums: the time, what the table is kept by, then the sums in their order. */
export function addToRollup(table: Rollup): string {
  const keys = ["start_ms", ...ROLLUPS[table]];
  const places = [...keys, ...SUM_COLUMNS].map(() => "?").join(", ");
  return `INSERT INTO ${table} (${keys.join(", ")}, ${SUM_LIST}) VALUES (${places})
          ON CONFLICT (${keys.join(", ")}) DO UPDATE SET ${ADD_UP}`;
}

/** Sums up hours from ?1 to ?2 into their days. */
export function foldIntoDays(hours: Rollup, days: Rollup): string {
  const keys = ROLLUPS[hours];
  return `INSERT INTO ${days} (start_ms, ${keys.join(", ")}, ${SUM_LIST})
          SELECT start_ms - start_ms % ${DAY_MS} AS day_ms, ${keys.join(", ")}, ${totals(SUM_COLUMNS)}
          FROM ${hours} WHERE start_ms >= ?1 AND start_ms < ?2
          GROUP BY day_ms, ${keys.join(", ")}
          ON CONFLICT (start_ms, ${keys.join(", ")}) DO UPDATE SET ${ADD_UP}`;
}

/**
 * TOTAL, not SUM: that fails where sums pass 64 bits, and one absurd number would then hide all.
 * It is exact as far as a JavaScript number is.
 */
export function totals(columns: readonly SumColumn[]): string {
  return columns.map((column) => `TOTAL(${column}) AS ${column}`).join(", ");
}
