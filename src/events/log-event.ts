import type { LogLevel } from "../config.ts";

/** The levels, lowest first. */
export const LEVELS = ["debug", "info", "warn", "error"] as const satisfies readonly LogLevel[];

/** What an event is about: for filters, and few enough to be remembered. */
export const CATEGORIES = ["request", "account", "admin", "system"] as const;
export type Category = (typeof CATEGORIES)[number];

/** Categories by the first part of an event's name; whatever is not listed is the system's own. */
const CATEGORY_OF: Record<string, Category> = {
  request: "request",
  meter: "request",
  settle: "request",
  account: "account",
  admin: "admin",
  audit: "admin",
};

/** Longer texts are cut: an event says what happened, it carries no contents. */
const TEXT_MAX_CHARS = 300;
const DETAIL_MAX_FIELDS = 12;

export type DetailValue = string | number | boolean | null;

/** One line of the log, as the event log keeps it. */
export interface LogEvent {
  atMs: number;
  level: LogLevel;
  category: Category;
  /** `request.refused`, `account.refreshed` … */
  event: string;
  requestId: string | null;
  keyId: string | null;
  accountId: string | null;
  /** What else the line says; flat and bounded. */
  detail: Record<string, DetailValue>;
}

/** Where lines go besides the console. It never throws, and nobody waits for it. */
export type EventNote = (event: LogEvent) => void;

export function rankOf(level: LogLevel): number {
  return LEVELS.indexOf(level);
}

export function categoryOf(event: string): Category {
  return CATEGORY_OF[event.slice(0, event.indexOf("."))] ?? "system";
}

/** @param fields the line's fields; the three ids stand for themselves, the rest is detail */
export function logEvent(
  level: LogLevel,
  event: string,
  fields: Record<string, unknown>,
  atMs: number,
): LogEvent {
  const { requestId, keyId, accountId, ...rest } = fields;
  return {
    atMs,
    level,
    category: categoryOf(event),
    event,
    requestId: idOf(requestId),
    keyId: idOf(keyId),
    accountId: idOf(accountId),
    detail: Object.fromEntries(
      Object.entries(rest)
        .filter(([, value]) => value !== undefined)
        .slice(0, DETAIL_MAX_FIELDS)
        .map(([name, value]) => [name, bounded(value)]),
    ),
  };
}

function idOf(value: unknown): string | null {
  return typeof value === "string" ? value.slice(0, TEXT_MAX_CHARS) : null;
}

function bounded(value: unknown): DetailValue {
  if (typeof value === "number" || typeof value === "boolean" || value === null) return value;
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.slice(0, TEXT_MAX_CHARS);
}
