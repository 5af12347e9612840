import type {
  Admission,
  AdmissionAnswer,
  MeterBatch,
} from "../../durable-objects/key-meter/meter.ts";
import { callObject } from "../durable-call.ts";
import type { Settlement } from "./settlement.ts";

/**
 * How long an admission waits to share the next call while one is under way. A meter that is near has
 * answered by then; for one that is far away it is little beside the way there.
 */
const SHARE_MS = 3;
/** More would make one call long, and all that is in it wait for the last. */
const MAX_IN_CALL = 200;
/**
 * A request that leads a call may be ended by the runtime with all its I/O: whoever waits for it
 * longer than any call takes goes on alone.
 */
const STALLED_MS = 5_000;

interface MeterStub {
  exchange(batch: MeterBatch): Promise<AdmissionAnswer[]>;
}

/** What a meter made of one item. */
type Outcome<Answer> = { ok: true; answer: Answer } | { ok: false; error: unknown };

/** One item on its way to a meter, and the request that waits for it. */
class Waiting<Item, Answer> {
  readonly item: Item;
  outcome: Outcome<Answer> | null = null;
  #wake: () => void = () => {};

  constructor(item: Item) {
    this.item = item;
  }

  /** Resolves when there is an outcome, when this request is to make a call itself, or in time. */
  turn(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  end(outcome: Outcome<Answer>): void {
    this.outcome = outcome;
    this.#wake();
  }

  lead(): void {
    this.#wake();
  }
}

interface Lane {
  calls: number;
  admissions: Waiting<Admission, AdmissionAnswer>[];
  settlements: Waiting<Settlement, null>[];
}

/**
 * This isolate's way to the meters. Where requests of one key come faster than its meter answers,
 * what waits shares the next call: an object's price is a call and a commit, not a row. A request
 * that waits for nothing is sent at once.
 */
export class MeterLink {
  readonly #meter: (keyId: string) => MeterStub;
  readonly #lanes = new Map<string, Lane>();

  constructor(meter: (keyId: string) => MeterStub) {
    this.#meter = meter;
  }

  /** Rejects where the meter cannot be asked. */
  admit(keyId: string, admission: Admission): Promise<AdmissionAnswer> {
    const lane = this.#laneOf(keyId);
    return this.#take(keyId, lane, lane.admissions, admission, SHARE_MS);
  }

  /** Resolves once the meter has it. A settlement holds up nobody: it rides along where it can. */
  async settle(keyId: string, settlement: Settlement): Promise<void> {
    const lane = this.#laneOf(keyId);
    await this.#take(keyId, lane, lane.settlements, settlement, STALLED_MS);
  }

  async #take<Item, Answer>(
    keyId: string,
    lane: Lane,
    queue: Waiting<Item, Answer>[],
    item: Item,
    waitMs: number,
  ): Promise<Answer> {
    const waiting = new Waiting<Item, Answer>(item);
    queue.push(waiting);
    if (lane.calls > 0) await waiting.turn(waitMs);
    // Taken along by a call that is under way still: that one's answer is the nearest.
    if (waiting.outcome === null && !queue.includes(waiting)) await waiting.turn(STALLED_MS);
    if (waiting.outcome === null) {
      // Taken along by a call that has stalled: meters take the same item twice.
      if (!queue.includes(waiting)) queue.push(waiting);
      await this.#call(keyId, lane);
    }
    const { outcome } = waiting;
    if (outcome === null) throw new Error("a call to the meter has ended without an answer");
    if (!outcome.ok) throw outcome.error;
    return outcome.answer;
  }

  async #call(keyId: string, lane: Lane): Promise<void> {
    const admissions = lane.admissions.splice(0, MAX_IN_CALL);
    const settlements = lane.settlements.splice(0, MAX_IN_CALL);
    const batch = {
      admissions: admissions.map(({ item }) => item),
      settlements: settlements.map(({ item }) => item),
    };
    lane.calls += 1;
    try {
      const answers = await callObject(
        () => this.#meter(keyId),
        (meter) => meter.exchange(batch),
      );
      for (const [index, waiting] of admissions.entries()) {
        const answer = answers[index];
        waiting.end(answer === undefined ? UNANSWERED : { ok: true, answer });
      }
      for (const waiting of settlements) waiting.end({ ok: true, answer: null });
    } catch (error) {
      for (const waiting of [...admissions, ...settlements]) waiting.end({ ok: false, error });
    } finally {
      lane.calls -= 1;
      this.#passOn(keyId, lane);
    }
  }

  /** Whoever has waited longest makes the next call, in a request of its own. */
  #passOn(keyId: string, lane: Lane): void {
    const next = lane.admissions[0] ?? lane.settlements[0];
    if (next !== undefined) next.lead();
    else if (lane.calls === 0) this.#lanes.delete(keyId);
  }

  #laneOf(keyId: string): Lane {
    let lane = this.#lanes.get(keyId);
    if (lane === undefined) {
      lane = { calls: 0, admissions: [], settlements: [] };
      this.#lanes.set(keyId, lane);
    }
    return lane;
  }
}

const UNANSWERED = {
  ok: false,
  error: new Error("the meter left an admission unanswered"),
} as const;
