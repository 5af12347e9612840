/**
 * What is to go wrong now, as the test wants it by the door of entry.js; see `Trouble` in
 * ../troubled-stage.ts.
 */
export const trouble = { objects: {}, keyStore: { reads: 0, writes: 0 } };

/** In every error that is made here: no client and no admin may ever read it. */
export const SECRET = "sk-ant-chaos-secret";

let struck = 0;
/** By kind of trouble: how much of a call is due, so that even a few calls meet it. */
let due = {};
/** Chance brings it sooner, and twice in a row. */
const OVERDUE = 2;

export function setTrouble({ objects = {}, keyStore = { reads: 0, writes: 0 } }) {
  trouble.objects = objects;
  trouble.keyStore = keyStore;
  due = {};
  struck = 0;
}

/** How many calls have gone wrong since it was set. */
export function struckCalls() {
  return struck;
}

/** Whether this call is one of the share that goes wrong. */
export function strikes(kind, share) {
  due[kind] = (due[kind] ?? 0) + share;
  if (Math.random() >= share && due[kind] < OVERDUE) return false;
  due[kind] = 0;
  struck += 1;
  return true;
}

/** Before the work in one half of the cases, after it in the other. */
export function isAfter() {
  return Math.random() < 1 / 2;
}
