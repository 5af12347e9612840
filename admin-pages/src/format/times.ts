import { computed, signal } from "@preact/signals";
import { language, locale } from "../i18n/language.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** In which times are shown: the browser's own. */
export const timeZone = signal(Intl.DateTimeFormat().resolvedOptions().timeZone);

const whole = computed(
  () =>
    new Intl.DateTimeFormat(locale.value, {
      timeZone: timeZone.value,
      year: "numeric",
      month: "short",
      day: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      hourCycle: "h23",
      timeZoneName: "short",
    }),
);
const short = computed(
  () =>
    new Intl.DateTimeFormat(locale.value, {
      timeZone: timeZone.value,
      month: "short",
      day: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
      timeZoneName: "short",
    }),
);
const day = computed(
  () =>
    new Intl.DateTimeFormat(locale.value, {
      timeZone: timeZone.value,
      year: "numeric",
      month: "short",
      day: "numeric",
    }),
);

const clock = computed(
  () =>
    new Intl.DateTimeFormat(locale.value, {
      timeZone: timeZone.value,
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      fractionalSecondDigits: 3,
      hourCycle: "h23",
    }),
);

/** 21:43:07.184, where the day stands beside it. */
export function clockTime(at: string | number): string {
  return clock.value.format(new Date(at));
}

/** 24 Nov 2026, 21:43:07 GMT+1: to the second, with its zone. */
export function wholeTime(at: string | number): string {
  return whole.value.format(new Date(at));
}

/** 24 Nov, 21:43 GMT+1 */
export function shortTime(at: string | number): string {
  return short.value.format(new Date(at));
}

/** 24 Nov 2026 */
export function date(at: string | number): string {
  return day.value.format(new Date(at));
}

/** How long something took: 84 ms, 1.2 s, 3 min 20 s. */
export function took(ms: number): string {
  const number = (value: number, digits: number) =>
    new Intl.NumberFormat(locale.value, { maximumFractionDigits: digits }).format(value);
  const words = UNITS[language.value];
  if (ms < SECOND_MS) return `${number(Math.round(ms), 0)}${words.ms}`;
  if (ms < 10 * SECOND_MS) return `${number(ms / SECOND_MS, 2)}${words.s}`;
  if (ms < MINUTE_MS) return `${number(ms / SECOND_MS, 1)}${words.s}`;
  return duration(ms);
}

/** The two largest units of a span: 2 d 4 h, 12 min 5 s. Below a second: 0 s. */
export function duration(ms: number): string {
  const words = UNITS[language.value];
  const parts = [
    { size: DAY_MS, word: words.d },
    { size: HOUR_MS, word: words.h },
    { size: MINUTE_MS, word: words.min },
    { size: SECOND_MS, word: words.s },
  ];
  const first = parts.findIndex(({ size }) => ms >= size);
  if (first === -1) return `0${words.s}`;
  let left = ms;
  const shown: string[] = [];
  for (const { size, word } of parts.slice(first, first + 2)) {
    const amount = Math.floor(left / size);
    left -= amount * size;
    if (amount > 0) shown.push(`${amount}${word}`);
  }
  return shown.join(language.value === "zh" ? "" : " ");
}

/** 3 min ago, in 2 h; within some seconds: just now. */
export function relative(at: string | number, nowMs: number): string {
  const format = new Intl.RelativeTimeFormat(locale.value, { numeric: "auto", style: "short" });
  const spanMs = new Date(at).getTime() - nowMs;
  const size = Math.abs(spanMs);
  if (size < 10 * SECOND_MS) return format.format(0, "second");
  if (size < MINUTE_MS) return format.format(Math.round(spanMs / SECOND_MS), "second");
  if (size < HOUR_MS) return format.format(Math.round(spanMs / MINUTE_MS), "minute");
  if (size < DAY_MS) return format.format(Math.round(spanMs / HOUR_MS), "hour");
  return format.format(Math.round(spanMs / DAY_MS), "day");
}

const UNITS = {
  en: { ms: " ms", s: " s", min: " min", h: " h", d: " d" },
  zh: { ms: "毫秒", s: "秒", min: "分", h: "小时", d: "天" },
} as const;
