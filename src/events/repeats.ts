import type { LogEvent } from "./log-event.ts";

/** So many events of a kind go on one by one; those after them in the same window are counted. */
const BURST = 5;
/** The runtime lets work go on for 30 s after an answer: the count must be told before that. */
const WINDOW_MS = 20_000;
/** Kinds told apart at once; beyond that, those of one event share a count. */
const MAX_KINDS = 500;

interface Window {
  startedAtMs: number;
  /** How many went on one by one. */
  passed: number;
  counted: number;
  /** The last one counted: what the sum is told by. */
  last: LogEvent | null;
}

/**
 * Keeps events that anyone can cause at will, such as wrong keys, from loading the event log: the
 * first few of a kind go on as they are, the rest of the window becomes one event with a count.
 * None is passed over in silence.
 */
export class Repeats {
  readonly #windows = new Map<string, Window>();

  /** @returns whether this one goes on as it is; else it is counted */
  admits(event: LogEvent): boolean {
    const window = this.#windowOf(event);
    if (window.passed < BURST) {
      window.passed += 1;
      return true;
    }
    // It may be a sum itself.
    window.counted += typeof event.detail.repeated === "number" ? event.detail.repeated : 1;
    window.last = event;
    return false;
  }

  /** When the first sum is due, or null where nothing waits. */
  dueAtMs(): number | null {
    let dueAtMs: number | null = null;
    for (const { counted, startedAtMs } of this.#windows.values()) {
      const endsAtMs = startedAtMs + WINDOW_MS;
      if (counted > 0 && (dueAtMs === null || endsAtMs < dueAtMs)) dueAtMs = endsAtMs;
    }
    return dueAtMs;
  }

  /** Takes the sums of all windows that have ended. A sum that nobody takes goes on growing. */
  take(nowMs: number): LogEvent[] {
    const sums: LogEvent[] = [];
    for (const [kind, window] of this.#windows) {
      if (nowMs - window.startedAtMs < WINDOW_MS) continue;
      if (window.last === null) {
        this.#windows.delete(kind);
        continue;
      }
      sums.push(sumOf(window.last, window.counted, kind === window.last.event, nowMs));
      // What goes on and on is only counted, until a window passes without a repetition.
      this.#windows.set(kind, { startedAtMs: nowMs, passed: BURST, counted: 0, last: null });
    }
    return sums;
  }

  #windowOf(event: LogEvent): Window {
    const kind = kindOf(event);
    const known = this.#windows.get(kind);
    if (known !== undefined) {
      const isOver = event.atMs - known.startedAtMs >= WINDOW_MS;
      return isOver && known.last === null ? this.#begin(kind, event.atMs) : known;
    }
    if (this.#windows.size < MAX_KINDS) return this.#begin(kind, event.atMs);
    const shared = event.event;
    return this.#windows.get(shared) ?? this.#begin(shared, event.atMs);
  }

  #begin(kind: string, atMs: number): Window {
    const window: Window = { startedAtMs: atMs, passed: 0, counted: 0, last: null };
    this.#windows.set(kind, window);
    return window;
  }
}

/** A sum is of many requests; unless it is of a whole event, it is of one key and one account. */
function sumOf(last: LogEvent, repeated: number, isShared: boolean, atMs: number): LogEvent {
  const { level, category, event, detail } = last;
  const { keyId, accountId } = isShared ? { keyId: null, accountId: null } : last;
  return {
    ...{ atMs, level, category, event, requestId: null, keyId, accountId },
    detail: isShared ? { repeated } : { ...detail, repeated },
  };
}

function kindOf({ event, keyId, accountId, detail }: LogEvent): string {
  return JSON.stringify([event, detail.reason ?? null, keyId, accountId]);
}
