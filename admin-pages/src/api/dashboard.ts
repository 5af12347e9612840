import { type Answer, call } from "./client.ts";
import type { UsageFilter, UsageRange, Use } from "./usage.ts";

/** The state of everything, as of now. Today is that of the time zone that was asked for. */
export interface Dashboard {
  overview: {
    totalApiKeys: number;
    activeApiKeys: number;
    /** False where there are more keys than an overview looks at. */
    allApiKeysCounted: boolean;
    totalClaudeAccounts: number;
    activeClaudeAccounts: number;
    totalRequestsUsed: number;
    totalCost: number;
    totalUnsettledRequests: number;
  };
  recentActivity: {
    requestsToday: number;
    failedRequestsToday: number;
    inputTokensToday: number;
    outputTokensToday: number;
    cacheCreateTokensToday: number;
    cacheReadTokensToday: number;
    allTokensToday: number;
    costToday: number;
  };
  /** Over the hour before this one and what has passed of this one. */
  systemAverages: { rpm: number; tpm: number };
  systemHealth: { keyStore: string; ledgerShards: number; version: string };
  timestamp: string;
}

export interface ModelUse extends Use {
  model: string;
  unlistedRequests: number;
  averageFirstByteMs: number | null;
  averageDurationMs: number | null;
}

export function readDashboard(timeZone: string, signal: AbortSignal): Promise<Answer<Dashboard>> {
  return call("GET", "/dashboard", { query: { timeZone }, signal });
}

/** The dearest first. */
export function readModels(
  query: UsageRange & UsageFilter,
  signal: AbortSignal,
): Promise<Answer<{ models: ModelUse[] }>> {
  return call("GET", "/model-stats", { query: { ...query }, signal });
}
