import type { LogEvent } from "../../src/events/log-event.ts";
import type { EventCount } from "./contract.ts";

/** Events that are counted by their reason: it is one of a fixed set of words, and not a sentence. */
const COUNTED_BY_REASON: readonly string[] = [
  "request.refused",
  "account.refresh_failed",
  "account.refresh_impossible",
  "account.unusable",
];

/** How often each event happened since there is a log, in the transaction that takes them in. */
export class EventCounts {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`
      CREATE TABLE IF NOT EXISTS event_counts (
        event TEXT NOT NULL,
        reason TEXT NOT NULL, -- empty: it has none, or none that is counted by
        times INTEGER NOT NULL,
        PRIMARY KEY (event, reason)
      ) WITHOUT ROWID;
    `);
  }

  add(events: readonly LogEvent[]): void {
    const added = new Map<string, EventCount>();
    for (const { event, detail } of events) {
      const reason =
        COUNTED_BY_REASON.includes(event) && typeof detail.reason === "string" ? detail.reason : "";
      // The sum of a row of the same events stands for all of them.
      const times = typeof detail.repeated === "number" ? detail.repeated : 1;
      const name = JSON.stringify([event, reason]);
      const known = added.get(name);
      if (known !== undefined) known.times += times;
      else added.set(name, { event, reason, times });
    }
    for (const { event, reason, times } of added.values()) {
      this.#sql.exec(
        `INSERT INTO event_counts (event, reason, times) VALUES (?1, ?2, ?3)
         ON CONFLICT (event, reason) DO UPDATE SET times = times + ?3`,
        event,
        reason,
        times,
      );
    }
  }

  read(): EventCount[] {
    return this.#sql
      .exec<{ event: string; reason: string; times: number }>(
        "SELECT event, reason, times FROM event_counts",
      )
      .toArray();
  }
}
