import { setTimeout as sleep } from "node:timers/promises";
import type { TroubledStage } from "../troubled-stage.ts";
import type { FaultRow } from "./row.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
/** The clock is set to this long before a border, so that it is passed under load. */
const BEFORE_MS = 300;
/** The 1st of January 1970 was a Thursday; limits by the week begin on a Monday. */
const FIRST_MONDAY_MS = 4 * 24 * 60 * MINUTE_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
/** So few that the window of one key is used up, and has to open again. */
const WINDOW = { minutes: 1, requests: 40 };
const AMPLE_DOLLARS = 10_000;

const nextHour = (nowMs: number) => nowMs - (nowMs % HOUR_MS) + HOUR_MS;
const nextDay = (nowMs: number) => nowMs - (nowMs % DAY_MS) + DAY_MS;
const nextWeek = (nowMs: number) => nowMs - ((nowMs - FIRST_MONDAY_MS) % WEEK_MS) + WEEK_MS;
const nextMonth = (nowMs: number) => {
  const now = new Date(nowMs);
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1);
};
/** Whatever lives for less has run out: a lease, a record, a credential, a rest, a window. */
const JUMPS: ((nowMs: number) => number)[] = [
  nextHour,
  (nowMs) => nowMs + WINDOW.minutes * MINUTE_MS,
  (nowMs) => nowMs + 20 * MINUTE_MS,
  (nowMs) => nowMs - 2 * SECOND_MS,
  nextDay,
  (nowMs) => nowMs - 30 * SECOND_MS,
  nextWeek,
  nextMonth,
];

/** With one key whose limits are by hour, day, week and month, and one account that has to refresh. */
export const CLOCK_ROW: FaultRow<TroubledStage> = {
  name: "clock jumps to each border, and back a bit",
  allowed: ["refused"],
  strike: async (stage, forMs) => {
    const { relay, keys } = stage;
    const cost = {
      dailyCost: AMPLE_DOLLARS,
      weeklyCost: AMPLE_DOLLARS,
      monthlyCost: AMPLE_DOLLARS,
    };
    await relay.addOAuthAccount("login");
    await relay.admin("PUT", `/api-keys/${keys[0]?.id}`, { limits: { window: WINDOW, ...cost } });
    for (const jump of JUMPS) {
      const nowMs = stage.nowMs();
      await stage.moveClock(jump(nowMs) - BEFORE_MS - nowMs);
      await sleep(forMs / JUMPS.length);
    }
  },
};
