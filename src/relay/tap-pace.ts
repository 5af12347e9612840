/**
 * The tap wakes seldom and reads much at once: the price of a stream is paid per chunk that JavaScript
 * sees, and the client's bytes flow natively meanwhile. What it has not read yet is kept in memory, so
 * it looks the more often the more it finds, and the less often the less.
 */
const FIRST_INTERVAL_MS = 250;
const SHORTEST_INTERVAL_MS = 40;
const LONGEST_INTERVAL_MS = 1_000;
/** So much at once came late; a quarter of it came early. */
const MUCH_BYTES = 16 * 1024;
const LITTLE_BYTES = MUCH_BYTES / 4;

/** How long a stream's tap sleeps between two looks. */
export class TapPace {
  #intervalMs = FIRST_INTERVAL_MS;
  #foundBytes = 0;

  found(bytes: number): void {
    this.#foundBytes += bytes;
  }

  /** @returns for how many milliseconds it may sleep now, after what was found since the last time */
  sleepMs(): number {
    if (this.#foundBytes > MUCH_BYTES) {
      this.#intervalMs = Math.max(this.#intervalMs / 2, SHORTEST_INTERVAL_MS);
    } else if (this.#foundBytes < LITTLE_BYTES) {
      this.#intervalMs = Math.min(this.#intervalMs * 2, LONGEST_INTERVAL_MS);
    }
    this.#foundBytes = 0;
    return this.#intervalMs;
  }
}
