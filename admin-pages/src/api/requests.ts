import { type Answer, call } from "./client.ts";
import type { RecentRequest, UsageFilter } from "./usage.ts";

export const OUTCOMES = [
  "completed",
  "upstream_error",
  "client_closed",
  "truncated",
  "refused",
  "unsettled",
] as const;

/** One request, as the usage ledger keeps it. */
export interface RelayedRequest extends Omit<RecentRequest, "durationMs"> {
  /** Null where its end was never heard of. */
  durationMs: number | null;
  /** As upstream named it; null where none answered. */
  answeredModel: string | null;
  chosenBy: string | null;
  attempts: Attempt[];
  tokens: {
    input: number;
    output: number;
    cacheWrite5m: number;
    cacheWrite1h: number;
    cacheRead: number;
  };
  webSearches: number;
  serviceTier: string | null;
  speed: string | null;
  inferenceGeo: string | null;
  /** Its end was not seen: its output is an estimate. */
  estimated: boolean;
  priceId: string | null;
  /** False where its model had no price of its own. */
  priceKnown: boolean;
}

/** One try at one account. */
export interface Attempt {
  accountId: string;
  /** Null where no answer came. */
  status: number | null;
  verdict: string;
  durationMs: number;
}

/** Which account a request would meet now, and why. */
export interface Explanation {
  chosen: { id: string; name: string; by: string; because: string } | null;
  accounts: {
    id: string;
    name: string;
    isChosen: boolean;
    standing: string;
    until: string | null;
    isNearLimit: boolean;
    priority: number;
    weight: number;
    because: string;
  }[];
}

export interface RequestFilter extends UsageFilter {
  outcome?: string | null;
}

/** The newest first. @param before the last one's id of the page before */
export function listRequests(
  filter: RequestFilter,
  before: string | null,
  limit: number,
  signal: AbortSignal,
): Promise<Answer<{ requests: RelayedRequest[]; before: string | null }>> {
  return call("GET", "/requests", { query: { ...filter, before, limit }, signal });
}

export function readRequest(id: string, signal: AbortSignal): Promise<Answer<RelayedRequest>> {
  return call("GET", `/requests/${encodeURIComponent(id)}`, { signal });
}

export function explain(
  keyId: string,
  model: string,
  signal: AbortSignal,
): Promise<Answer<Explanation>> {
  return call("GET", "/explain", { query: { keyId, model }, signal });
}
