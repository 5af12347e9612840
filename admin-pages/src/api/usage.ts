import { type Answer, call } from "./client.ts";

/** Sums as every answer has them. Cost in US dollars. */
export interface Use {
  requests: number;
  failedRequests: number;
  estimatedRequests: number;
  unsettledRequests: number;
  inputTokens: number;
  outputTokens: number;
  cacheCreateTokens: number;
  cacheCreate5mTokens: number;
  cacheCreate1hTokens: number;
  cacheReadTokens: number;
  webSearchRequests: number;
  tokens: number;
  allTokens: number;
  cost: number;
}

export interface KeyUsage {
  total: Use;
  daily: Use;
  monthly: Use;
  averages: { rpm: number; tpm: number; dailyRequests: number; dailyTokens: number };
  byModel: (Use & { model: string })[];
  /** The last days by UTC, the oldest first. */
  byDay: (Use & { date: string })[];
  inFlight: number;
}

/** A limit and what is used of it; null: unlimited. */
export interface LimitInUse {
  limit: number | null;
  used: number;
  resetsAt?: string | null;
}

/** Every limit of a key, and what is used of it now. */
export interface KeyInUse {
  expiresAt: string | null;
  concurrency: LimitInUse;
  window: {
    minutes: number;
    requests: LimitInUse;
    tokens: LimitInUse;
    cost: LimitInUse;
    resetsAt: string | null;
  } | null;
  dailyCost: LimitInUse;
  weeklyCost: LimitInUse;
  monthlyCost: LimitInUse;
  totalCost: LimitInUse;
  weeklyFamilyCost: (LimitInUse & { family: string }) | null;
}

export interface UsageFilter {
  keyId?: string | null;
  accountId?: string | null;
  model?: string | null;
}

export interface UsageRange {
  /** A day, or a time with its zone. */
  from?: string;
  to?: string;
  timeZone: string;
}

export type Outcomes = Record<string, number>;

export interface TrendPoint extends Use {
  /** In the time zone that was asked for, with its offset. */
  start: string;
  outcomes: Outcomes;
  averageFirstByteMs: number | null;
  averageDurationMs: number | null;
}

export interface Trend {
  granularity: "hour" | "day";
  timeZone: string;
  from: string;
  to: string;
  exact: boolean;
  points: TrendPoint[];
}

export interface UsageCosts {
  total: Use;
  byKey: (Use & { keyId: string; name: string | null })[];
  byAccount: (Use & { accountId: string | null; name: string | null })[];
}

export function readTrend(
  query: { granularity: "hour" | "day" } & UsageRange & UsageFilter,
  signal: AbortSignal,
): Promise<Answer<Trend>> {
  return call("GET", "/usage-trend", { query: { ...query }, signal });
}

/** @param query.limit how many keys, the dearest first; 1000 at the most */
export function readUsageCosts(
  query: UsageRange & UsageFilter & { limit?: number },
  signal: AbortSignal,
): Promise<Answer<UsageCosts>> {
  return call("GET", "/usage-costs", { query: { ...query }, signal });
}

/** One of the newest requests, as far as lists show it. */
export interface RecentRequest {
  id: string;
  startedAt: string;
  keyId: string;
  accountId: string | null;
  model: string;
  outcome: string;
  status: number | null;
  durationMs: number;
  firstByteMs: number | null;
  cost: number;
}

export function readRequests(
  query: UsageFilter & { outcome?: string | null; before?: string | null; limit?: number },
  signal: AbortSignal,
): Promise<Answer<{ requests: RecentRequest[]; before: string | null }>> {
  return call("GET", "/requests", { query: { ...query }, signal });
}
