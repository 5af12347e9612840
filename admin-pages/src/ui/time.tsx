import { nowMs, useTicking } from "../format/clock.ts";
import { duration, relative, shortTime, wholeTime } from "../format/times.ts";

/** A moment, with its zone; the whole of it as a tip. */
export function Time({ at, how = "short" }: { at: string; how?: "short" | "whole" | "relative" }) {
  useTicking();
  const shown = {
    short: () => shortTime(at),
    whole: () => wholeTime(at),
    relative: () => relative(at, nowMs.value),
  };
  return (
    <time dateTime={at} title={wholeTime(at)}>
      {shown[how]()}
    </time>
  );
}

/** How long it is until then, counting down. @param words puts the span into a sentence */
export function Countdown({ until, words }: { until: string; words?: (span: string) => string }) {
  useTicking();
  const span = duration(Math.max(0, new Date(until).getTime() - nowMs.value));
  return (
    <time dateTime={until} title={wholeTime(until)} class="countdown">
      {words === undefined ? span : words(span)}
    </time>
  );
}
