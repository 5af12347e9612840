/** Who asks: one of these is chosen for each request, or belongs to a connection. */
export interface Caller {
  /** A relay key, or where there is no relay an account's credential. */
  key: string;
  session: string | null;
}

/** What is asked. */
export interface Ask {
  port: number;
  /** With the query that tells the fake upstream how to answer. */
  path: string;
  body: string;
  callers: Caller[];
  /** Bytes of a right answer's body; null where each answer's end is looked at instead. */
  answerBytes: number | null;
}

/** As many requests as go through, each connection with one at a time. */
export interface ClosedLoad extends Ask {
  kind: "closed";
  connections: number;
  warmMs: number;
  forMs: number;
  /**
   * Which caller a request is of: that of its connection, any by chance, or each in turn and once;
   * then the load ends with the last one, if its time has not ended it before.
   */
  callersBy: "connection" | "chance" | "turn";
}

/**
 * Requests at fixed times, however long the answers take: latency counts from the time at which a
 * request was due, so a stall is not hidden by the requests that it keeps from being sent.
 */
export interface OpenLoad extends Ask {
  kind: "open";
  perSecond: number;
  warmMs: number;
  forMs: number;
}

/** Long answers at once, whose events carry the time at which they were sent. */
export interface StreamLoad extends Ask {
  kind: "streams";
  streams: number;
  /** The streams begin spread over this time. */
  beginOverMs: number;
  eventsEach: number;
}

export type Job = ClosedLoad | OpenLoad | StreamLoad;

/** What came of a load. Times are microseconds. */
export interface LoadFigures {
  /** Whole and right answers, after the warm-up. */
  answers: number;
  /** All that were answered, from the first moment to the last: so many must have been metered. */
  answeredInAll: number;
  /** From the end of the warm-up to the end. */
  tookMicros: number;
  p50Micros: number;
  p99Micros: number;
  /** Of streams: between an event's sending and its arrival. */
  eventDelayP50Micros: number | null;
  eventDelayP99Micros: number | null;
  events: number;
  /** What was wrong, in words, at most a few of them; empty where every answer was right. */
  wrong: string[];
  wrongCount: number;
}
