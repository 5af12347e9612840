import { toHex } from "./keys/key-format.ts";

/** Milliseconds in base 36 fill nine digits until the year 5188. */
const TIME_DIGITS = 9;
const RANDOM_BYTES = 10;
const PREFIX = "rly_";

/**
 * A new request id. It begins with its time, so that ids sort by time and a table keyed by them
 * needs no index by time; 80 random bits follow.
 */
export function newRequestId(nowMs: number): string {
  return `${timePart(nowMs)}${toHex(crypto.getRandomValues(new Uint8Array(RANDOM_BYTES)))}`;
}

/** The smallest id of that time: every request begun before it has a smaller id. */
export function firstIdOf(atMs: number): string {
  return timePart(atMs);
}

/** When the request of this id began, in unix milliseconds; null where it is no request id. */
export function timeOf(id: string): number | null {
  const time = /^rly_([0-9a-z]{9})[0-9a-f]*$/.exec(id)?.[1];
  return time === undefined ? null : Number.parseInt(time, 36);
}

function timePart(atMs: number): string {
  return PREFIX + Math.max(0, Math.floor(atMs)).toString(36).padStart(TIME_DIGITS, "0");
}
