/**
 * What response headers tell of an account's limits (upstream-protocol: unified windows of
 * subscriptions, captured; API-key headers, documented). Headers carry fractions and unix seconds;
 * everything here is fractions and unix milliseconds.
 */
const UNIFIED_PREFIX = "anthropic-ratelimit-unified-";
const WINDOW_FIELD = /^(.+)-(status|reset|utilization)$/;
/** A window's name is short; anything longer is not stored. */
const WINDOW_NAME_MAX_CHARS = 32;
const MAX_WINDOWS = 16;
const STATUS_MAX_CHARS = 32;
/** Utilisation may exceed 1, but not by orders of magnitude. */
const UTILISATION_MAX = 100;
/** No window of Anthropic is longer than a week; a day of slack for clocks. */
export const MAX_RESET_AHEAD_MS = 8 * 24 * 60 * 60 * 1000;

export interface WindowState {
  status?: string;
  /** Fraction of the window that is used. */
  utilisation?: number;
  resetAtMs?: number;
}

/** By window name (`5h`, `7d`, `7d_oi` …). */
export type Windows = Record<string, WindowState>;

export interface UnifiedLimits {
  windows: Windows;
  /** When the window that binds resets; null where the header is missing or not believable. */
  resetAtMs: number | null;
  /** Whether the answer says that its windows still allow requests. */
  isAllowed: boolean;
  /** The window that binds: `five_hour`, `seven_day`, `seven_day_opus` … */
  representativeClaim: string | null;
}

/** Reads every unified header. A field that does not parse is dropped alone. */
export function readUnifiedLimits(headers: Headers, nowMs: number): UnifiedLimits {
  const windows: Windows = {};
  let count = 0;
  for (const [name, value] of headers) {
    if (!name.startsWith(UNIFIED_PREFIX)) continue;
    const match = WINDOW_FIELD.exec(name.slice(UNIFIED_PREFIX.length));
    const [, window, field] = match ?? [];
    if (window === undefined || window.length > WINDOW_NAME_MAX_CHARS) continue;
    let state = windows[window];
    if (state === undefined) {
      if (count >= MAX_WINDOWS) continue;
      count += 1;
      state = {};
    }
    if (field === "status") {
      if (value !== "" && value.length <= STATUS_MAX_CHARS) state.status = value;
    } else if (field === "reset") {
      const resetAtMs = unixSecondsHeader(value, nowMs);
      if (resetAtMs !== null) state.resetAtMs = resetAtMs;
    } else {
      const utilisation = Number(value);
      if (value !== "" && utilisation >= 0 && utilisation <= UTILISATION_MAX) {
        state.utilisation = utilisation;
      }
    }
    if (Object.keys(state).length > 0) windows[window] = state;
  }
  return {
    windows,
    resetAtMs: unixSecondsHeader(headers.get(`${UNIFIED_PREFIX}reset`), nowMs),
    isAllowed: (headers.get(`${UNIFIED_PREFIX}status`) ?? "").startsWith("allowed"),
    representativeClaim: headers.get(`${UNIFIED_PREFIX}representative-claim`),
  };
}

/** Newer fields replace older ones; a window or field missing from `newer` stays as it was. */
export function mergeWindows(older: Windows, newer: Windows): Windows {
  const merged: Windows = { ...older };
  for (const [name, state] of Object.entries(newer)) merged[name] = { ...merged[name], ...state };
  return Object.fromEntries(Object.entries(merged).slice(-MAX_WINDOWS));
}

/** Utilisation moves with every answer; the roster need only follow in steps of this size. */
const UTILISATION_STEP = 0.01;

/** Whether `fresh` tells anything that `known` does not. */
export function windowsMoved(known: Windows, fresh: Windows): boolean {
  for (const [name, { status, utilisation, resetAtMs }] of Object.entries(fresh)) {
    const before = known[name];
    if (before === undefined) return true;
    if (status !== undefined && status !== before.status) return true;
    if (resetAtMs !== undefined && resetAtMs !== before.resetAtMs) return true;
    if (
      utilisation !== undefined &&
      Math.abs(utilisation - (before.utilisation ?? -1)) >= UTILISATION_STEP
    ) {
      return true;
    }
  }
  return false;
}

/** The highest utilisation over the windows that have not reset yet; 0 where nothing is known. */
export function peakUtilisation(windows: Windows, nowMs: number): number {
  let peak = 0;
  for (const { utilisation, resetAtMs } of Object.values(windows)) {
    if (utilisation === undefined || (resetAtMs !== undefined && resetAtMs <= nowMs)) continue;
    if (utilisation > peak) peak = utilisation;
  }
  return peak;
}

/**
 * Reads `retry-after`: seconds, or an HTTP date.
 *
 * @returns unix milliseconds in the future, at most {@link MAX_RESET_AHEAD_MS} ahead; null otherwise
 */
export function retryAfterAtMs(headers: Headers, nowMs: number): number | null {
  const value = headers.get("retry-after");
  if (value === null || value.trim() === "") return null;
  const seconds = Number(value);
  const atMs = Number.isFinite(seconds) ? nowMs + seconds * 1000 : Date.parse(value);
  return believable(atMs, nowMs);
}

function unixSecondsHeader(value: string | null, nowMs: number): number | null {
  if (value === null || value.trim() === "") return null;
  return believable(Number(value) * 1000, nowMs);
}

/** A reset in the past or years ahead is a mistake, and no reason to bench an account. */
function believable(atMs: number, nowMs: number): number | null {
  return atMs > nowMs && atMs <= nowMs + MAX_RESET_AHEAD_MS ? Math.round(atMs) : null;
}

/** Whether a window's verdict (`allowed`, `allowed_warning`, `rejected`) is another than was known. */
export function statusMoved(known: Windows, fresh: Windows): boolean {
  for (const [name, { status }] of Object.entries(fresh)) {
    if (status !== undefined && status !== known[name]?.status) return true;
  }
  return false;
}

/** Whether any live window is nearly used up. */
export function isNearLimit(
  windows: Windows,
  threshold: number,
  nowMs: number,
  _family: string,
): boolean {
  for (const { status, utilisation, resetAtMs } of Object.values(windows)) {
    if (resetAtMs !== undefined && resetAtMs <= nowMs) continue;
    if (status === "allowed_warning" || (utilisation ?? 0) >= threshold) return true;
  }
  return false;
}
