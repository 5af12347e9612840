import { LEVELS, rankOf } from "../../src/events/log-event.ts";
import type { EventBatch, EventCount, EventFilter, EventPage, StoredEvent } from "./contract.ts";
import { EventCounts } from "./event-counts.ts";

/** The ring keeps this many events, and at most so many more until the oldest go, all at once. */
export const KEEP_EVENTS = 50_000;
export const PRUNE_EVENTS = 5_000;
const DAY_MS = 24 * 60 * 60_000;
/** Older events go with the day's alarm, however few there are. */
const KEEP_MS = 14 * DAY_MS;
const ALARM_EVERY_MS = DAY_MS;
/** A batch is not delivered again after this long: its isolate has given up, or is gone. */
const SOURCE_KEEP_MS = DAY_MS;

export interface RingDependencies {
  storage: DurableObjectStorage;
  now(): number;
}

/** The newest events, by ids that only grow. */
export class EventRing {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  readonly #now: () => number;
  readonly #counts: EventCounts;
  #oldestId = 0;
  #newestId = 0;
  #hasAlarm = false;

  constructor({ storage, now }: RingDependencies) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#now = now;
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        level INTEGER NOT NULL,
        category TEXT NOT NULL,
        event TEXT NOT NULL,
        request_id TEXT,
        key_id TEXT,
        account_id TEXT,
        detail TEXT NOT NULL
      );
      CREATE TABLE IF NOT EXISTS sources (
        id TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
      ) WITHOUT ROWID;
    `);
    this.#counts = new EventCounts(storage.sql);
    this.#readEnds();
  }

  /** The oldest event that is kept; 0: none. */
  get oldestId(): number {
    return this.#oldestId;
  }

  /** The newest event; 0: there was none yet. */
  get newestId(): number {
    return this.#newestId;
  }

  /** Takes a batch in, all of it or nothing. @returns false where it was here before */
  append({ source, number, events }: EventBatch): boolean {
    const isNew = this.#storage.transactionSync(() => {
      const known = this.#sql
        .exec<{ number: number }>("SELECT number FROM sources WHERE id = ?", source)
        .toArray()[0];
      if (known !== undefined && known.number >= number) return false;
      this.#sql.exec(
        `INSERT INTO sources (id, number, at_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET number = ?2, at_ms = ?3`,
        source,
        number,
        this.#now(),
      );
      for (const event of events) {
        this.#sql.exec(
          `INSERT INTO events (at_ms, level, category, event, request_id, key_id, account_id, detail)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
          event.atMs,
          rankOf(event.level),
          event.category,
          event.event,
          event.requestId,
          event.keyId,
          event.accountId,
          JSON.stringify(event.detail),
        );
      }
      this.#counts.add(events);
      return true;
    });
    if (!isNew || events.length === 0) return isNew;
    this.#readEnds();
    // Ids have no holes, so this counts the rows without reading them.
    const kept = this.#newestId - this.#oldestId + 1;
    if (kept >= KEEP_EVENTS + PRUNE_EVENTS) this.#forgetBefore(this.#newestId - KEEP_EVENTS + 1);
    return true;
  }

  /** How often each event happened, also those that the ring has forgotten. */
  counts(): EventCount[] {
    return this.#counts.read();
  }

  /** A page, the newest first. @param before only events with a smaller id; null: from the newest */
  page(filter: EventFilter, before: number | null, limit: number): EventPage {
    // One more than the page tells whether there is another.
    const found = this.#select(filter, 0, before ?? Number.MAX_SAFE_INTEGER, "DESC", limit + 1);
    const events = found.slice(0, limit);
    const next = found.length > limit ? (events.at(-1)?.id ?? null) : null;
    return { events, next, newestId: this.#newestId };
  }

  /** The next events after an id, the oldest first. */
  after(id: number, filter: EventFilter, limit: number): StoredEvent[] {
    return this.#select(filter, id, Number.MAX_SAFE_INTEGER, "ASC", limit);
  }

  /** Sees to it that what is old goes, even where nothing more comes. */
  async ensureAlarm(): Promise<void> {
    if (this.#hasAlarm) return;
    this.#hasAlarm = true;
    if ((await this.#storage.getAlarm()) === null) await this.#setAlarm();
  }

  async alarm(): Promise<void> {
    const nowMs = this.#now();
    this.#sql.exec("DELETE FROM sources WHERE at_ms < ?", nowMs - SOURCE_KEEP_MS);
    const fresh = this.#sql
      .exec<{ id: number }>(
        "SELECT id FROM events WHERE at_ms >= ? ORDER BY id LIMIT 1",
        nowMs - KEEP_MS,
      )
      .toArray()[0];
    // The newest one stays, whatever its age: it holds the place where ids go on.
    this.#forgetBefore(fresh?.id ?? this.#newestId);
    this.#hasAlarm = this.#newestId > this.#oldestId;
    if (this.#hasAlarm) await this.#setAlarm();
  }

  #setAlarm(): Promise<void> {
    return this.#storage.setAlarm(this.#now() + ALARM_EVERY_MS);
  }

  #forgetBefore(id: number): void {
    this.#sql.exec("DELETE FROM events WHERE id < ?", id);
    this.#readEnds();
  }

  #readEnds(): void {
    // Two look-ups at the ends of the index. Both in one query would walk all of it.
    const end = (which: "min" | "max") =>
      this.#sql.exec<{ id: number | null }>(`SELECT ${which}(id) AS id FROM events`).one().id ?? 0;
    this.#oldestId = end("min");
    this.#newestId = end("max");
  }

  /** By id alone: an index for what is filtered by would double what each event costs to write. */
  #select(
    { level, categories, requestId }: EventFilter,
    after: number,
    before: number,
    order: "ASC" | "DESC",
    limit: number,
  ): StoredEvent[] {
    return this.#sql
      .exec<EventRow>(
        `SELECT * FROM events
         WHERE id > ?1 AND id < ?2 AND level >= ?3
           AND (?4 IS NULL OR category IN (SELECT value FROM json_each(?4)))
           AND (?5 IS NULL OR request_id = ?5)
         ORDER BY id ${order} LIMIT ?6`,
        after,
        before,
        rankOf(level),
        categories === null ? null : JSON.stringify(categories),
        requestId,
        limit,
      )
      .toArray()
      .map(storedEvent);
  }
}

type EventRow = {
  id: number;
  at_ms: number;
  level: number;
  category: StoredEvent["category"];
  event: string;
  request_id: string | null;
  key_id: string | null;
  account_id: string | null;
  detail: string;
};

function storedEvent(row: EventRow): StoredEvent {
  return {
    id: row.id,
    at: new Date(row.at_ms).toISOString(),
    level: LEVELS[row.level] ?? "error",
    category: row.category,
    event: row.event,
    requestId: row.request_id,
    keyId: row.key_id,
    accountId: row.account_id,
    detail: JSON.parse(row.detail) as StoredEvent["detail"],
  };
}
