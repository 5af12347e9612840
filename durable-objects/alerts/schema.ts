/** The tables, one step a version; see `migrate`. */
export const SCHEMA_STEPS = [
  `CREATE TABLE IF NOT EXISTS webhooks (
     id TEXT PRIMARY KEY,
     name TEXT NOT NULL UNIQUE,
     format TEXT NOT NULL,
     kinds TEXT NOT NULL, -- JSON
     enabled INTEGER NOT NULL,
     host TEXT NOT NULL,
     sealed_address TEXT NOT NULL,
     sealed_secret TEXT,
     created_at_ms INTEGER NOT NULL,
     failures INTEGER NOT NULL DEFAULT 0, -- in a row
     next_try_at_ms INTEGER NOT NULL DEFAULT 0,
     last_success_at_ms INTEGER,
     last_failure_at_ms INTEGER,
     last_failure TEXT,
     given_up INTEGER NOT NULL DEFAULT 0
   ) WITHOUT ROWID;
   CREATE TABLE IF NOT EXISTS incidents (
     id TEXT PRIMARY KEY,
     incident TEXT NOT NULL, -- JSON, as it was told last
     kinds TEXT NOT NULL -- JSON: everything that was told of it
   ) WITHOUT ROWID;
   CREATE TABLE IF NOT EXISTS gathered (
     id TEXT NOT NULL, -- the incident's
     state TEXT NOT NULL,
     occurrence TEXT NOT NULL, -- JSON
     at_ms INTEGER NOT NULL,
     PRIMARY KEY (id, state)
   ) WITHOUT ROWID;
   CREATE TABLE IF NOT EXISTS messages (
     id TEXT PRIMARY KEY,
     at_ms INTEGER NOT NULL,
     message TEXT NOT NULL -- JSON
   ) WITHOUT ROWID;
   CREATE TABLE IF NOT EXISTS deliveries (
     seq INTEGER PRIMARY KEY AUTOINCREMENT,
     webhook_id TEXT NOT NULL,
     message_id TEXT NOT NULL,
     at_ms INTEGER NOT NULL
   );
   CREATE INDEX IF NOT EXISTS deliveries_by_webhook ON deliveries (webhook_id, seq);
   CREATE TABLE IF NOT EXISTS summary (
     one INTEGER PRIMARY KEY CHECK (one = 1),
     told_until_ms INTEGER NOT NULL -- the next one begins here
   );`,
];
