/**
 * Brings an object's tables up to date when it wakes: each step runs once, in order, and is never
 * changed after it was released. Whatever older code wrote stays readable.
 *
 * @param steps SQL, one step a version; the first makes the tables of an object that is new
 */
export function migrate(
  storage: Pick<DurableObjectStorage, "sql" | "transactionSync">,
  steps: readonly string[],
): void {
  const { sql } = storage;
  sql.exec(
    "CREATE TABLE IF NOT EXISTS schema_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL)",
  );
  const [row] = sql.exec<{ version: number }>("SELECT version FROM schema_version").toArray();
  const version = row?.version ?? 0;
  if (version >= steps.length) return;
  storage.transactionSync(() => {
    for (const step of steps.slice(version)) sql.exec(step);
    sql.exec("INSERT OR REPLACE INTO schema_version (one, version) VALUES (1, ?)", steps.length);
  });
}
