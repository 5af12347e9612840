import type {
  Admission,
  AdmissionAnswer,
  MeterBatch,
} from "../../durable-objects/key-meter/contract.ts";
import { describeError } from "../background.ts";
import { callObject } from "../durable-call.ts";
import type { Logger } from "../log.ts";
import { RecentMap } from "../recent-map.ts";
import { fail, ok, type Result } from "../result.ts";
import type { Settlement } from "./settlement.ts";

/**
 * How long settlements wait for an admission of the same key to ride along with. A busy key so makes
 * one call for a request instead of two; short beside what a limit or a report could notice.
 */
const RIDE_MS = 25;
/** More would make one call long, and all that is in it wait for the last. */
const MAX_IN_CALL = 200;
const MAX_TOLD = 20_000;
/** A request that sees to the settlements of others may be ended: another one then takes over. */
const STALLED_MS = 5_000;
/** After this long another request sees to them: a request's time after its answer is bounded. */
const SEE_TO_MS = 2_000;
/** Tries at settling; after them the lease runs out and the row is swept as unsettled. */
const SETTLE_TRIES = 4;
const SETTLE_RETRY_FIRST_MS = 250;

/** So many admissions in a row that failed, of whatever keys, are not one meter's trouble. */
const DOWN_AFTER = 5;
/** Without a newer failure it may be over: whoever looks is told so, and requests come again. */
const DOWN_FOR_MS = 10_000;

interface MeterStub {
  exchange(batch: MeterBatch): Promise<AdmissionAnswer[] | null>;
}

interface Lane {
  calls: number;
  settlements: Settlement[];
  /** When the oldest of the settlements came. */
  settlementsSinceMs: number;
  /** When a request began to see to the settlements; null: none does. */
  flushBeganAtMs: number | null;
}

/**
 * This isolate's way to the meters. An admission is sent at once, in its own request, and takes along
 * every settlement of its key that waits: an object's price is a call and a commit, not a row. No
 * request ever waits for another one's call; see docs/decisions/settlements-ride-along.md.
 */
export class MeterLink {
  readonly #meter: (keyId: string) => MeterStub;
  readonly #log: Logger;
  readonly #lanes = new Map<string, Lane>();
  /** The version of each key's policy that its meter was told from here: it need not hear it again. */
  readonly #told = new RecentMap<string, number>(MAX_TOLD);
  /** Admissions that failed since the last one that did not. */
  #failed = 0;
  #failedAtMs = Number.NEGATIVE_INFINITY;

  constructor(meter: (keyId: string) => MeterStub, log: Logger) {
    this.#meter = meter;
    this.#log = log;
  }

  /** Whether no request can be let in, such as where the disk is full: reads may go well then. */
  get isDown(): boolean {
    return this.#failed >= DOWN_AFTER && Date.now() - this.#failedAtMs < DOWN_FOR_MS;
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
    const call = await this.#call(keyId, lane, [admission]);
    this.#failed = call.ok ? 0 : this.#failed + 1;
    if (!call.ok) {
      this.#failedAtMs = Date.now();
      // What rode along is not to be lost with the call.
      if (lane.settlements.length > 0) beside(this.#flush(keyId, lane, 0));
      throw call.error;
    }
    const [answer] = call.value;
    if (answer === undefined) throw new Error("the meter left an admission unanswered");
    return answer;
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
      const call = await this.#call(keyId, lane, []);
      if (call.ok) {
        tries = 0;
        continue;
      }
      if (tries >= SETTLE_TRIES) {
        this.#giveUp(keyId, lane, call.error);
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

  /** Takes along every settlement that waits; where the call fails they wait again. Never rejects. */
  async #call(
    keyId: string,
    lane: Lane,
    admissions: Admission[],
  ): Promise<Result<AdmissionAnswer[], unknown>> {
    const settlements = lane.settlements.splice(0, MAX_IN_CALL);
    lane.calls += 1;
    try {
      return ok(await this.#exchange(keyId, { settlements, admissions }));
    } catch (error) {
      lane.settlements.unshift(...settlements);
      return fail(error);
    } finally {
      lane.calls -= 1;
      this.#forgetIdle(keyId, lane);
    }
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
    const { calls, settlements, flushBeganAtMs } = lane;
    const isIdle = calls === 0 && settlements.length === 0;
    if (isIdle && flushBeganAtMs === null) this.#lanes.delete(keyId);
  }

  #laneOf(keyId: string): Lane {
    let lane = this.#lanes.get(keyId);
    if (lane === undefined) {
      lane = {
        calls: 0,
        settlements: [],
        settlementsSinceMs: 0,
        flushBeganAtMs: null,
      };
      this.#lanes.set(keyId, lane);
    }
    return lane;
  }
}
