import { type CostPeriod, type KeyLimits, periodEndMs } from "../../src/keys/key-limits.ts";
import type { LimitRefusal } from "../../src/keys/limit-refusal.ts";
import { type ModelFamily, modelFamily } from "../../src/upstream/model-names.ts";
import { SlidingWindow, type WindowMeasure } from "./sliding-window.ts";
import { COST_PERIODS, Spending } from "./spending.ts";

const MINUTE_MS = 60_000;

/** What is used of each limit, and when it resets. Costs are nano-dollars. */
export interface LimitsInUse {
  concurrency: number;
  window: { requests: number; tokens: number; cost: number; resetAtMs: number | null } | null;
  cost: Record<CostPeriod, { spent: number; resetAtMs: number | null }>;
  familyCostThisWeek: { family: ModelFamily; spent: number; resetAtMs: number | null } | null;
}

/** A request that runs. */
export interface OpenRequest {
  startedAtMs: number;
  leaseUntilMs: number;
  /** As it was asked for. */
  model: string;
}

/**
 * The limits of one key, exact under concurrency: an object runs one thing at a time, and a request
 * counts from the moment it is let in.
 */
export class Limiter {
  readonly #sql: SqlStorage;
  #spending: Spending;
  /** Open requests by id. */
  readonly #open: Map<string, OpenRequest>;
  #window: SlidingWindow | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.#spending = new Spending(sql);
    this.#open = new Map(
      sql
        .exec<{ id: string; started_at_ms: number; lease_until_ms: number; model: string }>(
          `SELECT id, started_at_ms, lease_until_ms, model FROM requests
           WHERE state = 'open' ORDER BY lease_until_ms`,
        )
        .toArray()
        .map(({ id, started_at_ms, lease_until_ms, model }) => [
          id,
          { startedAtMs: started_at_ms, leaseUntilMs: lease_until_ms, model },
        ]),
    );
  }

  /** How many requests are open. */
  get open(): number {
    return this.#open.size;
  }

  /** When the first lease of an open request runs out; null: none is open. */
  get firstLeaseEndMs(): number | null {
    // In the order in which they were let in, and every lease has the same length.
    for (const { leaseUntilMs } of this.#open.values()) return leaseUntilMs;
    return null;
  }

  /** A request that was let in and has not ended, or null. */
  findOpen(id: string): OpenRequest | null {
    return this.#open.get(id) ?? null;
  }

  /** Whether half of what may run at once is running. */
  isTight({ concurrency }: KeyLimits): boolean {
    return concurrency !== null && this.#open.size * 2 >= concurrency;
  }

  /** Which limit refuses a request for this model now, or null. */
  refusal(limits: KeyLimits, model: string, nowMs: number): LimitRefusal | null {
    return (
      this.#spendRefusal(limits, model, nowMs) ??
      this.#windowRefusal(limits, nowMs) ??
      this.#concurrencyRefusal(limits, nowMs)
    );
  }

  /** Counts a request that was let in. */
  admit(limits: KeyLimits, id: string, request: OpenRequest): void {
    const { startedAtMs } = request;
    this.#open.set(id, request);
    if (limits.window === null) return;
    this.#windowOf(limits.window.minutes, startedAtMs, id).begin(id, startedAtMs);
  }

  /** Counts what a request used, once it has ended. */
  settle(
    id: string,
    used: { tokens: number; cost: number; model: string; startedAtMs: number },
    nowMs: number,
  ): void {
    this.#open.delete(id);
    this.#spending.add(used.cost, used.model, used.startedAtMs);
    this.#window?.complete(id, used.tokens, used.cost, nowMs);
  }

  /** Reads what was spent from the rows anew, after they were written to past this class. */
  recount(): void {
    this.#spending = new Spending(this.#sql);
  }

  /** Forgets leases that ran out. They end in the order in which they began: most are not looked at. */
  sweep(nowMs: number): void {
    for (const [id, { leaseUntilMs }] of this.#open) {
      if (leaseUntilMs > nowMs) return;
      this.#open.delete(id);
    }
  }

  inUse(limits: KeyLimits, nowMs: number): LimitsInUse {
    this.sweep(nowMs);
    const window =
      limits.window === null ? null : this.#windowOf(limits.window.minutes, nowMs, null);
    const family = limits.familyCostPerWeek?.family ?? null;
    const cost = Object.fromEntries(
      COST_PERIODS.map((period) => [
        period,
        { spent: this.#spending.spent(period, nowMs), resetAtMs: periodEndMs(period, nowMs) },
      ]),
    ) as LimitsInUse["cost"];
    return {
      concurrency: this.#open.size,
      window:
        window === null
          ? null
          : {
              requests: window.used("requests", nowMs),
              tokens: window.used("tokens", nowMs),
              cost: window.used("cost", nowMs),
              resetAtMs: window.resetAtMs(nowMs),
            },
      cost,
      familyCostThisWeek:
        family === null
          ? null
          : {
              family,
              spent: this.#spending.spentByFamilyThisWeek(family, nowMs),
              resetAtMs: periodEndMs("weekly", nowMs),
            },
    };
  }

  #spendRefusal(limits: KeyLimits, model: string, nowMs: number): LimitRefusal | null {
    const limitOf: Record<CostPeriod, number | null> = {
      daily: limits.costPerDay,
      weekly: limits.costPerWeek,
      monthly: limits.costPerMonth,
      total: limits.costTotal,
    };
    for (const period of COST_PERIODS) {
      const limit = limitOf[period];
      if (limit === null || this.#spending.spent(period, nowMs) < limit) continue;
      return spendLimitReached(period, null, limit, nowMs);
    }
    const { familyCostPerWeek } = limits;
    if (familyCostPerWeek === null || familyCostPerWeek.family !== modelFamily(model)) return null;
    const { family, cost } = familyCostPerWeek;
    if (this.#spending.spentByFamilyThisWeek(family, nowMs) < cost) return null;
    return spendLimitReached("weekly", family, cost, nowMs);
  }

  #windowRefusal({ window: limit }: KeyLimits, nowMs: number): LimitRefusal | null {
    if (limit === null) return null;
    const measures: [WindowMeasure, number | null][] = [
      ["requests", limit.requests],
      ["tokens", limit.tokens],
      ["cost", limit.cost],
    ];
    let latest: Extract<LimitRefusal, { kind: "window_reached" }> | null = null;
    for (const [measure, most] of measures) {
      if (most === null) continue;
      const window = this.#windowOf(limit.minutes, nowMs, null);
      if (window.used(measure, nowMs) < most) continue;
      const freeAtMs = window.freeAtMs(measure, most, nowMs);
      // A request passes when the last of the limits that refuse it is free again.
      const later =
        latest === null ||
        freeAtMs === null ||
        (latest.freeAtMs !== null && freeAtMs > latest.freeAtMs);
      if (!later) continue;
      latest = { kind: "window_reached", measure, limit: most, minutes: limit.minutes, freeAtMs };
    }
    return latest;
  }

  #concurrencyRefusal({ concurrency }: KeyLimits, nowMs: number): LimitRefusal | null {
    if (concurrency === null || this.#open.size < concurrency) return null;
    this.sweep(nowMs);
    return this.#open.size < concurrency
      ? null
      : { kind: "concurrency_reached", limit: concurrency };
  }

  /**
   * The window of this length, read from the rows where it is not in memory.
   *
   * @param except a request that is in the rows already and is about to be added
   */
  #windowOf(minutes: number, nowMs: number, except: string | null): SlidingWindow {
    const lengthMs = minutes * MINUTE_MS;
    if (this.#window?.lengthMs === lengthMs) return this.#window;
    const window = new SlidingWindow(lengthMs);
    const rows = this.#sql.exec<WindowRow>(
      `SELECT id, state, started_at_ms AS at, cost_nano AS cost,
              input_tokens + output_tokens + write_5m_tokens + write_1h_tokens + read_tokens AS tokens
       FROM requests WHERE started_at_ms > ? ORDER BY id`,
      nowMs - lengthMs,
    );
    for (const { id, state, at, tokens, cost } of rows) {
      if (id === except) continue;
      // One that was swept may still be settled late: it is not over either.
      if (state === "settled") window.recall(id, at, tokens, cost);
      else window.begin(id, at);
    }
    this.#window = window;
    return window;
  }
}

type WindowRow = { id: string; state: string; at: number; tokens: number; cost: number };

function spendLimitReached(
  period: CostPeriod,
  family: ModelFamily | null,
  limit: number,
  nowMs: number,
): LimitRefusal {
  // A limit of 0 never lets anything through, whenever the period ends.
  const resetAtMs = limit === 0 ? null : periodEndMs(period, nowMs);
  return { kind: "spend_limit_reached", period, family, limit, resetAtMs };
}
