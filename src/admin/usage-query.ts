import {
  LEDGER_OUTCOMES,
  type LedgerOutcome,
  type UsageFilter,
  type UsageRange,
} from "../../durable-objects/usage-ledger/contract.ts";
import { DAY_MS, HOUR_MS } from "../../durable-objects/usage-ledger/schema.ts";
import { isTimeZone, localDay, nextDay, startOfDay } from "../ledger/time-zone.ts";
import { timeOf } from "../request-id.ts";
import { fail, ok, type Result } from "../result.ts";

const FILTER_MAX_CHARS = 200;
const DEFAULT_DAYS = 30;
const DEFAULT_HOURS = 24;
/** As much as a chart can show, and an answer can hold. A CSV is made in pages and has no such bound. */
const MAX_DAYS = 400;
const MAX_HOURS = 31 * 24;
/** Calendars and clocks of other centuries are none that this relay could have met. */
const FIRST_YEAR = 2000;
const LAST_YEAR = 2100;
const REQUESTS_DEFAULT = 50;
export const REQUESTS_MAX = 500;
const KEYS_DEFAULT = 100;
const KEYS_MAX = 1_000;

const FILTERS = ["keyId", "accountId", "model"] as const;
const TIMES = ["from", "to", "timeZone"] as const;

/** What each query may be asked with. */
export const ASKED_WITH = {
  dashboard: ["timeZone"],
  trend: ["granularity", ...TIMES, ...FILTERS],
  models: [...TIMES, ...FILTERS],
  costs: [...TIMES, ...FILTERS, "by", "limit"],
  requests: [...FILTERS, "outcome", "before", "limit"],
  request: [],
} as const satisfies Record<string, readonly string[]>;

export type QueryName = keyof typeof ASKED_WITH;

/** A query string, once every name in it is known. */
export type Asked = ReadonlyMap<string, string>;

/** @returns a sentence that says what is wrong, where a name is not known or comes twice */
export function readAsked(params: URLSearchParams, query: QueryName): Result<Asked, string> {
  const known: readonly string[] = ASKED_WITH[query];
  const asked = new Map<string, string>();
  for (const [name, value] of params) {
    if (!known.includes(name)) {
      const list = known.length === 0 ? "It takes none." : `There are: ${known.join(", ")}.`;
      return fail(`There is no filter ${quoted(name)} here. ${list}`);
    }
    if (asked.has(name)) return fail(`${name} is given twice. Give it once.`);
    // An empty field of a form means: not given.
    if (value !== "") asked.set(name, value);
  }
  return ok(asked);
}

export function readFilter(asked: Asked): Result<UsageFilter, string> {
  for (const name of FILTERS) {
    if ((asked.get(name)?.length ?? 0) > FILTER_MAX_CHARS) {
      return fail(`${name} has at most ${FILTER_MAX_CHARS} characters.`);
    }
  }
  return ok({
    keyId: asked.get("keyId") ?? null,
    accountId: asked.get("accountId") ?? null,
    model: asked.get("model") ?? null,
  });
}

export function readTimeZone(asked: Asked): Result<string, string> {
  const name = asked.get("timeZone") ?? "UTC";
  if (name.length <= FILTER_MAX_CHARS && isTimeZone(name)) return ok(name);
  return fail(`timeZone ${quoted(name)} is not known. Give one such as Europe/Berlin, or UTC.`);
}

export function readGranularity(asked: Asked): Result<"hour" | "day", string> {
  const value = asked.get("granularity") ?? "day";
  return value === "hour" || value === "day"
    ? ok(value)
    : fail(`granularity is hour or day, not ${quoted(value)}.`);
}

export interface TimeRange extends UsageRange {
  timeZone: string;
}

/**
 * The range that is asked for, in full hours. A day alone means its whole, in the time zone; `to` is
 * then its last day. Without one it ends now; without the other it has 30 days, or 24 hours.
 */
export function readRange(
  asked: Asked,
  granularity: "hour" | "day",
  nowMs: number,
  isBounded: boolean,
): Result<TimeRange, string> {
  const zone = readTimeZone(asked);
  if (!zone.ok) return zone;
  const timeZone = zone.value;
  const to = readTime("to", asked.get("to"), timeZone);
  if (!to.ok) return to;
  const toMs = to.value?.endMs ?? ceilHour(nowMs);
  const from = readTime("from", asked.get("from"), timeZone);
  if (!from.ok) return from;
  const fromMs = from.value?.startMs ?? defaultFrom(granularity, toMs, timeZone);
  if (fromMs >= toMs) {
    return fail("The range is turned round or empty: from must be before to.");
  }
  const [mostMs, most] =
    granularity === "hour"
      ? [MAX_HOURS * HOUR_MS, `${MAX_HOURS / 24} days by hour`]
      : [MAX_DAYS * DAY_MS, `${MAX_DAYS} days`];
  if (isBounded && toMs - fromMs > mostMs + HOUR_MS) {
    return fail(
      `The range is longer than ${most}. Ask for less, or for CSV (accept: text/csv), which has no bound.`,
    );
  }
  return ok({ fromMs, toMs, timeZone });
}

export function readOutcome(asked: Asked): Result<LedgerOutcome | null, string> {
  const value = asked.get("outcome");
  if (value === undefined) return ok(null);
  const outcome = LEDGER_OUTCOMES.find((candidate) => candidate === value);
  return outcome === undefined
    ? fail(`outcome ${quoted(value)} is not known. There are: ${LEDGER_OUTCOMES.join(", ")}.`)
    : ok(outcome);
}

export function readBefore(asked: Asked): Result<string | null, string> {
  const before = asked.get("before") ?? null;
  return before === null || timeOf(before) !== null
    ? ok(before)
    : fail("before is the id of the last request that was shown, such as rly_0m….");
}

export const readRequestsLimit = (asked: Asked) => readLimit(asked, REQUESTS_DEFAULT, REQUESTS_MAX);
export const readKeysLimit = (asked: Asked) => readLimit(asked, KEYS_DEFAULT, KEYS_MAX);

function readLimit(asked: Asked, fallback: number, most: number): Result<number, string> {
  const value = Number(asked.get("limit") ?? fallback);
  return Number.isInteger(value) && value >= 1 && value <= most
    ? ok(value)
    : fail(`limit is a whole number from 1 to ${most}.`);
}

/** A time, in full hours: `2027-03-28T12:00:00Z`, or a day, which is all of it. */
function readTime(
  name: "from" | "to",
  text: string | undefined,
  timeZone: string,
): Result<{ startMs: number; endMs: number } | null, string> {
  if (text === undefined) return ok(null);
  const wrong = `${name} is no day such as 2027-03-28, and no time with its zone such as 2027-03-28T12:00:00Z.`;
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(text);
  const isTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/.test(text);
  const atMs = isDay || isTime ? Date.parse(text) : Number.NaN;
  // A day that no month has is taken for one of the next month's by some calendars.
  const exists = isDay ? !Number.isNaN(atMs) && iso(atMs).startsWith(text) : !Number.isNaN(atMs);
  if (!exists) return fail(wrong);
  const year = new Date(atMs).getUTCFullYear();
  if (year < FIRST_YEAR || year > LAST_YEAR) {
    return fail(`${name} is not between the years ${FIRST_YEAR} and ${LAST_YEAR}.`);
  }
  if (!isDay) return ok({ startMs: floorHour(atMs), endMs: ceilHour(atMs) });
  return ok({ startMs: startOfDay(timeZone, text), endMs: startOfDay(timeZone, nextDay(text)) });
}

function defaultFrom(granularity: "hour" | "day", toMs: number, timeZone: string): number {
  if (granularity === "hour") return toMs - DEFAULT_HOURS * HOUR_MS;
  return startOfDay(timeZone, localDay(timeZone, toMs - 1 - (DEFAULT_DAYS - 1) * DAY_MS));
}

function floorHour(atMs: number): number {
  return Math.floor(atMs / HOUR_MS) * HOUR_MS;
}

function ceilHour(atMs: number): number {
  return Math.ceil(atMs / HOUR_MS) * HOUR_MS;
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}

function quoted(text: string): string {
  return `"${text.slice(0, 40)}"`;
}
