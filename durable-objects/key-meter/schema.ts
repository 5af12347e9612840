/**
 * One `requests` row is lease, ledger line and outbox in one: written at admission, completed at
 * settlement, told to the usage ledger, folded into the hourly and lifetime sums an hour after it
 * began, or once no sliding window counts it any more. Request ids begin with their time, so the
 * primary key is also the index by time, and a row costs one write.
 */
const TABLES = `
  CREATE TABLE IF NOT EXISTS policy (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    policy TEXT NOT NULL,
    stored TEXT, -- the whole key record and its hash; null where only a request brought the policy
    activated_at_ms INTEGER -- the first request
  );
  CREATE TABLE IF NOT EXISTS requests (
    id TEXT PRIMARY KEY,
    started_at_ms INTEGER NOT NULL,
    lease_until_ms INTEGER NOT NULL,
    state TEXT NOT NULL, -- open, settled, unsettled (its lease ran out)
    model TEXT NOT NULL, -- as requested, bounded
    answered_model TEXT,
    outcome TEXT,
    status INTEGER,
    account_id TEXT,
    attempts TEXT,
    first_byte_ms INTEGER,
    duration_ms INTEGER,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    write_5m_tokens INTEGER NOT NULL DEFAULT 0,
    write_1h_tokens INTEGER NOT NULL DEFAULT 0,
    read_tokens INTEGER NOT NULL DEFAULT 0,
    web_searches INTEGER NOT NULL DEFAULT 0,
    service_tier TEXT,
    speed TEXT,
    inference_geo TEXT,
    estimated INTEGER NOT NULL DEFAULT 0,
    cost_nano INTEGER NOT NULL DEFAULT 0,
    price_id TEXT,
    price_known INTEGER NOT NULL DEFAULT 1
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS hourly (
    hour_ms INTEGER NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    unsettled INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    write_5m_tokens INTEGER NOT NULL,
    write_1h_tokens INTEGER NOT NULL,
    read_tokens INTEGER NOT NULL,
    web_searches INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL,
    PRIMARY KEY (hour_ms, model)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS lifetime (
    model TEXT PRIMARY KEY,
    requests INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    unsettled INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    write_5m_tokens INTEGER NOT NULL,
    write_1h_tokens INTEGER NOT NULL,
    read_tokens INTEGER NOT NULL,
    web_searches INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS threads (
    message_id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    made_at_ms INTEGER NOT NULL
  ) WITHOUT ROWID;
`;

/** The tables, one step a version; see `migrate`. */
export const SCHEMA_STEPS = [
  TABLES,
  `ALTER TABLE requests ADD COLUMN chosen_by TEXT; -- what decided for the account
   CREATE TABLE IF NOT EXISTS sessions (
     session TEXT PRIMARY KEY,
     account_id TEXT NOT NULL, -- served it last
     used_at_ms INTEGER NOT NULL
   ) WITHOUT ROWID;`,
  // What ended before there was an outbox is told as well. It cannot have been told before.
  `ALTER TABLE requests ADD COLUMN swept_seq INTEGER; -- the number of the fact that its lease ran out
   ALTER TABLE requests ADD COLUMN settled_seq INTEGER; -- the number of the fact that it was settled
   CREATE TABLE IF NOT EXISTS delivery (
     one INTEGER PRIMARY KEY CHECK (one = 1),
     shard INTEGER NOT NULL, -- the ledger's shard that this key began with, and stays with
     delivered_seq INTEGER NOT NULL -- facts up to here are in the ledger
   );
   UPDATE requests SET settled_seq = numbered.seq
   FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS seq FROM requests WHERE state = 'settled')
     AS numbered
   WHERE requests.id = numbered.id;
   UPDATE requests SET swept_seq = numbered.seq
   FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id)
           + (SELECT COUNT(*) FROM requests WHERE state = 'settled') AS seq
         FROM requests WHERE state = 'unsettled') AS numbered
   WHERE requests.id = numbered.id;`,
  // When every delivery that was made soon will have been made up for.
  "ALTER TABLE delivery ADD COLUMN soon_spent_until_ms INTEGER NOT NULL DEFAULT 0",
  `CREATE TABLE IF NOT EXISTS told_limits (
     name TEXT PRIMARY KEY, -- of the limit
     level TEXT NOT NULL -- near or reached, as people were told
   ) WITHOUT ROWID;`,
];

/** The sums that `hourly` and `lifetime` keep, as SQL over `requests`. Order as in SUM_COLUMNS. */
export const SUM_COLUMNS = [
  "requests",
  "failed",
  "estimated",
  "unsettled",
  "input_tokens",
  "output_tokens",
  "write_5m_tokens",
  "write_1h_tokens",
  "read_tokens",
  "web_searches",
  "cost_nano",
] as const;

export type SumColumn = (typeof SUM_COLUMNS)[number];

const SUM_OF: Record<SumColumn, string> = {
  requests: "COUNT(*)",
  failed: "SUM(outcome IS NULL OR outcome <> 'completed')",
  estimated: "SUM(estimated)",
  unsettled: "SUM(state = 'unsettled')",
  input_tokens: "SUM(input_tokens)",
  output_tokens: "SUM(output_tokens)",
  write_5m_tokens: "SUM(write_5m_tokens)",
  write_1h_tokens: "SUM(write_1h_tokens)",
  read_tokens: "SUM(read_tokens)",
  web_searches: "SUM(web_searches)",
  cost_nano: "SUM(cost_nano)",
};

export const SUMS_OVER_REQUESTS = SUM_COLUMNS.map(
  (column) => `${SUM_OF[column]} AS ${column}`,
).join(", ");
export const SUMS_OVER_ROLLUPS = SUM_COLUMNS.map((column) => `SUM(${column}) AS ${column}`).join(
  ", ",
);
/** The model that sums are kept under: as upstream named it, else as it was asked for. */
export const MODEL_OF_REQUEST = "COALESCE(answered_model, model)";

const COLUMN_LIST = SUM_COLUMNS.join(", ");
const ADD_UP = SUM_COLUMNS.map((column) => `${column} = ${column} + excluded.${column}`).join(", ");

/** Ended, older than ?1, and in the ledger with every fact up to ?2. */
const IS_FOLDABLE = `id < ?1 AND state <> 'open'
  AND COALESCE(swept_seq, 0) <= ?2 AND COALESCE(settled_seq, 0) <= ?2`;

export const FOLD_INTO_HOURLY = `
  INSERT INTO hourly (hour_ms, model, ${COLUMN_LIST})
  SELECT started_at_ms - started_at_ms % 3600000, ${MODEL_OF_REQUEST}, ${SUMS_OVER_REQUESTS}
  FROM requests WHERE ${IS_FOLDABLE} GROUP BY 1, 2
  ON CONFLICT (hour_ms, model) DO UPDATE SET ${ADD_UP}`;

export const FOLD_INTO_LIFETIME = `
  INSERT INTO lifetime (model, ${COLUMN_LIST})
  SELECT ${MODEL_OF_REQUEST}, ${SUMS_OVER_REQUESTS}
  FROM requests WHERE ${IS_FOLDABLE} GROUP BY 1
  ON CONFLICT (model) DO UPDATE SET ${ADD_UP}`;

export const INSERT_LIFETIME = `
  INSERT INTO lifetime (model, ${COLUMN_LIST})
  VALUES (?, ${SUM_COLUMNS.map(() => "?").join(", ")})`;

export const DELETE_FOLDED = `DELETE FROM requests WHERE ${IS_FOLDABLE}`;

/** Completes a row, once: whatever comes twice changes nothing. Order of the values as in `Meter.settle`. */
export const COMPLETE_REQUEST = `
  UPDATE requests SET
    state = 'settled', outcome = ?2, status = ?3, account_id = ?4, attempts = ?5,
    first_byte_ms = ?6, duration_ms = ?7, answered_model = ?8,
    input_tokens = ?9, output_tokens = ?10, write_5m_tokens = ?11, write_1h_tokens = ?12,
    read_tokens = ?13, web_searches = ?14, service_tier = ?15, speed = ?16,
    inference_geo = ?17, estimated = ?18, cost_nano = ?19, price_id = ?20, price_known = ?21,
    chosen_by = ?22, settled_seq = ?23
  WHERE id = ?1 AND state <> 'settled'`;
