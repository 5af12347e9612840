import { InvalidArgumentError } from "commander";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const SPAN_MS = { m: MINUTE_MS, h: HOUR_MS, d: DAY_MS, w: 7 * DAY_MS } as const;
/** From two of a unit on, spans are told in it. */
const AT_LEAST = 2;
const EXPIRY_HELP =
  'Give a span such as 30d or 12h, a time such as 2027-01-31 or 2027-01-31T18:00:00Z, or "never".';

/** A time as people read it, always in UTC, with how far away it is. */
export function momentText(iso: string | null, nowMs = Date.now()): string {
  if (iso === null) return "never";
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC (${distanceText(Date.parse(iso) - nowMs)})`;
}

/** The day alone, for tables. */
export function dayText(iso: string | null): string {
  return iso === null ? "never" : iso.slice(0, 10);
}

/** @param ms positive in the future */
export function distanceText(ms: number): string {
  const span = Math.abs(ms);
  const [size, unit] =
    span >= AT_LEAST * DAY_MS
      ? [DAY_MS, "days"]
      : span >= AT_LEAST * HOUR_MS
        ? [HOUR_MS, "h"]
        : span >= AT_LEAST * MINUTE_MS
          ? [MINUTE_MS, "min"]
          : [SECOND_MS, "s"];
  const count = Math.round(span / size);
  return ms >= 0 ? `in ${count} ${unit}` : `${count} ${unit} ago`;
}

/** What `--expires` takes for a key without an end. */
export const NEVER = "never";

/**
 * Reads `--expires`. A day alone means its first moment in UTC.
 *
 * @returns ISO 8601, or NEVER: commander would make an empty text of null
 */
export function readExpiry(text: string, nowMs = Date.now()): string {
  if (text === NEVER) return NEVER;
  const atMs = expiryMs(text, nowMs);
  if (Number.isNaN(atMs)) throw new InvalidArgumentError(EXPIRY_HELP);
  if (atMs <= nowMs) throw new InvalidArgumentError("That time has passed already.");
  return new Date(atMs).toISOString();
}

/** @returns a span such as 30d, 12h, 90m or 2w in milliseconds, or null where the text is none */
export function spanMs(text: string): number | null {
  const [, count, unit] = /^(\d{1,5})([mhdw])$/.exec(text) ?? [];
  return count === undefined ? null : Number(count) * SPAN_MS[unit as keyof typeof SPAN_MS];
}

function expiryMs(text: string, nowMs: number): number {
  const span = spanMs(text);
  if (span !== null) return nowMs + span;
  const day =
    /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?$/.exec(
      text,
    )?.[1];
  if (day === undefined) return Number.NaN;
  // Date.parse takes 2027-02-31 for a day in March.
  const dayMs = Date.parse(day);
  if (Number.isNaN(dayMs) || !new Date(dayMs).toISOString().startsWith(day)) return Number.NaN;
  return Date.parse(text);
}
