import { troubledEnv } from "./bindings.js";
import { afterJump, alarmRings, watchAlarms } from "./clock.js";
import { isAfter, SECRET, strikes, trouble } from "./trouble.js";

/** The class with the troubles of the moment. */
export function troubledObject(className, Base, classes) {
  class Troubled extends Base {
    constructor(ctx, env) {
      watchAlarms(ctx.storage);
      super(ctx, troubledEnv(env, classes));
    }
  }
  for (const method of Object.getOwnPropertyNames(Base.prototype)) {
    if (method === "constructor") continue;
    const own = Base.prototype[method];
    const isAlarm = method === "alarm";
    Troubled.prototype[method] = async function (...args) {
      if (isAlarm) alarmRings(this.ctx.storage);
      else await afterJump(this.ctx.storage);
      return withTrouble(className, this.ctx, isAlarm, () => own.apply(this, args));
    };
  }
  return Troubled;
}

async function withTrouble(className, ctx, isAlarm, work) {
  const { throws = 0, evicted = 0 } = trouble.objects[className] ?? {};
  if (strikes(`${className} evicted`, evicted)) {
    if (isAfter()) await work();
    ctx.abort(`evicted, ${SECRET}`);
  }
  if (!strikes(`${className} throws`, throws)) return work();
  // An alarm that does not get as far as its handler is one whose object could not be made.
  if (!isAlarm && !isAfter()) throw new Error(`before the work, ${SECRET}`);
  await work();
  throw new Error(`after the work, ${SECRET}`);
}
