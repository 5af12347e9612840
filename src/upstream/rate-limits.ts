/**
 * What response headers tell of an account's limits (upstream-protocol: unified windows of
 * subscriptions, captured; API-key headers, documented), and what is remembered of it. Headers carry
 * fractions or counts, and unix seconds or RFC 3339; everything here is fractions and unix
 * milliseconds.
 */
const UNIFIED_PREFIX = "anthropic-ratelimit-unified-";
const WINDOW_FIELD = /^(.+)-(status|reset|utilization|surpassed-threshold)$/;
/** A window's name is short; anything longer is not stored. */
const WINDOW_NAME_MAX_CHARS = 32;
const MAX_WINDOWS = 16;
/** A subscription has a handful; an API key has four for each of six families. */
const MAX_REMEMBERED_WINDOWS = 32;
const STATUS_MAX_CHARS = 32;
/** Utilisation may exceed 1, but not by orders of magnitude. */
const UTILISATION_MAX = 100;
/** No window of Anthropic is longer than a week; a day of slack for clocks. */
export const MAX_RESET_AHEAD_MS = 8 * 24 * 60 * 60 * 1000;
/** What is told without a believable end is believed for so long: nothing else would ever end it. */
const UNTOLD_END_MS = 60 * 60_000;

/** Limits of an API key. They refill all the time, within a minute. */
const KEY_LIMITS = ["requests", "tokens", "input-tokens", "output-tokens"] as const;
const KEY_WINDOW = /^(?:requests|tokens|input-tokens|output-tokens)_(.+)$/;
const COUNT = /^\d{1,15}$/;

export interface WindowState {
  status?: string;
  /** Fraction of the window that is used. */
  utilisation?: number;
  resetAtMs?: number;
  /** The fraction that upstream warns of having been passed; there only while it warns. */
  surpassedThreshold?: number;
}

/** By window name (`5h`, `7d`, `7d_oi` …, `input-tokens_opus` …). */
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
    if (window === undefined || field === undefined || !isWindowName(window)) continue;
    const told = windowField(field, value, nowMs);
    if (told === null) continue;
    let state = windows[window];
    if (state === undefined) {
      if (count >= MAX_WINDOWS) continue;
      count += 1;
      state = {};
      windows[window] = state;
    }
    Object.assign(state, told);
  }
  return {
    windows,
    resetAtMs: unixSecondsHeader(headers.get(`${UNIFIED_PREFIX}reset`), nowMs),
    isAllowed: (headers.get(`${UNIFIED_PREFIX}status`) ?? "").startsWith("allowed"),
    representativeClaim: headers.get(`${UNIFIED_PREFIX}representative-claim`),
  };
}

/** Whether a name may be one of an object's members; those that every object has are none. */
function isWindowName(name: string): boolean {
  return name.length <= WINDOW_NAME_MAX_CHARS && !(name in Object.prototype);
}

function windowField(field: string, value: string, nowMs: number): WindowState | null {
  switch (field) {
    case "status":
      return value !== "" && value.length <= STATUS_MAX_CHARS ? { status: value } : null;
    case "reset": {
      const resetAtMs = unixSecondsHeader(value, nowMs);
      return resetAtMs === null ? null : { resetAtMs };
    }
    case "utilization": {
      const utilisation = fraction(value);
      return utilisation === null ? null : { utilisation };
    }
    default: {
      const surpassedThreshold = fraction(value);
      return surpassedThreshold === null ? null : { surpassedThreshold };
    }
  }
}

function fraction(value: string): number | null {
  const number = Number(value);
  return value.trim() !== "" && number >= 0 && number <= UTILISATION_MAX ? number : null;
}

/**
 * Reads the documented limits of an API key. Upstream counts them by class of model, so each is
 * remembered for the family that was asked: `input-tokens_opus`.
 */
export function readKeyLimits(headers: Headers, family: string, nowMs: number): Windows {
  const windows: Windows = {};
  for (const limitName of KEY_LIMITS) {
    const prefix = `anthropic-ratelimit-${limitName}`;
    const limit = count(headers.get(`${prefix}-limit`));
    const remaining = count(headers.get(`${prefix}-remaining`));
    const state: WindowState = {};
    if (limit !== null && limit > 0 && remaining !== null) {
      state.utilisation = Math.max(0, Math.round((1 - remaining / limit) * 1000) / 1000);
    }
    const reset = headers.get(`${prefix}-reset`);
    const resetAtMs = reset === null ? null : believable(Date.parse(reset), nowMs);
    if (resetAtMs !== null) state.resetAtMs = resetAtMs;
    if (state.utilisation !== undefined) windows[`${limitName}_${family}`] = state;
  }
  return windows;
}

function count(value: string | null): number | null {
  return value !== null && COUNT.test(value) ? Number(value) : null;
}

/**
 * What is remembered once `newer` was told. A window or field that it lacks stays as it was, but
 * nothing stays of a window whose end has come, or in whose place a later one has begun.
 */
export function mergeWindows(older: Windows, newer: Windows, nowMs: number): Windows {
  const merged = new Map(Object.entries(older));
  for (const [name, told] of Object.entries(newer)) {
    const before = merged.get(name);
    const kept = before !== undefined && goesOn(name, before, told, nowMs) ? before : {};
    // What was told last stands last, so that it is not what is forgotten.
    merged.delete(name);
    merged.set(name, { resetAtMs: nowMs + UNTOLD_END_MS, ...kept, ...told });
  }
  return Object.fromEntries([...merged].slice(-MAX_REMEMBERED_WINDOWS));
}

/** Whether what was known still holds beside what is told now. */
function goesOn(name: string, known: WindowState, told: WindowState, nowMs: number): boolean {
  if (!isLive(known, nowMs)) return false;
  if (KEY_WINDOW.test(name) || known.resetAtMs === undefined) return true;
  return (told.resetAtMs ?? 0) < known.resetAtMs + RESET_STEP_MS;
}

/** Utilisation moves with every answer; the roster need only follow in steps of this size. */
const UTILISATION_STEP = 0.01;
/** A reset that moves by less is the same one, told a little differently. */
const RESET_STEP_MS = 60_000;
/** An API key's limits go up and down within seconds: they are followed in coarser steps. */
const KEY_UTILISATION_STEP = 0.1;
/** Their reset moves with each answer. It is followed only where much is used, and so often. */
const KEY_RESET_STEP_MS = 30_000;
const KEY_RESET_MATTERS_FROM = 0.5;

/** Whether `fresh` tells anything worth remembering that `known` does not. */
export function windowsMoved(known: Windows, fresh: Windows): boolean {
  for (const [name, told] of Object.entries(fresh)) {
    const before = known[name];
    if (before === undefined) return true;
    if (told.status !== undefined && told.status !== before.status) return true;
    const moved = KEY_WINDOW.test(name) ? keyWindowMoved(before, told) : windowMoved(before, told);
    if (moved) return true;
  }
  return false;
}

function windowMoved(before: WindowState, told: WindowState): boolean {
  return (
    differ(before.utilisation, told.utilisation, UTILISATION_STEP) ||
    differ(before.resetAtMs, told.resetAtMs, RESET_STEP_MS) ||
    differ(before.surpassedThreshold, told.surpassedThreshold, UTILISATION_STEP)
  );
}

function keyWindowMoved(before: WindowState, told: WindowState): boolean {
  if (differ(before.utilisation, told.utilisation, KEY_UTILISATION_STEP)) return true;
  if ((told.utilisation ?? 0) < KEY_RESET_MATTERS_FROM) return false;
  return differ(before.resetAtMs, told.resetAtMs, KEY_RESET_STEP_MS);
}

function differ(before: number | undefined, told: number | undefined, step: number): boolean {
  if (told === undefined) return false;
  return before === undefined || Math.abs(told - before) >= step;
}

/** Lanes beside the plan's windows: what is used of them says nothing of what is left of the plan. */
const BESIDE_THE_PLAN = /^(?:overage|grace|slow|fallback)(?:[-_]|$)/;

/** The last word of a window's name, where it is one of a model family's windows. */
const FAMILY_WORD = /[-_](opus|sonnet|haiku|fable|mythos|oi)$/;
/** `7d_oi`, "overage included", is the week of these two (captured by several projects). */
const OVERAGE_INCLUDED = ["fable", "mythos"];

/** Whether a window counts for requests of this family. One of no known family counts for all. */
function countsFor(name: string, family: string): boolean {
  if (BESIDE_THE_PLAN.test(name)) return false;
  const keyFamily = KEY_WINDOW.exec(name)?.[1];
  if (keyFamily !== undefined) return keyFamily === family;
  const word = FAMILY_WORD.exec(name)?.[1];
  if (word === undefined) return true;
  return word === "oi" ? OVERAGE_INCLUDED.includes(family) : word === family;
}

/** Whether a window has not ended. */
export function isLive({ resetAtMs }: WindowState, nowMs: number): boolean {
  return resetAtMs === undefined || resetAtMs > nowMs;
}

/**
 * Whether an account comes near the end of a window, by upstream's own warning or by a threshold.
 * Windows that have ended, and those of other model families, do not count.
 */
export function isNearLimit(
  windows: Windows,
  thresholdFraction: number,
  nowMs: number,
  family: string,
): boolean {
  for (const name in windows) {
    const state = windows[name];
    if (state === undefined) continue;
    const { status, utilisation = 0, surpassedThreshold } = state;
    const isNear =
      status === "allowed_warning" ||
      surpassedThreshold !== undefined ||
      utilisation >= thresholdFraction;
    if (isNear && isLive(state, nowMs) && countsFor(name, family)) return true;
  }
  return false;
}

/** The highest utilisation over a family's windows that have not ended; 0 where nothing is known. */
export function peakUtilisation(windows: Windows, nowMs: number, family: string): number {
  let peak = 0;
  for (const name in windows) {
    const state = windows[name];
    const utilisation = state?.utilisation ?? 0;
    if (state === undefined || utilisation <= peak || !isLive(state, nowMs)) continue;
    if (countsFor(name, family)) peak = utilisation;
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
