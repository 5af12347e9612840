/** Tokens of a minute at some 1,600 requests a second; some 20 MB. */
const MAX_TOKENS = 100_000;

/** Remembers the tokens that were used, each until it would be refused anyway. */
export class ReplayMemory {
  readonly #max: number;
  /** Token ids with the end of each, in the order in which they came. */
  readonly #used = new Map<string, number>();

  constructor(max: number = MAX_TOKENS) {
    this.#max = max;
  }

  get size(): number {
    return this.#used.size;
  }

  /** @returns "full" where one more could only be remembered by forgetting one that still counts */
  use(id: string, expiresAtMs: number, nowMs: number): "first" | "replayed" | "full" {
    if (this.#used.has(id)) return "replayed";
    this.#forget(nowMs);
    if (this.#used.size >= this.#max) return "full";
    this.#used.set(id, expiresAtMs);
    return "first";
  }

  /** All tokens live equally long, so the oldest end first, give or take a clock's skew. */
  #forget(nowMs: number): void {
    for (const [id, expiresAtMs] of this.#used) {
      if (expiresAtMs > nowMs) return;
      this.#used.delete(id);
    }
  }
}
