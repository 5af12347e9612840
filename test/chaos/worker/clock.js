import { env } from "cloudflare:workers";

/**
 * The relay's clock, which the test can set. Imported before the relay, which then knows no other
 * time. Alarms ring by the machine's clock: those that are set before a jump are set anew after it.
 */
const realNow = Date.now.bind(Date);
let aheadMs = Number(env.CHAOS_CLOCK_AHEAD_MS ?? 0);
let jumps = 0;

Date.now = () => realNow() + aheadMs;

export function setClock(wantedMs) {
  if (wantedMs === aheadMs) return;
  aheadMs = wantedMs;
  jumps += 1;
}

/** By the storage of each object: when its alarm is due on the relay's clock, and after which jump. */
const alarms = new WeakMap();
let realSetAlarm;

/** Puts the alarms of this storage, and of all of its kind, on the relay's clock. */
export function watchAlarms(storage) {
  if (realSetAlarm !== undefined) return;
  const methods = Object.getPrototypeOf(storage);
  const { setAlarm, getAlarm, deleteAlarm } = methods;
  realSetAlarm = setAlarm;
  methods.setAlarm = function (atMs, ...rest) {
    alarms.set(this, { atMs: Number(atMs), jumps });
    return setAlarm.call(this, Number(atMs) - aheadMs, ...rest);
  };
  methods.getAlarm = async function (...args) {
    const atMs = await getAlarm.apply(this, args);
    return atMs === null ? null : atMs + aheadMs;
  };
  methods.deleteAlarm = function (...args) {
    alarms.delete(this);
    return deleteAlarm.apply(this, args);
  };
}

export function alarmRings(storage) {
  alarms.delete(storage);
}

/** What the clock has jumped past rings now. */
export function afterJump(storage) {
  const alarm = alarms.get(storage);
  if (alarm === undefined || alarm.jumps === jumps) return undefined;
  alarm.jumps = jumps;
  return realSetAlarm.call(storage, alarm.atMs - aheadMs);
}
