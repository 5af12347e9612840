import type { RequestRecord } from "../key-meter/request-record.ts";
import type { SumColumn } from "./schema.ts";

/**
 * What a meter tells of one request. A row gives one fact, or two where its lease had run out before
 * it was settled: then it counts as unsettled first, and the second fact takes that back.
 */
export interface LedgerFact {
  /** Numbers the meter's facts without end, so that the ledger knows what it has counted already. */
  seq: number;
  /** An earlier fact called this request unsettled. */
  corrects: boolean;
  request: RequestRecord;
}

/** Some of a key's facts, in their order and with none left out between them. */
export interface LedgerBatch {
  keyId: string;
  facts: LedgerFact[];
}

/** A request as the ledger shows it. */
export interface LedgerRequest extends RequestRecord {
  keyId: string;
}

export const LEDGER_OUTCOMES = [
  "completed",
  "upstream_error",
  "client_closed",
  "truncated",
  "refused",
  /** Its end was never heard of. */
  "unsettled",
] as const;

export type LedgerOutcome = (typeof LEDGER_OUTCOMES)[number];

/** Which requests are looked at; null: all. */
export interface UsageFilter {
  keyId: string | null;
  accountId: string | null;
  /** As upstream named it, else as it was asked for. */
  model: string | null;
}

/** From a full hour, in unix milliseconds, up to another one. */
export interface UsageRange {
  fromMs: number;
  toMs: number;
}

export type Sums = Record<SumColumn, number>;

export type Dimension = "account_id" | "model";

/** Sums over some requests that share what they are grouped by; what is not grouped by is null. */
export interface GroupSums {
  account_id: string | null;
  /** Empty where no account served. */
  model: string | null;
  sums: Sums;
}

/** Sums over everything that a ledger ever counted. */
export interface LifetimeSums {
  /** Empty where none served. */
  accountId: string;
  /** As the price table names it, or `other`. */
  model: string;
  sums: Sums;
}

/** What is shown of a key's use: without outcomes and times. */
export type KeySums = { key_id: string } & Pick<Sums, KeySumColumn>;

export const KEY_SUM_COLUMNS = [
  "requests",
  "completed",
  "unsettled",
  "estimated",
  "input_tokens",
  "output_tokens",
  "write_5m_tokens",
  "write_1h_tokens",
  "read_tokens",
  "web_searches",
  "cost_nano",
] as const satisfies readonly SumColumn[];

export type KeySumColumn = (typeof KEY_SUM_COLUMNS)[number];

export interface KeySumsQuery extends UsageRange {
  filter: UsageFilter;
  /** The dearest first, or by id, beginning after one. */
  order: { by: "cost" } | { by: "id"; after: string };
  limit: number;
}

export interface TrendQuery {
  filter: UsageFilter;
  /** When each bucket begins, in unix milliseconds and ascending; full hours. */
  starts: number[];
  /** When the last one ends. */
  toMs: number;
  /** Every bucket is a whole UTC day or more, so that days may be read in place of their hours. */
  utcDays: boolean;
}

export interface RecentQuery extends UsageFilter {
  outcome: LedgerOutcome | null;
  /** Only requests that began before this one. */
  before: string | null;
  limit: number;
}

/** What a ledger still knows. */
export interface LedgerReach {
  /** The first hour that sums are kept of by hour, and the first day by day; null: none is. */
  firstHourMs: number | null;
  firstDayMs: number | null;
}
