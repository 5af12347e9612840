import { Hono } from "hono";
import type { Sums } from "../../durable-objects/usage-ledger/contract.ts";
import { DAY_MS, HOUR_MS } from "../../durable-objects/usage-ledger/schema.ts";
import { dayStarts, hoursFit, localTime } from "../ledger/time-zone.ts";
import type { UsageReader } from "../ledger/usage-reader.ts";
import { type CsvRow, csvAnswer } from "./csv.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import { accountNames, keyNames } from "./names.ts";
import {
  type Asked,
  type QueryName,
  readAsked,
  readFilter,
  readGranularity,
  readKeysLimit,
  readRange,
  type TimeRange,
} from "./usage-query.ts";
import { shownHistogram, shownSums, shownUse, USE_HEADS, useCells } from "./usage-shapes.ts";

/** A page of a CSV: more would take long in one go, less would ask too often. */
const BUCKETS_A_PAGE = 750;
const KEYS_A_PAGE = 2_000;

/** `/admin/usage-trend`, `/admin/model-stats`, `/admin/usage-costs` */
export const usageRoutes = new Hono<AdminEnv>()
  .get("/usage-trend", async (c) => {
    const asked = askedOf(c, "trend");
    if (typeof asked === "string") return failure(c, "bad_request", asked);
    const granularity = readGranularity(asked);
    if (!granularity.ok) return failure(c, "bad_request", granularity.error);
    const filter = readFilter(asked);
    if (!filter.ok) return failure(c, "bad_request", filter.error);
    const range = await rangeOf(c, asked, granularity.value);
    if (typeof range === "string") return failure(c, "bad_request", range);
    const { timeZone, toMs } = range;
    const starts = bucketStarts(range, granularity.value);
    const ask = (from: number[], until: number) =>
      reader(c).trend({
        filter: filter.value,
        starts: from,
        toMs: until,
        utcDays: granularity.value === "day" && timeZone === "UTC",
      });
    if (wantsCsv(c)) {
      const heads = ["start", ...USE_HEADS];
      return csvAnswer(c, `usage-by-${granularity.value}`, heads, trendPages(ask, starts, range));
    }
    const trend = await ask(starts, toMs);
    return success(c, {
      granularity: granularity.value,
      ...shownRange(range),
      /** False where hours of UTC do not fit into the zone's: its days begin a part of an hour late. */
      exact: starts.every((startMs) => hoursFit(timeZone, startMs)),
      points: trend.map((sums, index) => ({
        start: localTime(timeZone, starts[index] ?? toMs),
        ...shownSums(sums),
      })),
    });
  })

  .get("/model-stats", async (c) => {
    const asked = askedOf(c, "models");
    if (typeof asked === "string") return failure(c, "bad_request", asked);
    const filter = readFilter(asked);
    if (!filter.ok) return failure(c, "bad_request", filter.error);
    const range = await rangeOf(c, asked, "day");
    if (typeof range === "string") return failure(c, "bad_request", range);
    const models = await reader(c).sums(range, filter.value, ["model"]);
    if (wantsCsv(c)) {
      const rows = models.map(({ model, sums }): CsvRow => [model, ...useCells(sums)]);
      return csvAnswer(c, "usage-by-model", ["model", ...USE_HEADS], onePage(rows));
    }
    return success(c, {
      ...shownRange(range),
      models: models.map(({ model, sums }) => ({
        model,
        ...shownSums(sums),
        firstByteHistogram: shownHistogram(sums),
      })),
    });
  })

  .get("/usage-costs", async (c) => {
    const asked = askedOf(c, "costs");
    if (typeof asked === "string") return failure(c, "bad_request", asked);
    const filter = readFilter(asked);
    if (!filter.ok) return failure(c, "bad_request", filter.error);
    const limit = readKeysLimit(asked);
    if (!limit.ok) return failure(c, "bad_request", limit.error);
    const by = asked.get("by") ?? "key";
    if (by !== "key" && by !== "account") {
      return failure(c, "bad_request", "by says what the lines of a CSV are: key or account.");
    }
    const range = await rangeOf(c, asked, "day");
    if (typeof range === "string") return failure(c, "bad_request", range);
    const query = { ...range, filter: filter.value };
    if (wantsCsv(c) && by === "key") {
      return csvAnswer(c, "usage-by-key", ["keyId", "name", ...USE_HEADS], keyPages(c, query));
    }
    const [accounts, namesOfAccounts] = await Promise.all([
      reader(c).sums(range, filter.value, ["account_id"]),
      accountNames(c),
    ]);
    const byAccount = accounts.map(({ account_id: id, sums }) => ({
      // What no account served is shown too.
      accountId: id === "" ? null : id,
      name: namesOfAccounts.get(id ?? "") ?? null,
      sums,
    }));
    if (wantsCsv(c)) {
      const rows = byAccount.map(
        ({ accountId, name, sums }): CsvRow => [accountId, name, ...useCells(sums)],
      );
      return csvAnswer(c, "usage-by-account", ["accountId", "name", ...USE_HEADS], onePage(rows));
    }
    const [total, keys, namesOfKeys] = await Promise.all([
      reader(c).total(range, filter.value),
      reader(c).keySums({ ...query, order: { by: "cost" }, limit: limit.value }),
      keyNames(c),
    ]);
    return success(c, {
      ...shownRange(range),
      total: shownUse(total),
      byKey: keys.map(({ key_id: keyId, ...sums }) => ({
        keyId,
        name: namesOfKeys.get(keyId) ?? null,
        ...shownUse(sums),
      })),
      byAccount: byAccount.map(({ sums, ...account }) => ({ ...account, ...shownUse(sums) })),
    });
  });

/** The query, or what is wrong with it. */
export function askedOf(c: AdminContext, query: QueryName): Asked | string {
  const asked = readAsked(new URL(c.req.url).searchParams, query);
  return asked.ok ? asked.value : asked.error;
}

export function reader(c: AdminContext): UsageReader {
  return c.get("services").usage;
}

export function wantsCsv(c: AdminContext): boolean {
  return (c.req.header("accept") ?? "").toLowerCase().includes("text/csv");
}

export async function* onePage(rows: CsvRow[]): AsyncGenerator<CsvRow[]> {
  yield rows;
}

/**
 * The range, once it is one that can be answered. Of what lies before the hours that are kept, only
 * whole days of UTC are known. A CSV begins where the ledger does, however early it is asked for.
 */
async function rangeOf(
  c: AdminContext,
  asked: Asked,
  granularity: "hour" | "day",
): Promise<TimeRange | string> {
  const nowMs = Date.now();
  const isCsv = wantsCsv(c);
  const read = readRange(asked, granularity, nowMs, !isCsv);
  if (!read.ok) return read.error;
  const range = read.value;
  const { hourlyDays } = c.get("services").config.ledger;
  const hoursFromMs = floorDay(nowMs - hourlyDays * DAY_MS);
  if (range.fromMs >= hoursFromMs) return range;
  const inUtcDays = granularity === "day" && range.timeZone === "UTC";
  if (isCsv) {
    const { firstHourMs, firstDayMs } = await reader(c).reach();
    const firstMs = (inUtcDays ? firstDayMs : null) ?? firstHourMs ?? range.toMs;
    const fromMs = Math.max(range.fromMs, firstMs);
    return { ...range, fromMs, toMs: Math.max(fromMs, Math.min(range.toMs, ceilHour(nowMs))) };
  }
  if (inUtcDays) {
    const isOver = range.toMs < hoursFromMs;
    const toMs = isOver ? floorDay(range.toMs + DAY_MS - 1) : range.toMs;
    return { ...range, fromMs: floorDay(range.fromMs), toMs };
  }
  const since = new Date(hoursFromMs).toISOString().slice(0, 10);
  return `Sums by hour are kept for ${hourlyDays} days. Before ${since} only whole days of UTC are known: ask by day and without a timeZone, or from then on.`;
}

function bucketStarts(
  { fromMs, toMs, timeZone }: TimeRange,
  granularity: "hour" | "day",
): number[] {
  if (fromMs >= toMs) return [];
  if (granularity === "day") {
    // The first one begins where the range does.
    return dayStarts(timeZone, fromMs, toMs).map((startMs) => Math.max(startMs, fromMs));
  }
  return Array.from({ length: (toMs - fromMs) / HOUR_MS }, (_, hour) => fromMs + hour * HOUR_MS);
}

function shownRange({ fromMs, toMs, timeZone }: TimeRange) {
  return { timeZone, from: localTime(timeZone, fromMs), to: localTime(timeZone, toMs) };
}

/** Buckets in which nothing happened are left out: a long range would be mostly them. */
async function* trendPages(
  ask: (starts: number[], untilMs: number) => Promise<Sums[]>,
  starts: readonly number[],
  { timeZone, toMs }: TimeRange,
): AsyncGenerator<CsvRow[]> {
  for (let at = 0; at < starts.length; at += BUCKETS_A_PAGE) {
    const page = starts.slice(at, at + BUCKETS_A_PAGE);
    const trend = await ask(page, starts[at + BUCKETS_A_PAGE] ?? toMs);
    const rows: CsvRow[] = [];
    for (const [index, sums] of trend.entries()) {
      const start = localTime(timeZone, page[index] ?? toMs);
      if (sums.requests > 0) rows.push([start, ...useCells(sums)]);
    }
    yield rows;
  }
}

async function* keyPages(
  c: AdminContext,
  query: Omit<Parameters<UsageReader["keySums"]>[0], "order" | "limit">,
): AsyncGenerator<CsvRow[]> {
  const names = await keyNames(c);
  let after = "";
  for (;;) {
    const keys = await reader(c).keySums({
      ...query,
      order: { by: "id", after },
      limit: KEYS_A_PAGE,
    });
    yield keys.map(({ key_id: id, ...sums }) => [id, names.get(id) ?? null, ...useCells(sums)]);
    const last = keys.at(-1);
    if (last === undefined || keys.length < KEYS_A_PAGE) return;
    after = last.key_id;
  }
}

function floorDay(atMs: number): number {
  return Math.floor(atMs / DAY_MS) * DAY_MS;
}

function ceilHour(atMs: number): number {
  return Math.ceil(atMs / HOUR_MS) * HOUR_MS;
}
