import { env } from "cloudflare:workers";

/**
 * A clock that runs faster than the machine's, so that what happens each minute and each hour can be
 * counted in a minute. Imported before the relay, which then knows no other time.
 */
const scale = Number(env.BENCH_CLOCK_SCALE);
const realNow = Date.now.bind(Date);
const realSetTimeout = setTimeout.bind(globalThis);
const realWait = scheduler.wait.bind(scheduler);
let beganAtMs = 0;

Date.now = () => {
  beganAtMs ||= realNow();
  return beganAtMs + (realNow() - beganAtMs) * scale;
};
globalThis.setTimeout = (work, delayMs, ...rest) => realSetTimeout(work, delayMs / scale, ...rest);
scheduler.wait = (delayMs, options) => realWait(delayMs / scale, options);

/** When an alarm that is set on this clock is due on the machine's. */
export function toRealMs(atMs) {
  return beganAtMs + (Number(atMs) - beganAtMs) / scale;
}

export function fromRealMs(atMs) {
  return beganAtMs + (atMs - beganAtMs) * scale;
}
