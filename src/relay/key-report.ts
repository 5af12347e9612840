import type { MeterReport } from "../../durable-objects/key-meter/contract.ts";
import type { UsageSums } from "../../durable-objects/key-meter/usage-report.ts";
import type { CostPeriod } from "../keys/key-limits.ts";
import { endOf, type KeyRecord } from "../keys/key-record.ts";
import { nanoDollarsToUsd } from "../upstream/cost.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** `2026-11-23`, the beginning of a time in ISO 8601. */
const DATE_CHARS = 10;

/** `GET /api/v1/usage`: shapes of docs/api.md, superset of the reference system's. */
export function usageAnswer(key: KeyRecord, usage: MeterReport, nowMs: number) {
  return {
    usage: usageOf(key, usage, nowMs),
    limits: limitsOf(key, usage),
    timestamp: new Date(nowMs).toISOString(),
  };
}

/** `GET /api/v1/key-info`. */
export function keyInfoAnswer(key: KeyRecord, usage: MeterReport, nowMs: number) {
  return {
    keyInfo: {
      id: key.id,
      name: key.name,
      description: key.description,
      createdAt: isoOrNull(key.createdAtMs),
      expiresAt: isoOrNull(endOf(key, usage.activatedAtMs)),
      limits: limitsOf(key, usage),
      usage: usageOf(key, usage, nowMs),
    },
    timestamp: new Date(nowMs).toISOString(),
  };
}

/** The sums of a key as the API shows them. Costs in US dollars. */
export function usageOf(key: KeyRecord, usage: MeterReport, nowMs: number) {
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
    byDay: (usage.byDay ?? []).map((sums) => ({
      date: new Date(sums.startMs).toISOString().slice(0, DATE_CHARS),
      ...sumsOf(sums),
    })),
    byModel: usage.byModel.map((sums) => ({ model: sums.model, ...sumsOf(sums) })),
    inFlight: usage.inFlight,
  };
}

/** Sums as the API shows them. */
export function sumsOf(sums: UsageSums) {
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

/** Every limit, what is used of it, and when it resets. Costs in US dollars; null: unlimited. */
export function limitsOf(key: KeyRecord, { limits, inUse, activatedAtMs }: MeterReport) {
  const cost = (limit: number | null, period: CostPeriod) => {
    const { spent, resetAtMs } = inUse.cost[period];
    return {
      limit: limit === null ? null : nanoDollarsToUsd(limit),
      used: nanoDollarsToUsd(spent),
      resetsAt: isoOrNull(resetAtMs),
    };
  };
  const { window, familyCostPerWeek } = limits;
  return {
    expiresAt: isoOrNull(endOf(key, activatedAtMs)),
    models: key.models,
    concurrency: { limit: limits.concurrency, used: inUse.concurrency },
    window:
      window === null || inUse.window === null
        ? null
        : {
            minutes: window.minutes,
            requests: { limit: window.requests, used: inUse.window.requests },
            tokens: { limit: window.tokens, used: inUse.window.tokens },
            cost: {
              limit: window.cost === null ? null : nanoDollarsToUsd(window.cost),
              used: nanoDollarsToUsd(inUse.window.cost),
            },
            /** When the oldest request of the window no longer counts. */
            resetsAt: isoOrNull(inUse.window.resetAtMs),
          },
    dailyCost: cost(limits.costPerDay, "daily"),
    weeklyCost: cost(limits.costPerWeek, "weekly"),
    monthlyCost: cost(limits.costPerMonth, "monthly"),
    totalCost: cost(limits.costTotal, "total"),
    weeklyFamilyCost:
      familyCostPerWeek === null || inUse.familyCostThisWeek === null
        ? null
        : {
            family: familyCostPerWeek.family,
            limit: nanoDollarsToUsd(familyCostPerWeek.cost),
            used: nanoDollarsToUsd(inUse.familyCostThisWeek.spent),
            resetsAt: isoOrNull(inUse.familyCostThisWeek.resetAtMs),
          },
  };
}

function isoOrNull(atMs: number | null): string | null {
  return atMs === null ? null : new Date(atMs).toISOString();
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}
