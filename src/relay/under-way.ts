import { RecentCount } from "./recent-count.ts";

const SECOND_MS = 1_000;
/** The most that was answered in a second counts for less with each second since. */
const STILL_COUNTS = 0.8;
/** What one second changes in what is usual. */
const ONE_SECONDS_SHARE = 1 / 8;

/** What was asked of another and has no answer yet, and how much of that is usual. */
export class UnderWay {
  readonly #begun: RecentCount;
  #second = 0;
  #answered = 0;
  #waitedMs = 0;
  #perSecond = 0;
  #usualMs: number | null = null;

  /** What began more than `sliceMs * slices` ago is forgotten. */
  constructor(sliceMs: number, slices: number) {
    this.#begun = new RecentCount(sliceMs, slices);
  }

  count(nowMs: number): number {
    return this.#begun.count(nowMs);
  }

  begin(nowMs: number): void {
    this.#begun.begin(nowMs, 1);
  }

  /**
   * @param beganAtMs when it began
   * @param isUsual false where the relay itself may be what was waited for
   */
  answered(beganAtMs: number, nowMs: number, isUsual: boolean): void {
    this.#begun.end(beganAtMs, 1);
    const second = Math.floor(nowMs / SECOND_MS);
    if (second !== this.#second) this.#endSecond(second, isUsual);
    this.#answered += 1;
    this.#waitedMs += nowMs - beganAtMs;
  }

  /** It will not be answered. */
  drop(beganAtMs: number): void {
    this.#begun.end(beganAtMs, 1);
  }

  /** How many are under way when as many are answered in a second as of late, and in the usual time. */
  get usual(): number {
    return (this.#perSecond * (this.#usualMs ?? 0)) / SECOND_MS;
  }

  #endSecond(second: number, isUsual: boolean): void {
    const passed = Math.max(1, second - this.#second);
    this.#perSecond = Math.max(this.#answered, this.#perSecond * STILL_COUNTS ** passed);
    if (this.#answered > 0) {
      const meanMs = this.#waitedMs / this.#answered;
      if (this.#usualMs === null) this.#usualMs = meanMs;
      else if (isUsual) this.#usualMs += (meanMs - this.#usualMs) * ONE_SECONDS_SHARE;
    }
    this.#second = second;
    this.#answered = 0;
    this.#waitedMs = 0;
  }
}
