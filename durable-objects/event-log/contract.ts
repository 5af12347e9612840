import type { LogLevel } from "../../src/config.ts";
import type { Category, LogEvent } from "../../src/events/log-event.ts";

/** The name of the one EventLog object. */
export const EVENT_LOG_NAME = "events";

/** Events on their way from one isolate, in the order of their numbers. */
export interface EventBatch {
  /** The isolate; one at a time is on its way. */
  source: string;
  /** Grows by one with each batch. A batch that comes again has the number that it had. */
  number: number;
  events: LogEvent[];
}

/** An event as it is kept, and as the admin API shows it. */
export interface StoredEvent extends Omit<LogEvent, "atMs"> {
  id: number;
  /** ISO 8601; by the clock of where it happened, so it may step back where ids do not. */
  at: string;
}

export interface EventFilter {
  /** The lowest level. */
  level: LogLevel;
  /** Null: all. */
  categories: Category[] | null;
  requestId: string | null;
}

export interface EventPage {
  /** The newest first. */
  events: StoredEvent[];
  /** What to give as `before` for the page after this one; null: there is none. */
  next: number | null;
  /** The newest event of all, matching or not: where a live log can go on. 0: none yet. */
  newestId: number;
}

/** What a live log is asked for. */
export interface LiveRequest {
  filter: EventFilter;
  /** Every event after this one comes first; null: only those to come. */
  after: number | null;
  sessionId: string;
  sessionEndsAtMs: number;
}

/** What goes to whoever looks on. */
export type LiveMessage =
  | { type: "hello"; oldestId: number; newestId: number }
  /** `upTo` is where it stands, beyond events that the filter left out: the id to resume after. */
  | { type: "events"; events: StoredEvent[]; upTo: number }
  /** These ids were asked for and are no longer kept. */
  | { type: "gap"; from: number; to: number };

/** Why the relay ends a live log. */
export const CLOSE = {
  malformed: { code: 4400, reason: "Only ping and acknowledgements are understood here." },
  sessionEnded: { code: 4401, reason: "The session has ended. Sign in again." },
  tooSlow: {
    code: 4408,
    reason: "Nothing was acknowledged for too long. Resume after the last id.",
  },
} as const;

/** How often an event happened, for one reason where it is counted by reason. */
export interface EventCount {
  event: string;
  /** Empty: it has none, or is not counted by it. */
  reason: string;
  times: number;
}
