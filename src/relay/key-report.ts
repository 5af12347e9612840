import type { UsageReport, UsageSums } from "../../durable-objects/key-meter/usage-report.ts";
import type { KeyRecord } from "../keys/key-record.ts";
import { nanoDollarsToUsd } from "../upstream/cost.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** `GET /api/v1/usage`: shapes of docs/api.md, superset of the reference system's. */
export function usageAnswer(key: KeyRecord, usage: UsageReport, nowMs: number) {
  return {
    usage: usageOf(key, usage, nowMs),
    limits: limitsOf(key),
    timestamp: new Date(nowMs).toISOString(),
  };
}

/** `GET /api/v1/key-info`. */
export function keyInfoAnswer(key: KeyRecord, usage: UsageReport, nowMs: number) {
  return {
    keyInfo: {
      id: key.id,
      name: key.name,
      description: key.description,
      createdAt: isoOrNull(key.createdAtMs),
      expiresAt: isoOrNull(key.expiresAtMs),
      limits: limitsOf(key),
      usage: usageOf(key, usage, nowMs),
    },
    timestamp: new Date(nowMs).toISOString(),
  };
}

/** The sums of a key as the API shows them. Costs in US dollars. */
export function usageOf(key: KeyRecord, usage: UsageReport, nowMs: number) {
  const total = sumsOf(usage.total);
  const ageMs = Math.max(MINUTE_MS, nowMs - key.createdAtMs);
  const days = Math.max(1, Math.ceil(ageMs / DAY_MS));
  const perMinute = (count: number) => round2(count / (ageMs / MINUTE_MS));
  return {
    total,
    daily: sumsOf(usage.daily),
    monthly: sumsOf(usage.monthly),
    averages: {
      rpm: perMinute(total.requests),
      tpm: perMinute(total.allTokens),
      dailyRequests: round2(total.requests / days),
      dailyTokens: round2(total.allTokens / days),
    },
    byModel: usage.byModel.map((sums) => ({ model: sums.model, ...sumsOf(sums) })),
    inFlight: usage.inFlight,
  };
}

function sumsOf(sums: UsageSums) {
  const inputTokens = sums.input_tokens;
  const outputTokens = sums.output_tokens;
  const cacheCreateTokens = sums.write_5m_tokens + sums.write_1h_tokens;
  const cacheReadTokens = sums.read_tokens;
  return {
    requests: sums.requests,
    failedRequests: sums.failed,
    /** Requests whose end was not seen: their output is an estimate. */
    estimatedRequests: sums.estimated,
    /** Requests that were never settled: what they used is not known. */
    unsettledRequests: sums.unsettled,
    inputTokens,
    outputTokens,
    cacheCreateTokens,
    cacheCreate5mTokens: sums.write_5m_tokens,
    cacheCreate1hTokens: sums.write_1h_tokens,
    cacheReadTokens,
    webSearchRequests: sums.web_searches,
    tokens: inputTokens + outputTokens,
    allTokens: inputTokens + outputTokens + cacheCreateTokens + cacheReadTokens,
    cost: nanoDollarsToUsd(sums.cost_nano),
  };
}

/** Every limit that this version enforces; null: unlimited. */
function limitsOf(key: KeyRecord) {
  return { expiresAt: isoOrNull(key.expiresAtMs) };
}

function isoOrNull(atMs: number | null): string | null {
  return atMs === null ? null : new Date(atMs).toISOString();
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}
