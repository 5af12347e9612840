import {
  type KeySums,
  LEDGER_OUTCOMES,
  type LedgerRequest,
  type Sums,
} from "../../durable-objects/usage-ledger/contract.ts";
import {
  FIRST_BYTE_BUCKETS_MS,
  FIRST_BYTE_COLUMNS,
} from "../../durable-objects/usage-ledger/schema.ts";
import { outcomeOf } from "../../durable-objects/usage-ledger/sums.ts";
import { sumsOf } from "../relay/key-report.ts";
import { nanoDollarsToUsd } from "../upstream/cost.ts";
import type { CsvRow } from "./csv.ts";

/** Sums as every answer shows them. Costs in US dollars. */
export function shownUse(sums: Omit<KeySums, "key_id">) {
  return sumsOf({ ...sums, failed: sums.requests - sums.completed });
}

/** … with how requests ended, and how long they took. */
export function shownSums(sums: Sums) {
  const answered = FIRST_BYTE_COLUMNS.reduce((all, column) => all + sums[column], 0);
  return {
    ...shownUse(sums),
    /** Requests whose model had no price of its own. */
    unlistedRequests: sums.unlisted,
    outcomes: Object.fromEntries(LEDGER_OUTCOMES.map((outcome) => [outcome, sums[outcome]])),
    averageFirstByteMs: answered === 0 ? null : Math.round(sums.first_byte_ms / answered),
    averageDurationMs: sums.requests === 0 ? null : Math.round(sums.duration_ms / sums.requests),
  };
}

/** How many first bytes came within each time; null: later than all of them. */
export function shownHistogram(sums: Sums) {
  return FIRST_BYTE_COLUMNS.map((column, index) => ({
    upToMs: FIRST_BYTE_BUCKETS_MS[index] ?? null,
    requests: sums[column],
  }));
}

export const USE_HEADS = [
  "requests",
  "failedRequests",
  "estimatedRequests",
  "unsettledRequests",
  "inputTokens",
  "outputTokens",
  "cacheCreate5mTokens",
  "cacheCreate1hTokens",
  "cacheReadTokens",
  "webSearchRequests",
  "allTokens",
  "cost",
] as const;

export function useCells(sums: Omit<KeySums, "key_id">): CsvRow {
  const shown = shownUse(sums);
  return USE_HEADS.map((name) => shown[name]);
}

/** Times in ISO 8601, cost in US dollars. */
export function shownLedgerRequest(request: LedgerRequest) {
  const { startedAtMs, costNanoDollars, ...rest } = request;
  return {
    ...rest,
    outcome: outcomeOf(request),
    startedAt: new Date(startedAtMs).toISOString(),
    cost: nanoDollarsToUsd(costNanoDollars),
  };
}

export const REQUEST_HEADS = [
  "id",
  "startedAt",
  "keyId",
  "accountId",
  "model",
  "answeredModel",
  "outcome",
  "status",
  "chosenBy",
  "attempts",
  "firstByteMs",
  "durationMs",
  "inputTokens",
  "outputTokens",
  "cacheCreate5mTokens",
  "cacheCreate1hTokens",
  "cacheReadTokens",
  "webSearchRequests",
  "serviceTier",
  "speed",
  "inferenceGeo",
  "estimated",
  "cost",
  "priceId",
] as const;

export function requestCells(request: LedgerRequest): CsvRow {
  const { tokens } = request;
  return [
    request.id,
    new Date(request.startedAtMs).toISOString(),
    request.keyId,
    request.accountId,
    request.model,
    request.answeredModel,
    outcomeOf(request),
    request.status,
    request.chosenBy,
    request.attempts.length,
    request.firstByteMs,
    request.durationMs,
    tokens.input,
    tokens.output,
    tokens.cacheWrite5m,
    tokens.cacheWrite1h,
    tokens.cacheRead,
    request.webSearches,
    request.serviceTier,
    request.speed,
    request.inferenceGeo,
    request.estimated,
    nanoDollarsToUsd(request.costNanoDollars),
    request.priceId,
  ];
}
