import type { ModelFamily } from "../upstream/model-names.ts";

/** Amounts are nano-dollars, periods are UTC calendar periods; null: unlimited, 0: blocks all. */
export interface KeyLimits {
  /** Requests running at once. */
  concurrency: number | null;
  /** Over the last so many minutes, sliding: no double burst at a border. */
  window: WindowLimit | null;
  costPerDay: number | null;
  /** Weeks begin on Monday. */
  costPerWeek: number | null;
  costPerMonth: number | null;
  costTotal: number | null;
  /** For the models of one family only. */
  familyCostPerWeek: { family: ModelFamily; cost: number } | null;
}

export interface WindowLimit {
  minutes: number;
  requests: number | null;
  tokens: number | null;
  cost: number | null;
}

export const UNLIMITED: KeyLimits = {
  concurrency: null,
  window: null,
  costPerDay: null,
  costPerWeek: null,
  costPerMonth: null,
  costTotal: null,
  familyCostPerWeek: null,
};

/** The longest sliding window: a day. Its requests are held in the meter's memory. */
export const WINDOW_MAX_MINUTES = 24 * 60;

export type CostPeriod = "daily" | "weekly" | "monthly" | "total";

const DAY_MS = 24 * 60 * 60_000;

/** When the period that `atMs` lies in began; 0 for the total. */
export function periodStartMs(period: CostPeriod, atMs: number): number {
  const at = new Date(atMs);
  const year = at.getUTCFullYear();
  const month = at.getUTCMonth();
  const day = at.getUTCDate();
  switch (period) {
    case "daily":
      return Date.UTC(year, month, day);
    case "weekly":
      return Date.UTC(year, month, day - ((at.getUTCDay() + 6) % 7));
    case "monthly":
      return Date.UTC(year, month);
    case "total":
      return 0;
  }
}

/** When it ends and its limit begins anew; null for the total. */
export function periodEndMs(period: CostPeriod, atMs: number): number | null {
  const startMs = periodStartMs(period, atMs);
  switch (period) {
    case "daily":
      return startMs + DAY_MS;
    case "weekly":
      return startMs + 7 * DAY_MS;
    case "monthly": {
      const start = new Date(startMs);
      return Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1);
    }
    case "total":
      return null;
  }
}
