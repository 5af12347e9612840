/** One request inside a sliding window. */
interface Entry {
  id: string;
  atMs: number;
  tokens: number;
  cost: number;
}

export type WindowMeasure = "requests" | "tokens" | "cost";

/**
 * The requests of the last minutes, with running sums: exact at every moment, so that there is no
 * border at which a limit could be spent twice. Entries are in order of time.
 */
export class SlidingWindow {
  readonly lengthMs: number;
  readonly #entries: Entry[] = [];
  /** Those whose use is not known yet. */
  readonly #running = new Map<string, Entry>();
  /** Where the window begins in `#entries`; what lies before it has slid out. */
  #first = 0;
  #tokens = 0;
  #cost = 0;

  constructor(lengthMs: number) {
    this.lengthMs = lengthMs;
  }

  /** A request that begins now; what it uses counts once it is known. */
  begin(id: string, atMs: number): void {
    const entry = { id, atMs, tokens: 0, cost: 0 };
    this.#entries.push(entry);
    this.#running.set(id, entry);
  }

  /** A request of the past. */
  recall(id: string, atMs: number, tokens: number, cost: number): void {
    this.begin(id, atMs);
    this.complete(id, tokens, cost, atMs);
  }

  /** What a request used is known when it ends; it counts from the time it began. */
  complete(id: string, tokens: number, cost: number, nowMs: number): void {
    this.#slide(nowMs);
    const entry = this.#running.get(id);
    // One that has slid out already counts no more.
    if (entry === undefined) return;
    this.#running.delete(id);
    entry.tokens = tokens;
    entry.cost = cost;
    this.#tokens += tokens;
    this.#cost += cost;
  }

  used(measure: WindowMeasure, nowMs: number): number {
    this.#slide(nowMs);
    if (measure === "requests") return this.#entries.length - this.#first;
    return measure === "tokens" ? this.#tokens : this.#cost;
  }

  /**
   * When so much will have slid out that less than `limit` is used.
   *
   * @returns unix milliseconds; null where the limit is 0 and no waiting helps
   */
  freeAtMs(measure: WindowMeasure, limit: number, nowMs: number): number | null {
    if (limit <= 0) return null;
    let used = this.used(measure, nowMs);
    for (let index = this.#first; index < this.#entries.length; index += 1) {
      const entry = this.#entries[index];
      if (entry === undefined) break;
      used -= measure === "requests" ? 1 : entry[measure];
      if (used < limit) return entry.atMs + this.lengthMs;
    }
    return nowMs;
  }

  /** When the oldest request slides out; null where there is none. */
  resetAtMs(nowMs: number): number | null {
    this.#slide(nowMs);
    const oldest = this.#entries[this.#first];
    return oldest === undefined ? null : oldest.atMs + this.lengthMs;
  }

  #slide(nowMs: number): void {
    for (;;) {
      const entry = this.#entries[this.#first];
      if (entry === undefined || entry.atMs + this.lengthMs > nowMs) break;
      this.#tokens -= entry.tokens;
      this.#cost -= entry.cost;
      this.#running.delete(entry.id);
      this.#first += 1;
    }
    // Dropping the front each time would move the whole array.
    if (this.#first > 1_000 && this.#first * 2 > this.#entries.length) {
      this.#entries.splice(0, this.#first);
      this.#first = 0;
    }
  }
}
