import type { EventBatch } from "../../durable-objects/event-log/contract.ts";
import { type LogEvent, logEvent } from "./log-event.ts";
import { Repeats } from "./repeats.ts";

/** Events are gathered for so long before they go: soon enough for whoever looks on. */
const GATHER_MS = 500;
const MAX_BATCH_EVENTS = 200;
/** While the event log does not take them, so many wait in memory; the rest is dropped and counted. */
const MAX_WAITING_EVENTS = 1_000;
/** Tries at delivering within one run; the pause is 1 s, doubling. */
const TRIES = 4;
const RETRY_FIRST_MS = 1_000;
/** After a run that failed, the next event to start another one is at least this far away. */
const REST_MS = 10_000;
/** A run that has not gone on for this long after its time went under with its request. */
const LOST_AFTER_MS = 15_000;
/** Work may go on for 30 s after an answer: a run does not begin to wait for what is due later. */
const RUN_MAX_MS = 22_000;
/**
 * Events that are never summed up: acts of a signed-in admin, and the line per request that exists
 * only where an operator asked for "debug".
 */
const ONE_BY_ONE: ReadonlySet<string> = new Set(["admin.acted", "request.settled"]);

export interface EventSinkDependencies {
  /** Hands a batch to the event log; rejects where that is not known to have it. */
  deliver(batch: EventBatch): Promise<void>;
  /** Lets work outlast the request at hand. Throws where there is none. */
  keepAlive(work: Promise<void>): void;
  wait(ms: number): Promise<unknown>;
  now(): number;
}

/**
 * Brings the events of one isolate to the event log: in batches, off the path of requests, and so
 * that no request waits or fails. Runs belong to the request that began them and may go under with
 * it; then a later event begins another run, which sends the same batch again under its number.
 */
export class EventSink {
  readonly #deps: EventSinkDependencies;
  readonly #source = crypto.randomUUID();
  readonly #repeats = new Repeats();
  #waiting: LogEvent[] = [];
  #dropped = 0;
  /** On its way; kept until the event log has it. */
  #batch: EventBatch | null = null;
  #batches = 0;
  /** Which run may go on. An older one that comes back finds that it has been replaced. */
  #run = 0;
  /** Until then the present run, or the rest after one that failed, is waited for. */
  #busyUntilMs = 0;
  /** The present run only waits for a sum to fall due. */
  #isIdle = false;

  constructor(deps: EventSinkDependencies) {
    this.#deps = deps;
  }

  note(event: LogEvent): void {
    const goesOn = ONE_BY_ONE.has(event.event) || this.#repeats.admits(event);
    if (goesOn) this.#keep(event);
    const isBusy = this.#busyUntilMs > this.#deps.now();
    if (!isBusy || (goesOn && this.#isIdle)) this.#begin();
  }

  #keep(event: LogEvent): void {
    if (this.#waiting.length < MAX_WAITING_EVENTS) this.#waiting.push(event);
    else this.#dropped += 1;
  }

  #begin(): void {
    this.#run += 1;
    this.#isIdle = false;
    this.#busyFor(GATHER_MS);
    try {
      this.#deps.keepAlive(this.#deliverAll(this.#run));
    } catch {
      // Outside of any request nothing can be sent; the next event tries again.
      this.#busyUntilMs = 0;
    }
  }

  /** Never rejects. */
  async #deliverAll(run: number): Promise<void> {
    const beganAtMs = this.#deps.now();
    await this.#deps.wait(GATHER_MS);
    while (run === this.#run) {
      if (!(await this.#deliverWaiting(run))) return;
      const dueAtMs = this.#repeats.dueAtMs();
      if (dueAtMs === null || dueAtMs - beganAtMs > RUN_MAX_MS) {
        this.#busyUntilMs = 0;
        return;
      }
      this.#isIdle = true;
      const restMs = Math.max(0, dueAtMs - this.#deps.now());
      this.#busyFor(restMs);
      await this.#deps.wait(restMs);
      if (run === this.#run) this.#isIdle = false;
    }
  }

  /** @returns false where the run is over: replaced, or in vain */
  async #deliverWaiting(run: number): Promise<boolean> {
    for (let batch = this.#nextBatch(); batch !== null; batch = this.#nextBatch()) {
      for (let attempt = 1; ; attempt += 1) {
        this.#busyFor(0);
        const delivered = await this.#deps.deliver(batch).then(
          () => true,
          () => false,
        );
        // Whoever has taken over knows of this batch, too.
        if (run !== this.#run) return false;
        if (delivered) break;
        if (attempt === TRIES) {
          this.#busyUntilMs = this.#deps.now() + REST_MS;
          return false;
        }
        const pauseMs = RETRY_FIRST_MS * 2 ** (attempt - 1);
        this.#busyFor(pauseMs);
        await this.#deps.wait(pauseMs);
        if (run !== this.#run) return false;
      }
      this.#batch = null;
    }
    return true;
  }

  #nextBatch(): EventBatch | null {
    if (this.#batch !== null) return this.#batch;
    const nowMs = this.#deps.now();
    for (const sum of this.#repeats.take(nowMs)) this.#keep(sum);
    const events = this.#waiting.splice(0, MAX_BATCH_EVENTS);
    if (this.#dropped > 0) {
      events.push(logEvent("warn", "log.dropped", { dropped: this.#dropped }, nowMs));
      this.#dropped = 0;
    }
    if (events.length === 0) return null;
    this.#batches += 1;
    this.#batch = { source: this.#source, number: this.#batches, events };
    return this.#batch;
  }

  #busyFor(ms: number): void {
    this.#busyUntilMs = this.#deps.now() + ms + LOST_AFTER_MS;
  }
}
