import type { Logger } from "../log.ts";
import { RecentCount } from "./recent-count.ts";
import { UnderWay } from "./under-way.ts";

/**
 * So many may ask their keys' meters at one moment. Each step of a request waits behind one step of every
 * other, so that all are the slower the more have begun.
 */
const MAX_ASKING = 64;
/** What a burst may take: who has come and asks no meter yet, and what is under way beyond what is usual. */
const PLACES = 1_200;
/** A request takes one place, and one more for each such part of its body: it is read, kept and looked through. */
const BYTES_A_PLACE = 32 * 1024;
/** All places taken is overload. In it so few may be read, ask or wait for upstream beyond what is usual. */
const OVERLOAD_COMING = 64;
const OVERLOAD_ASKING = 8;
const OVERLOAD_SENT = 8;
/** What is usual varies. */
const USUAL_TIMES = 1.5;
/** Overload is over when for so long nobody was turned away, and nobody had to wait. */
const CALM_MS = 500;
/** Whose turn has not come by then is told to come again. */
const QUEUE_MS = 10_000;
/** How often one who waits looks, on average: the seldomer the more wait, or looking itself would be the work. */
const LOOK_EVERY_MS_EACH = 1 / 2;
const SHORTEST_LOOK_MS = 20;
const LONGEST_LOOK_MS = 500;
/** Who came longer ago is still sending its body, and keeps nobody busy. */
const COMING_FOR_MS = 500;
const COMING_SLICE_MS = 100;
/** Who was sent longer ago takes no place: where nothing is known of what is usual, upstream may think. */
const SENT_LATELY_MS = 2_000;
const SENT_LATELY_SLICE_MS = 100;
/** Of whom nothing was heard for so long the runtime has dropped. */
const LOST_AFTER_MS = 20_000;
const LOST_SLICE_MS = 1_000;
/** One line tells of all who were turned away meanwhile: with a line each fewer could be refused. */
const TELL_EVERY_MS = 1_000;

/** One on its way through the gate: since when it is where it is, and how many places it takes. */
export interface Passage {
  sinceMs: number;
  readonly places: number;
}

/**
 * Lets requests in, or turns them away while more come than this isolate can serve: see
 * docs/decisions/a-full-queue-is-overload.md.
 */
export class Gate {
  readonly #log: Logger;
  /** Places of those who have come, and are still being read. */
  readonly #coming = new RecentCount(COMING_SLICE_MS, COMING_FOR_MS / COMING_SLICE_MS);
  /** Places of those who wait until they may ask. */
  readonly #waiting = new RecentCount(LOST_SLICE_MS, LOST_AFTER_MS / LOST_SLICE_MS);
  /** Who waits for its meter. */
  readonly #asking = new UnderWay(LOST_SLICE_MS, LOST_AFTER_MS / LOST_SLICE_MS);
  /** Who waits for upstream, and who of these was sent lately. */
  readonly #sent = new UnderWay(LOST_SLICE_MS, LOST_AFTER_MS / LOST_SLICE_MS);
  readonly #sentLately = new RecentCount(
    SENT_LATELY_SLICE_MS,
    SENT_LATELY_MS / SENT_LATELY_SLICE_MS,
  );
  #isOverloaded = false;
  /** When someone was last turned away or had to wait. */
  #pressedAtMs = 0;
  #untold = 0;
  #toldAtMs = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Whether a request has to be turned away that has just come. */
  isShut(): boolean {
    const nowMs = Date.now();
    const coming = this.#coming.count(nowMs) + this.#waiting.count(nowMs);
    const asking = this.#asking.count(nowMs) - USUAL_TIMES * this.#asking.usual;
    const usualSent = USUAL_TIMES * this.#sent.usual;
    const sentLately = this.#sentLately.count(nowMs) - usualSent;
    const taken = coming + Math.max(0, asking) + Math.max(0, sentLately);
    if (taken >= PLACES) this.#isOverloaded = true;
    else if (nowMs - this.#pressedAtMs >= CALM_MS) this.#isOverloaded = false;
    if (!this.#isOverloaded) return false;
    const sent = this.#sent.count(nowMs) - usualSent;
    return coming >= OVERLOAD_COMING || asking >= OVERLOAD_ASKING || sent >= OVERLOAD_SENT;
  }

  /**
   * A request has come. To be followed by `ask` or `leave`.
   *
   * @param bodyBytes as declared; NaN where it is not
   */
  arrive(bodyBytes: number): Passage {
    const sinceMs = Date.now();
    const places = 1 + (bodyBytes > BYTES_A_PLACE ? Math.floor(bodyBytes / BYTES_A_PLACE) : 0);
    this.#coming.begin(sinceMs, places);
    return { sinceMs, places };
  }

  /** A request that has come has its answer, and asks no meter. */
  leave({ sinceMs, places }: Passage): void {
    this.#coming.end(sinceMs, places);
  }

  /** Whether a request may ask its meter now; then `ask` has to follow in the same turn. */
  mayAsk(): boolean {
    return this.#asking.count(Date.now()) < MAX_ASKING;
  }

  /**
   * Waits until a request may ask, for ten seconds at the most. Each looks for itself: nobody waits for
   * another one's promise, which the runtime may never resolve.
   *
   * @returns whether it may now
   */
  async waitToAsk(passage: Passage): Promise<boolean> {
    this.leave(passage);
    passage.sinceMs = Number.NEGATIVE_INFINITY;
    const { places } = passage;
    const beganAtMs = Date.now();
    this.#waiting.begin(beganAtMs, places);
    let nowMs = beganAtMs;
    do {
      this.#pressedAtMs = nowMs;
      const everyMs = this.#waiting.count(nowMs) * LOOK_EVERY_MS_EACH;
      const lookMs = Math.min(Math.max(everyMs, SHORTEST_LOOK_MS), LONGEST_LOOK_MS);
      await scheduler.wait(lookMs * (0.5 + Math.random()));
      nowMs = Date.now();
    } while (!this.mayAsk() && nowMs - beganAtMs < QUEUE_MS);
    this.#waiting.end(beganAtMs, places);
    return this.mayAsk();
  }

  /** A request asks its meter. To be followed by `metered`. */
  ask(passage: Passage): void {
    this.leave(passage);
    passage.sinceMs = Date.now();
    this.#asking.begin(passage.sinceMs);
  }

  /** The meter of one that asked has answered, or cannot be asked. */
  metered({ sinceMs }: Passage): void {
    this.#asking.answered(sinceMs, Date.now(), !this.#isOverloaded);
  }

  /** A request goes upstream. To be followed by `answered`. */
  send(passage: Passage): void {
    passage.sinceMs = Date.now();
    this.#sent.begin(passage.sinceMs);
    this.#sentLately.begin(passage.sinceMs, 1);
  }

  /** Upstream has answered, up to the head where that streams, or will not. */
  answered({ sinceMs }: Passage, hasAnswered: boolean): void {
    this.#sentLately.end(sinceMs, 1);
    if (hasAnswered) this.#sent.answered(sinceMs, Date.now(), !this.#isOverloaded);
    else this.#sent.drop(sinceMs);
  }

  /** Someone was turned away. */
  noteRefused(): void {
    const nowMs = Date.now();
    this.#pressedAtMs = nowMs;
    this.#untold += 1;
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return;
    this.#log("warn", "request.refused", { reason: "relay_overloaded", repeated: this.#untold });
    this.#toldAtMs = nowMs;
    this.#untold = 0;
  }
}
