import { timeZone } from "./times.ts";

const OWN = timeZone.peek();

/** The browser's own, UTC, and every other that the browser knows. */
export function timeZones(): string[] {
  return [...new Set([OWN, "UTC", ...Intl.supportedValuesOf("timeZone")])];
}
