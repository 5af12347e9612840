import { type Answer, call } from "./client.ts";

export const LEVELS = ["debug", "info", "warn", "error"] as const;
export type Level = (typeof LEVELS)[number];

export const CATEGORIES = ["request", "account", "admin", "system"] as const;
export type Category = (typeof CATEGORIES)[number];

export interface LogEvent {
  /** Only grows, where times may step back. */
  id: number;
  at: string;
  level: Level;
  category: Category;
  event: string;
  requestId: string | null;
  keyId: string | null;
  accountId: string | null;
  detail: Record<string, string | number | boolean | null>;
}

export interface LogFilter {
  /** The lowest one. */
  level?: Level;
  category?: Category | null;
  requestId?: string | null;
}

export interface LogPage {
  /** The newest first. */
  events: LogEvent[];
  /** For the page after this one; null on the last. */
  next: number | null;
  /** The newest of all, matching or not: a live log after it misses nothing. */
  newestId: number;
}

export interface AuditEntry {
  id: number;
  at: string;
  actor: string;
  action: string;
  target: string | null;
  /** `begun` stays where an act was cut short. */
  outcome: string;
  detail: Record<string, unknown>;
}

export function readLogs(
  filter: LogFilter,
  before: number | null,
  limit: number,
  signal?: AbortSignal,
): Promise<Answer<LogPage>> {
  return call("GET", "/logs", {
    query: { ...filter, before, limit },
    ...(signal === undefined ? {} : { signal }),
  });
}

/** The newest first. @param before the id of the last one seen */
export function readAudit(
  before: number | null,
  limit: number,
  signal: AbortSignal,
): Promise<Answer<{ entries: AuditEntry[] }>> {
  return call("GET", "/audit", { query: { before, limit }, signal });
}
