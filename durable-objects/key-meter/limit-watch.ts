import type { KeyLimits } from "../../src/keys/key-limits.ts";
import type { KeyLevel } from "../alerts/contract.ts";
import type { LimitsInUse } from "./limiter.ts";

/** From this fraction of a limit on its key is near it, and below the second one it has room again. */
const NEAR = 0.9;
const ROOM = 0.8;
const NANO_A_DOLLAR = 1e9;
/** How soon a sliding window is looked at again, whose requests leave one by one. */
const LOOK_AGAIN_MS = 60_000;

type Level = KeyLevel["level"];

interface Use {
  limit: string;
  used: number;
  most: number;
  /** Said only where something has changed: figures are compared with every settlement. */
  reason: () => string;
  untilMs: number | null;
}

/**
 * Which limits of a key were told as near or reached. A settlement only compares figures
 * that are in memory, and sets the meter's alarm where one has changed; the alarm tells.
 */
export class LimitWatch {
  readonly #sql: SqlStorage;
  /** By limit; those that are not here have room. */
  readonly #told: Map<string, Level>;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const rows = sql
      .exec<{ name: string; level: Level }>("SELECT name, level FROM told_limits")
      .toArray();
    this.#told = new Map(rows.map(({ name, level }) => [name, level]));
  }

  /** Whether there is anything to look at: most keys have no limit that fills up. */
  concerns({ concurrency, ...limits }: KeyLimits): boolean {
    return this.#told.size > 0 || Object.values(limits).some((limit) => limit !== null);
  }

  /** What has changed since it was told: once for each level of each limit's period. */
  changes(limits: KeyLimits, inUse: LimitsInUse, keyId: string, atMs: number): KeyLevel[] {
    const told = new Map(this.#told);
    const uses = usesOf(limits, inUse);
    const changed: KeyLevel[] = [];
    for (const { limit, used, most, reason, untilMs } of uses) {
      const before = told.get(limit) ?? "none";
      told.delete(limit);
      const level = levelOf(used / most, before);
      if (level !== before) changed.push({ keyId, limit, level, reason: reason(), untilMs, atMs });
    }
    // A limit that was lifted leaves room, too.
    for (const limit of told.keys()) {
      const reason = "this limit was lifted";
      changed.push({ keyId, limit, level: "none", reason, untilMs: null, atMs });
    }
    return changed;
  }

  /** These were heard of. */
  note(changes: readonly KeyLevel[]): void {
    for (const { limit, level } of changes) {
      if (level === "none") {
        this.#told.delete(limit);
        this.#sql.exec("DELETE FROM told_limits WHERE name = ?", limit);
      } else {
        this.#told.set(limit, level);
        this.#sql.exec(
          "INSERT OR REPLACE INTO told_limits (name, level) VALUES (?, ?)",
          limit,
          level,
        );
      }
    }
  }

  /** When to look again although nothing was used; null: there is no need. */
  looksAgainAtMs(limits: KeyLimits, inUse: LimitsInUse, nowMs: number): number | null {
    const ends = usesOf(limits, inUse)
      .filter(({ limit, untilMs }) => this.#told.has(limit) && untilMs !== null)
      .map(({ limit, untilMs }) =>
        limit.startsWith("window.") ? nowMs + LOOK_AGAIN_MS : (untilMs ?? nowMs),
      );
    return ends.length === 0 ? null : Math.min(...ends) + 1;
  }
}

/** What was reached stays so until there is room again: else a window would be told at each request. */
function levelOf(fraction: number, before: Level): Level {
  if (fraction >= 1) return "reached";
  if (fraction >= NEAR) return before === "reached" ? "reached" : "near";
  return fraction >= ROOM ? before : "none";
}

/** Every limit that can fill up. One of 0 blocks on purpose; concurrency comes and goes. */
function usesOf(limits: KeyLimits, inUse: LimitsInUse): Use[] {
  const uses: Use[] = [];
  const add = (
    limit: string,
    most: number | null,
    used: number,
    reason: () => string,
    at: number | null,
  ) => {
    if (most !== null && most > 0) uses.push({ limit, most, used, reason, untilMs: at });
  };
  const cost = (most: number | null, used: number, period: string) => () =>
    `${dollars(used)} of ${dollars(most ?? 0)} ${period}`;
  const periods = [
    ["costPerDay", "daily", "for the day (UTC)"],
    ["costPerWeek", "weekly", "for the week (UTC)"],
    ["costPerMonth", "monthly", "for the month (UTC)"],
    ["costTotal", "total", "in total"],
  ] as const;
  for (const [limit, period, words] of periods) {
    const { spent, resetAtMs } = inUse.cost[period];
    add(limit, limits[limit], spent, cost(limits[limit], spent, words), resetAtMs);
  }
  const { familyCostPerWeek, window } = limits;
  if (familyCostPerWeek !== null && inUse.familyCostThisWeek !== null) {
    const { family, spent, resetAtMs } = inUse.familyCostThisWeek;
    const words = `for ${family} models in the week (UTC)`;
    add(
      "familyCostPerWeek",
      familyCostPerWeek.cost,
      spent,
      cost(familyCostPerWeek.cost, spent, words),
      resetAtMs,
    );
  }
  if (window !== null && inUse.window !== null) {
    const { requests, tokens, cost: spent, resetAtMs } = inUse.window;
    const words = `within ${window.minutes} minutes`;
    add(
      "window.requests",
      window.requests,
      requests,
      () => `${requests} of ${window.requests} requests ${words}`,
      resetAtMs,
    );
    add(
      "window.tokens",
      window.tokens,
      tokens,
      () => `${tokens} of ${window.tokens} tokens ${words}`,
      resetAtMs,
    );
    add("window.cost", window.cost, spent, cost(window.cost, spent, words), resetAtMs);
  }
  return uses;
}

function dollars(nano: number): string {
  return `$${(nano / NANO_A_DOLLAR).toFixed(2)}`;
}
