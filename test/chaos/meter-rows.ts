import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** What the meters hold of requests, counted in their databases and not asked of them. */
export interface MeterRows {
  rows: number;
  /** Leases: let in, and not settled. */
  open: number;
  /** Rows that say something which the ledger has not been told. */
  untold: number;
}

const OF_ALL_METERS = "SELECT COUNT(*) AS rows, COUNT(*) FILTER (WHERE state = 'open') AS open";
const UNTOLD = `COUNT(*) FILTER (
  WHERE MAX(COALESCE(swept_seq, 0), COALESCE(settled_seq, 0))
        > COALESCE((SELECT delivered_seq FROM delivery), 0)) AS untold`;

/** @param folder of the meters' databases; the relay may be running on it */
export function meterRows(folder: string): MeterRows {
  const sum: MeterRows = { rows: 0, open: 0, untold: 0 };
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(".sqlite") || name === "metadata.sqlite") continue;
    const database = new DatabaseSync(join(folder, name), { readOnly: true });
    const count = database.prepare(`${OF_ALL_METERS}, ${UNTOLD} FROM requests`).get() as unknown;
    database.close();
    const { rows, open, untold } = count as MeterRows;
    sum.rows += rows;
    sum.open += open;
    sum.untold += untold;
  }
  return sum;
}
