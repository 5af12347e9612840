/**
 * Counts what is under way, and forgets what began too long ago: the end of a request that the runtime has
 * dropped is never heard of, and would else be counted for as long as the isolate lives.
 */
export class RecentCount {
  readonly #sliceMs: number;
  /** How many began in each of the last slices of time, and have not ended. */
  readonly #begun: number[];
  #slice = 0;
  #count = 0;

  /** What began more than `sliceMs * slices` ago is forgotten. */
  constructor(sliceMs: number, slices: number) {
    this.#sliceMs = sliceMs;
    this.#begun = Array.from({ length: slices }, () => 0);
  }

  count(nowMs: number): number {
    this.#forget(nowMs);
    return this.#count;
  }

  begin(nowMs: number, amount: number): void {
    this.#forget(nowMs);
    this.#add(this.#slice, amount);
  }

  /** Both as `begin` was told. */
  end(begunAtMs: number, amount: number): void {
    const slice = Math.floor(begunAtMs / this.#sliceMs);
    const isForgotten = slice > this.#slice || slice <= this.#slice - this.#begun.length;
    // After the clock was set back what was begun before is forgotten, though its time may come again.
    if (!isForgotten) this.#add(slice, -Math.min(amount, this.#begunIn(slice)));
  }

  #add(slice: number, more: number): void {
    this.#begun[slice % this.#begun.length] = this.#begunIn(slice) + more;
    this.#count += more;
  }

  #begunIn(slice: number): number {
    return this.#begun[slice % this.#begun.length] ?? 0;
  }

  #forget(nowMs: number): void {
    const slice = Math.floor(nowMs / this.#sliceMs);
    if (slice === this.#slice) return;
    const wasSetBack = slice < this.#slice;
    const passed = wasSetBack ? this.#begun.length : slice - this.#slice;
    for (let nth = 1; nth <= Math.min(passed, this.#begun.length); nth += 1) {
      const oldest = this.#slice + nth;
      this.#add(oldest, -this.#begunIn(oldest));
    }
    this.#slice = slice;
  }
}
