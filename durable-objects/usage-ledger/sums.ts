import type { RequestRecord } from "../key-meter/request-record.ts";
import type { LedgerOutcome, Sums } from "./contract.ts";
import { FIRST_BYTE_BUCKETS_MS, FIRST_BYTE_COLUMNS, SUM_COLUMNS } from "./schema.ts";

export function noSums(): Sums {
  return Object.fromEntries(SUM_COLUMNS.map((column) => [column, 0])) as Sums;
}

export function addSums(sum: Sums, part: Sums): void {
  for (const column of SUM_COLUMNS) sum[column] += part[column];
}

export function outcomeOf({ state, outcome }: RequestRecord): LedgerOutcome {
  return state === "settled" ? (outcome ?? "completed") : "unsettled";
}

/** The model that a request is summed under: as upstream named it, else as it was asked for. */
export function modelOf({ answeredModel, model }: RequestRecord): string {
  return answeredModel ?? model;
}

/** What one request adds to the sums. */
export function sumsOf(request: RequestRecord): Sums {
  const sums = noSums();
  sums.requests = 1;
  sums[outcomeOf(request)] = 1;
  sums.estimated = request.estimated ? 1 : 0;
  sums.unlisted = request.priceKnown ? 0 : 1;
  sums.input_tokens = request.tokens.input;
  sums.output_tokens = request.tokens.output;
  sums.write_5m_tokens = request.tokens.cacheWrite5m;
  sums.write_1h_tokens = request.tokens.cacheWrite1h;
  sums.read_tokens = request.tokens.cacheRead;
  sums.web_searches = request.webSearches;
  sums.cost_nano = request.costNanoDollars;
  sums.duration_ms = request.durationMs ?? 0;
  const { firstByteMs } = request;
  if (firstByteMs !== null) {
    sums.first_byte_ms = firstByteMs;
    const bucket = FIRST_BYTE_BUCKETS_MS.findIndex((bound) => firstByteMs <= bound);
    const column = FIRST_BYTE_COLUMNS.at(bucket);
    if (column !== undefined) sums[column] = 1;
  }
  return sums;
}

/**
 * What takes back that a request was counted as unsettled. Nothing else was known of it then, so it
 * is the same for every request.
 */
export function unsettledTakenBack(): Sums {
  const sums = noSums();
  sums.requests = -1;
  sums.unsettled = -1;
  return sums;
}
