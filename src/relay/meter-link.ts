import type {
  Admission,
  AdmissionAnswer,
  MeterBatch,
} from "../../durable-objects/key-meter/meter.ts";
import { describeError } from "../background.ts";
import { callObject } from "../durable-call.ts";
import type { Logger } from "../log.ts";
import { RecentMap } from "../recent-map.ts";
import type { Settlement } from "./settlement.ts";

/**
 * How long an admission waits to share the next call while one is under way. A meter that is near has
 * answered by then; for one that is far away it is little beside the way there.
 */
const SHARE_MS = 3;
/**
 * How long settlements wait for an admission of the same key to ride along with. A busy key so makes
 * one call for a request instead of two; short beside what a limit or a report could notice.
 */
const RIDE_MS = 25;
/** More would make one call long, and all that is in it wait for the last. */
const MAX_IN_CALL = 200;
const MAX_TOLD = 20_000;
/** A request that makes a call for others may be ended with all its I/O: they then go on alone. */
const STALLED_MS = 5_000;
/** After this long another request sees to them: a request's time after its answer is bounded. */
const SEE_TO_MS = 2_000;
/** Tries at settling; after them the lease runs out and the row is swept as unsettled. */
const SETTLE_TRIES = 4;
const SETTLE_RETRY_FIRST_MS = 250;

interface MeterStub {
  exchange(batch: MeterBatch): Promise<AdmissionAnswer[] | null>;
}

/** What a meter made of an admission. */
type Outcome = { ok: true; answer: AdmissionAnswer } | { ok: false; error: unknown };

/** An admission on its way to a meter, and the request that waits for it. */
class Waiting {
  readonly admission: Admission;
  outcome: Outcome | null = null;
  /** Makes the waiting request go on: with an outcome, or to make a call itself. */
  wake: () => void = () => {};

  constructor(admission: Admission) {
    this.admission = admission;
  }

  /** Resolves when woken, or in time. */
  async turn(waitMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    // Woken by another request, this one goes on a moment later. With nothing pending of its own by
    // then, the runtime would take it for one that hangs, and end it.
    const keptAlive = setTimeout(() => {}, STALLED_MS + waitMs);
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMs);
      this.wake = resolve;
    });
    // Here, and not where it is woken: a timer belongs to the request that set it, and so does its id.
    clearTimeout(timer);
    clearTimeout(keptAlive);
  }
}

interface Lane {
  calls: number;
  admissions: Waiting[];
  settlements: Settlement[];
  /** When the oldest of the settlements came. */
  settlementsSinceMs: number;
  /** When a request began to see to the settlements; null: none does. */
  flushBeganAtMs: number | null;
}

/**
 * This isolate's way to the meters. Where requests of one key come faster than its meter answers,
 * what waits shares the next call: an object's price is a call and a commit, not a row. An admission
 * that meets no other is sent at once.
 */
export class MeterLink {
  readonly #meter: (keyId: string) => MeterStub;
  readonly #log: Logger;
  readonly #lanes = new Map<string, Lane>();
  /** The version of each key's policy that its meter was told from here: it need not hear it again. */
  readonly #told = new RecentMap<string, number>(MAX_TOLD);

  constructor(meter: (keyId: string) => MeterStub, log: Logger) {
    this.#meter = meter;
    this.#log = log;
  }

  /**
   * Rejects where the meter cannot be asked.
   *
   * @param beside lets work of this request go on after its answer
   */
  async admit(
    keyId: string,
    admission: Admission,
    beside: (work: Promise<void>) => void,
  ): Promise<AdmissionAnswer> {
    const lane = this.#laneOf(keyId);
    const waiting = new Waiting(admission);
    lane.admissions.push(waiting);
    if (lane.calls > 0) {
      await waiting.turn(SHARE_MS);
      // Taken along by a call that is under way: that one's answer is the nearest.
      const isTaken = waiting.outcome === null && !lane.admissions.includes(waiting);
      if (isTaken) await waiting.turn(STALLED_MS);
    }
    if (waiting.outcome === null) {
      // Taken along by a call that has stalled: meters take the same item twice.
      if (!lane.admissions.includes(waiting)) lane.admissions.push(waiting);
      const error = await this.#call(keyId, lane);
      // What rode along is not to be lost with the call.
      if (error !== null && lane.settlements.length > 0) beside(this.#flush(keyId, lane, 0));
    }
    const { outcome } = waiting;
    if (outcome === null) throw new Error("a call to the meter has ended without an answer");
    if (!outcome.ok) throw outcome.error;
    return outcome.answer;
  }

  /**
   * Sees to it that the meter gets a settlement: with the next admission of its key, or soon. Never
   * rejects.
   *
   * @param isUrgent where something waits for it, such as a limit on requests at once
   */
  settle(keyId: string, settlement: Settlement, isUrgent: boolean): Promise<void> {
    const lane = this.#laneOf(keyId);
    if (lane.settlements.length === 0) lane.settlementsSinceMs = Date.now();
    lane.settlements.push(settlement);
    return this.#flush(keyId, lane, isUrgent ? 0 : RIDE_MS);
  }

  /** One request sees to the settlements of all; a second one only where they cannot wait. */
  async #flush(keyId: string, lane: Lane, waitMs: number): Promise<void> {
    const nowMs = Date.now();
    const isSeenTo = lane.flushBeganAtMs !== null && nowMs - lane.flushBeganAtMs < STALLED_MS;
    if (isSeenTo && waitMs > 0) return;
    lane.flushBeganAtMs = nowMs;
    let leftMs = waitMs;
    while (leftMs > 0 && Date.now() - nowMs < SEE_TO_MS) {
      await scheduler.wait(leftMs);
      // Those that were waited for have gone along with an admission: newer ones may do so as well.
      const isNone = lane.settlements.length === 0;
      leftMs = isNone ? 0 : lane.settlementsSinceMs + waitMs - Date.now();
    }
    for (let tries = 1; lane.settlements.length > 0; tries += 1) {
      lane.flushBeganAtMs = Date.now();
      const error = await this.#call(keyId, lane);
      if (error === null) continue;
      if (tries >= SETTLE_TRIES) {
        this.#giveUp(keyId, lane, error);
        break;
      }
      await scheduler.wait(SETTLE_RETRY_FIRST_MS * 2 ** (tries - 1));
    }
    lane.flushBeganAtMs = null;
    this.#forgetIdle(keyId, lane);
  }

  #giveUp(keyId: string, lane: Lane, error: unknown): void {
    for (const { requestId } of lane.settlements.splice(0)) {
      this.#log("error", "settle.failed", { requestId, keyId, error: describeError(error) });
    }
  }

  /**
   * Takes along everything that waits. Never rejects.
   *
   * @returns why the meter could not be asked, or null; settlements then wait again
   */
  async #call(keyId: string, lane: Lane): Promise<unknown> {
    const admissions = lane.admissions.splice(0, MAX_IN_CALL);
    const settlements = lane.settlements.splice(0, MAX_IN_CALL);
    lane.calls += 1;
    let failure: unknown = null;
    try {
      const answers = await this.#exchange(keyId, {
        settlements,
        admissions: admissions.map(({ admission }) => admission),
      });
      for (const [index, waiting] of admissions.entries()) {
        const answer = answers[index];
        waiting.outcome = answer === undefined ? UNANSWERED : { ok: true, answer };
      }
    } catch (error) {
      failure = error;
      lane.settlements.unshift(...settlements);
      for (const waiting of admissions) waiting.outcome = { ok: false, error };
    }
    lane.calls -= 1;
    for (const waiting of admissions) waiting.wake();
    // Whoever has waited longest makes the next call, in a request of its own.
    lane.admissions[0]?.wake();
    this.#forgetIdle(keyId, lane);
    return failure;
  }

  async #exchange(keyId: string, batch: MeterBatch): Promise<AdmissionAnswer[]> {
    const version = Math.max(0, ...batch.admissions.map(({ policy }) => policy?.version ?? 0));
    const isTold = (this.#told.get(keyId) ?? 0) >= version;
    const brief = batch.admissions.map((admission) => ({ ...admission, policy: null }));
    const ask = (admissions: Admission[]) =>
      callObject(
        () => this.#meter(keyId),
        (meter) => meter.exchange({ settlements: batch.settlements, admissions }),
      );
    const answers = (isTold ? await ask(brief) : null) ?? (await ask(batch.admissions));
    if (answers === null) throw new Error("the meter took no policy");
    if (version > 0) this.#told.set(keyId, version);
    return answers;
  }

  #forgetIdle(keyId: string, lane: Lane): void {
    const { calls, admissions, settlements, flushBeganAtMs } = lane;
    const isIdle = calls === 0 && admissions.length === 0 && settlements.length === 0;
    if (isIdle && flushBeganAtMs === null) this.#lanes.delete(keyId);
  }

  #laneOf(keyId: string): Lane {
    let lane = this.#lanes.get(keyId);
    if (lane === undefined) {
      lane = {
        calls: 0,
        admissions: [],
        settlements: [],
        settlementsSinceMs: 0,
        flushBeganAtMs: null,
      };
      this.#lanes.set(keyId, lane);
    }
    return lane;
  }
}

const UNANSWERED = {
  ok: false,
  error: new Error("the meter left an admission unanswered"),
} as const;
