/** What has been used since the start, in the units that the platform bills. */
export const counts = {
  workerRequests: 0,
  kvReads: 0,
  /** Of what all keys share. */
  kvSharedReads: 0,
  kvWrites: 0,
  /** By class of Durable Object. */
  objects: {},
};

/** The counts of one class. */
export function ofClass(name) {
  counts.objects[name] ??= { requests: 0, rowsRead: 0, rowsWritten: 0, activeMs: 0 };
  return counts.objects[name];
}

/** Objects that are at work now, by class and id: what overlaps in one object is billed once. */
const atWork = new Map();

/** Counts a request to an object, and the time until it is answered. @returns what `work` returns */
export async function countRequest(className, id, work) {
  const own = ofClass(className);
  own.requests += 1;
  const key = `${className} ${id}`;
  const state = atWork.get(key) ?? { running: 0, sinceMs: 0 };
  atWork.set(key, state);
  if (state.running === 0) state.sinceMs = performance.now();
  state.running += 1;
  try {
    return await work();
  } finally {
    state.running -= 1;
    if (state.running === 0) {
      own.activeMs += performance.now() - state.sinceMs;
      atWork.delete(key);
    }
  }
}
