import { HOUR_MS } from "../../durable-objects/usage-ledger/schema.ts";

const MINUTE_MS = 60_000;

const formats = new Map<string, Intl.DateTimeFormat>();

/** Whether the runtime knows this zone, such as `Europe/Berlin` or `UTC`. */
export function isTimeZone(name: string): boolean {
  try {
    formatOf(name);
    return true;
  } catch {
    return false;
  }
}

/** How far a zone's clocks are ahead of UTC at a time, in milliseconds. */
export function offsetMs(timeZone: string, atMs: number): number {
  const parts = new Map<string, number>();
  for (const { type, value } of formatOf(timeZone).formatToParts(atMs)) {
    parts.set(type, Number(value));
  }
  const part = (name: string) => parts.get(name) ?? 0;
  const clock = Date.UTC(
    part("year"),
    part("month") - 1,
    part("day"),
    part("hour"),
    part("minute"),
    part("second"),
  );
  return clock - Math.floor(atMs / 1_000) * 1_000;
}

/** A time as a zone's clocks show it, with their offset: `2027-03-28T00:00:00+01:00`. */
export function localTime(timeZone: string, atMs: number): string {
  const ahead = offsetMs(timeZone, atMs);
  const clock = new Date(atMs + ahead).toISOString().slice(0, 19);
  if (ahead === 0) return `${clock}Z`;
  const minutes = Math.abs(ahead) / MINUTE_MS;
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  return `${clock}${ahead < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
}

/** The day that a zone's calendars show at a time: `2027-03-28`. */
export function localDay(timeZone: string, atMs: number): string {
  return new Date(atMs + offsetMs(timeZone, atMs)).toISOString().slice(0, 10);
}

/**
 * When a zone's day begins: the first full hour of UTC in it. Where midnight falls into an hour of UTC
 * (zones with 30 or 45 minutes in their offset), that hour stays with the day before.
 *
 * @param day `2027-03-28`
 */
export function startOfDay(timeZone: string, day: string): number {
  const midnight = Date.parse(`${day}T00:00:00Z`);
  // Twice, since the offset at the guess may be that of before a change of the clocks.
  const guess = midnight - offsetMs(timeZone, midnight);
  const startMs = midnight - offsetMs(timeZone, guess);
  return Math.ceil(startMs / HOUR_MS) * HOUR_MS;
}

/** Whether hours of UTC fit into this zone's days without a rest, at a time. */
export function hoursFit(timeZone: string, atMs: number): boolean {
  return offsetMs(timeZone, atMs) % HOUR_MS === 0;
}

/** When the days begin that lie between two times, the first of them whole. */
export function dayStarts(timeZone: string, fromMs: number, toMs: number): number[] {
  const starts: number[] = [];
  let day = localDay(timeZone, fromMs);
  for (;;) {
    const startMs = startOfDay(timeZone, day);
    if (starts.length > 0 && startMs >= toMs) return starts;
    starts.push(startMs);
    day = nextDay(day);
  }
}

export function nextDay(day: string): string {
  const next = new Date(`${day}T00:00:00Z`);
  next.setUTCDate(next.getUTCDate() + 1);
  return next.toISOString().slice(0, 10);
}

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  formats.set(timeZone, format);
  return format;
}
