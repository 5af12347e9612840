import type { Ask } from "../../../bench/load/job.ts";

/** A part of a flood: so many requests a second, at fixed times, however the answers come. */
export interface Phase {
  name: string;
  perSecond: number;
  forMs: number;
}

/** Requests of clients that do not ask again, each on a connection that is idle or on a new one. */
export interface FloodJob extends Ask {
  /** Connections that clients have open before anything is asked. */
  connected: number;
  /** More are never open: what stands in front of a relay on one machine keeps off who comes then. */
  mostConnections: number;
  phases: Phase[];
}

/** What came of the requests that were due in one phase. Times are milliseconds from when they were due. */
export interface PhaseFigures {
  name: string;
  offered: number;
  /** Never sent, since no further connection may be open. */
  keptOff: number;
  /** Whole and right answers. */
  served: number;
  /** Of these, how many came before the phase was over, a second. */
  servedPerSecond: number;
  servedP50Ms: number;
  servedP99Ms: number;
  /** 429 or 503 in the API's form, with `retry-after`. */
  refused: number;
  refusedP99Ms: number;
  /** Connections that failed, or broke before a whole answer. */
  broken: number;
  /** Nothing came for longer than a client waits. */
  hung: number;
  /** Any other answer: it looks like something that it is not. */
  dishonest: number;
}

export interface FloodFigures {
  phases: PhaseFigures[];
  /**
   * From the end of the flood until the answers were as quick as in the first phase again, and none
   * was a refusal; null: it did not come to that.
   */
  normalAfterMs: number | null;
  /** How late the generator itself was: large figures mean that it was what was measured. */
  lateP99Ms: number;
  connections: number;
  /** What was no honest answer, and a refusal, in words; a few of each. */
  examples: string[];
}
