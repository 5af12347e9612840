import { localDay, nextDay, offsetMs, startOfDay } from "../../src/ledger/time-zone.ts";
import { HOUR_MS } from "../usage-ledger/schema.ts";

/** A meter in constant use tells the ledger once in ten minutes, where nobody looks at it. */
export const LEDGER_DELAY_MS = 12 * 60_000;

/** When a daily summary is made: at this hour of a zone's clocks. */
export interface SummaryTime {
  /** 0 to 23. */
  hour: number;
  timeZone: string;
}

/** The first time after `afterMs` at which a zone's clocks show the hour; a full hour of UTC. */
export function nextSummaryMs({ hour, timeZone }: SummaryTime, afterMs: number): number {
  for (let day = localDay(timeZone, afterMs); ; day = nextDay(day)) {
    const startMs = startOfDay(timeZone, day);
    const guessMs = startMs + hour * HOUR_MS;
    // A day on which the clocks change is an hour longer or shorter up to there.
    const atMs = guessMs + offsetMs(timeZone, startMs) - offsetMs(timeZone, guessMs);
    if (atMs > afterMs) return atMs;
  }
}

/** The last time up to now at which a summary was due, for one that begins at `fromMs`; null: none yet. */
export function lastDueMs(time: SummaryTime, fromMs: number, nowMs: number): number | null {
  let due: number | null = null;
  let next = nextSummaryMs(time, fromMs);
  while (next + LEDGER_DELAY_MS <= nowMs) {
    due = next;
    next = nextSummaryMs(time, next);
  }
  return due;
}
