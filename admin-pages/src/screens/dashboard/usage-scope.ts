import type { UsageFilter, UsageRange } from "../../api/usage.ts";
import { timeZone } from "../../format/times.ts";

export const RANGES = ["24h", "7d", "30d", "90d"] as const;
export type Range = (typeof RANGES)[number];
export type Granularity = "hour" | "day";

const HOUR_MS = 3_600_000;
const HOURS: Record<Range, number> = { "24h": 24, "7d": 7 * 24, "30d": 30 * 24, "90d": 90 * 24 };
/** The relay answers by hour for 31 days at the most. */
const HOURLY_AT_MOST = 31 * 24;

/** One of those that were used, chosen to look at it alone. */
export interface Chosen {
  by: keyof UsageFilter;
  value: string;
  name: string;
}

/** What the charts of the dashboard are about. */
export interface UsageScope {
  range: Range;
  granularity: Granularity;
  chosen: readonly Chosen[];
}

/** A day alone has no days to compare; a quarter has more hours than can be told apart. */
export function granularitiesOf(range: Range): Granularity[] {
  if (range === "24h") return ["hour"];
  return HOURS[range] <= HOURLY_AT_MOST ? ["hour", "day"] : ["day"];
}

/** The range up to now: in whole days where days are shown, the present one among them. */
export function queryOf({ range, granularity, chosen }: UsageScope): UsageRange & UsageFilter {
  const filter = Object.fromEntries(chosen.map(({ by, value }) => [by, value]));
  const zone = timeZone.value;
  const hours = granularity === "day" ? HOURS[range] - 24 : HOURS[range] - 1;
  const from = new Date(Date.now() - hours * HOUR_MS);
  return {
    ...filter,
    timeZone: zone,
    from: granularity === "day" ? dayIn(zone, from) : from.toISOString(),
  };
}

/** 2026-11-24 */
function dayIn(zone: string, at: Date): string {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone: zone, dateStyle: "short" });
  return parts.format(at);
}
