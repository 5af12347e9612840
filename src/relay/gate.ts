import type { Logger } from "../log.ts";

/** So many may wait at once for their keys' meters: a burst passes, and no queue is without end. */
const MAX_WAITING = 128;
/** Where so many wait, a meter that answers this much later than the quickest one was not reached for so long. */
const MANY_WAITING = 32;
const LONG_WAIT_MS = 25;
/** From the other side of the world a meter answers within these. */
const FARTHEST_MS = 250;
/** So many are let in even then: of these alone nobody waits for long. */
const LEAST_INSIDE = 64;
/** Overload is over when for so long nobody was turned away. */
const CALM_MS = 5_000;
/** One line tells of all who were turned away meanwhile: with a line each fewer could be refused. */
const TELL_EVERY_MS = 1_000;
/** For each whose meter answered soon: faster, and there would be too many before it shows. */
const OPENED_BY_ONE = 1 / 8;
const ALL = Number.POSITIVE_INFINITY;

/**
 * Lets requests in, or turns them away while more come than this isolate can serve. Those inside wait
 * for their key's meter, and then for the head of their answer.
 *
 * Their number says nothing by itself: upstream may take its time for thousands. But where many wait
 * for meters, and none answers soon, it is this isolate's own queue that they wait in, and each who is
 * let in makes it longer. Then only a few may be inside, and one more with each eight whose meters
 * answer soon again. See docs/decisions/shed-by-waiting-time.md.
 */
export class Gate {
  readonly #log: Logger;
  #inside = 0;
  #waiting = 0;
  #mostInside = ALL;
  /** The shortest wait for a meter so far: its distance. */
  #leastWaitMs = FARTHEST_MS;
  /** When a meter last answered soon. */
  #quickAtMs = 0;
  /** When someone was last turned away, or none answered soon. */
  #troubleAtMs = 0;
  #untold = 0;
  #toldAtMs = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether one more may come in. Who may not is counted as turned away. */
  hasRoom(): boolean {
    if (this.#inside < this.#mostInside && this.#waiting < MAX_WAITING) {
      if (this.#untold > 0) this.#tell(Date.now());
      return true;
    }
    const nowMs = Date.now();
    this.#troubleAtMs = nowMs;
    this.#untold += 1;
    this.#tell(nowMs);
    return false;
  }

  /** To be called in the same turn as `hasRoom`, and followed by `metered` and `leave`. */
  enter(): void {
    this.#inside += 1;
    this.#waiting += 1;
  }

  /** The meter of one that has entered has answered, or cannot be asked. */
  metered(enteredAtMs: number): void {
    const nowMs = Date.now();
    const waitMs = nowMs - enteredAtMs;
    const areMany = this.#waiting >= MANY_WAITING;
    this.#waiting -= 1;
    if (waitMs < this.#leastWaitMs) this.#leastWaitMs = waitMs;
    const isQuick = waitMs <= this.#leastWaitMs + LONG_WAIT_MS;
    if (isQuick) this.#quickAtMs = nowMs;
    if (areMany && nowMs - this.#quickAtMs > LONG_WAIT_MS) {
      this.#mostInside = LEAST_INSIDE;
      this.#troubleAtMs = nowMs;
    } else if (this.#mostInside !== ALL) {
      if (nowMs - this.#troubleAtMs >= CALM_MS) this.#mostInside = ALL;
      else if (isQuick) this.#mostInside += OPENED_BY_ONE;
    }
  }

  leave(): void {
    this.#inside -= 1;
  }

  #tell(nowMs: number): void {
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return;
    this.#log("warn", "request.refused", { reason: "relay_overloaded", repeated: this.#untold });
    this.#toldAtMs = nowMs;
    this.#untold = 0;
  }
}
