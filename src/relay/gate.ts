import type { Logger } from "../log.ts";
import { RecentCount } from "./recent-count.ts";

/**
 * So many may ask their keys' meters at one moment. Each step of a request waits behind one step of every
 * other, so that all are the slower the more have begun.
 */
const MAX_ASKING = 64;
/** So many more may wait until they can ask: a burst is served a little later. A thousand at once is one. */
const MAX_QUEUED = 1_200;
/** Whose turn has not come by then is told to come again. */
const QUEUE_MS = 5_000;
/** How often one who waits looks, on average: ten times as often towards the end, so that the oldest go first. */
const LOOK_EVERY_MS = 200;
const LAST_LOOKS_MS = 20;
/** Where so many ask, and for so long no meter has answered soon, more is let in than can be served. */
const MANY_ASKING = 48;
const TROUBLE_AFTER_MS = 500;
/** Soon is within this of the quickest one. */
const SOON_MS = 50;
/** From the other side of the world a meter answers within these. */
const FARTHEST_MS = 250;
/** So many may be new at most, and in trouble at least. */
const MOST_NEW = 1_500;
const LEAST_NEW = 64;
/** For each whose meter answered soon: faster, and there would be too many before it shows. */
const OPENED_BY_ONE = 1 / 8;
/** Who came longer ago and has no answer waits for upstream, or is still sending, and keeps nobody busy. */
const NEW_FOR_MS = 500;
const NEW_SLICES = 5;
/** Of whom nothing was heard for so long the runtime has dropped. */
const LOST_AFTER_MS = 20_000;
const LOST_SLICE_MS = 1_000;
/** Overload is over when for so long nobody was turned away. */
const CALM_MS = 5_000;
/** One line tells of all who were turned away meanwhile: with a line each fewer could be refused. */
const TELL_EVERY_MS = 1_000;

/**
 * Lets requests in, or turns them away while more come than this isolate can serve: see
 * docs/decisions/shed-by-waiting-time.md.
 */
export class Gate {
  readonly #log: Logger;
  /** Who has come and has no answer. */
  readonly #new = new RecentCount(NEW_FOR_MS / NEW_SLICES, NEW_SLICES);
  /** Who waits until it may ask. */
  readonly #queued = new RecentCount(LOST_SLICE_MS, LOST_AFTER_MS / LOST_SLICE_MS);
  /** Who waits for its meter. */
  readonly #asking = new RecentCount(LOST_SLICE_MS, LOST_AFTER_MS / LOST_SLICE_MS);
  #mostNew = MOST_NEW;
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

  /** Whether a request has to be turned away that has just come. */
  isShut(): boolean {
    const nowMs = Date.now();
    return this.#new.count(nowMs) >= this.#mostNew || this.#queued.count(nowMs) >= MAX_QUEUED;
  }

  /**
   * A request has come. To be followed by `leave`.
   *
   * @returns when it came, in unix milliseconds
   */
  arrive(): number {
    const nowMs = Date.now();
    this.#new.begin(nowMs);
    return nowMs;
  }

  /** Whether a request may ask its meter now; then `ask` has to follow in the same turn. */
  mayAsk(): boolean {
    return this.#asking.count(Date.now()) < MAX_ASKING;
  }

  /**
   * Waits until a request may ask, for five seconds at the most. Each looks for itself: nobody waits for
   * another one's promise, which the runtime may never resolve.
   *
   * @returns whether it may now
   */
  async waitToAsk(): Promise<boolean> {
    const beganAtMs = Date.now();
    if (this.#queued.count(beganAtMs) >= MAX_QUEUED) return false;
    let waitedMs = 0;
    this.#queued.begin(beganAtMs);
    do {
      const everyMs = Math.max(LAST_LOOKS_MS, LOOK_EVERY_MS * (1 - waitedMs / QUEUE_MS));
      await scheduler.wait(everyMs * (0.5 + Math.random()));
      waitedMs = Date.now() - beganAtMs;
    } while (!this.mayAsk() && waitedMs < QUEUE_MS);
    this.#queued.end(beganAtMs);
    return this.mayAsk();
  }

  /** @returns when it asked, in unix milliseconds; to be followed by `metered` */
  ask(): number {
    const nowMs = Date.now();
    // Before there were many it does not matter how long ago the last one was.
    if (this.#asking.count(nowMs) < MANY_ASKING) this.#quickAtMs = nowMs;
    this.#asking.begin(nowMs);
    return nowMs;
  }

  /** The meter of one that asked has answered, or cannot be asked. */
  metered(askedAtMs: number): void {
    const nowMs = Date.now();
    const waitMs = nowMs - askedAtMs;
    const areMany = this.#asking.count(nowMs) >= MANY_ASKING;
    this.#asking.end(askedAtMs);
    if (waitMs < this.#leastWaitMs) this.#leastWaitMs = waitMs;
    const isQuick = waitMs <= this.#leastWaitMs + SOON_MS;
    if (isQuick) this.#quickAtMs = nowMs;
    if (areMany && nowMs - this.#quickAtMs > TROUBLE_AFTER_MS) {
      this.#mostNew = LEAST_NEW;
      this.#troubleAtMs = nowMs;
    } else if (this.#isTroubled) {
      if (nowMs - this.#troubleAtMs >= CALM_MS) this.#mostNew = MOST_NEW;
      else if (isQuick) this.#mostNew += OPENED_BY_ONE;
    }
  }

  /** A request has its answer, up to the head where that streams. */
  leave(arrivedAtMs: number): void {
    this.#new.end(arrivedAtMs);
  }

  /** Someone was turned away. */
  noteRefused(): void {
    const nowMs = Date.now();
    this.#troubleAtMs = nowMs;
    this.#untold += 1;
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return;
    this.#log("warn", "request.refused", { reason: "relay_overloaded", repeated: this.#untold });
    this.#toldAtMs = nowMs;
    this.#untold = 0;
  }

  get #isTroubled(): boolean {
    return this.#mostNew < MOST_NEW;
  }
}
