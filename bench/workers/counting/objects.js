import { countedEnv } from "./bindings.js";
import { fromRealMs, toRealMs } from "./clock.js";
import { countRequest, ofClass } from "./counts.js";

/** Without a request for so long the platform takes an object out of memory. */
const IDLE_MS = 10_000;
const classOfSql = new WeakMap();
const classOfStorage = new WeakMap();
/** The last cursor of each class: its rows are counted when the next statement runs, or at the end. */
const openCursors = new Map();
let watching = false;

/** The class with everything counted that its objects use. It leaves memory when it would there. */
export function countedObject(className, Base, classes) {
  class Counted extends Base {
    constructor(ctx, env) {
      watch(ctx.storage, className);
      super(ctx, countedEnv(env, classes));
    }

    async alarm(info) {
      await countRequest(className, this.ctx.id.toString(), () => super.alarm(info));
    }
  }
  for (const method of Object.getOwnPropertyNames(Base.prototype)) {
    if (method === "constructor") continue;
    const own = Counted.prototype[method];
    Counted.prototype[method] = function (...args) {
      return whileAwake(this.ctx, () => own.apply(this, args));
    };
  }
  return Counted;
}

const awake = new WeakMap();

/** Runs a method, and ends the object when nothing has come for a while. */
async function whileAwake(ctx, work) {
  const state = awake.get(ctx) ?? { running: 0, timer: null };
  awake.set(ctx, state);
  clearTimeout(state.timer);
  state.running += 1;
  try {
    return await work();
  } finally {
    state.running -= 1;
    if (state.running === 0) state.timer = setTimeout(() => ctx.abort("idle"), IDLE_MS);
  }
}

/** Rows of every statement, by the class whose storage it ran on. */
function watch(storage, className) {
  classOfSql.set(storage.sql, className);
  classOfStorage.set(storage, className);
  if (watching) return;
  watching = true;
  const sqlMethods = Object.getPrototypeOf(storage.sql);
  const { exec } = sqlMethods;
  sqlMethods.exec = function (...args) {
    const name = classOfSql.get(this) ?? "unknown";
    countRows(name);
    const cursor = exec.apply(this, args);
    openCursors.set(name, cursor);
    return cursor;
  };
  const storageMethods = Object.getPrototypeOf(storage);
  const { setAlarm, getAlarm, deleteAlarm } = storageMethods;
  storageMethods.setAlarm = function (atMs, ...rest) {
    // Billed as a row written.
    ofClass(classOfStorage.get(this) ?? "unknown").rowsWritten += 1;
    return setAlarm.call(this, toRealMs(atMs), ...rest);
  };
  storageMethods.deleteAlarm = function (...args) {
    ofClass(classOfStorage.get(this) ?? "unknown").rowsWritten += 1;
    return deleteAlarm.apply(this, args);
  };
  storageMethods.getAlarm = async function (...args) {
    const atMs = await getAlarm.apply(this, args);
    return atMs === null ? null : fromRealMs(atMs);
  };
}

/** Adds the rows of cursors that have been read meanwhile. */
export function countRows(className) {
  const cursor = openCursors.get(className);
  if (cursor === undefined) return;
  openCursors.delete(className);
  const own = ofClass(className);
  own.rowsRead += cursor.rowsRead;
  own.rowsWritten += cursor.rowsWritten;
}

export function countAllRows() {
  for (const className of [...openCursors.keys()]) countRows(className);
}
