/** Times in microseconds, kept one by one: a run has some ten thousand of them, at most a million. */
export class Samples {
  #values = new Float64Array(65_536);
  #count = 0;
  #sorted = false;

  get count(): number {
    return this.#count;
  }

  add(micros: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count] = micros;
    this.#count += 1;
    this.#sorted = false;
  }

  /** @returns the value that so large a part of all is below, or 0 where there is none */
  quantile(part: number): number {
    if (this.#count === 0) return 0;
    const values = this.#values.subarray(0, this.#count);
    if (!this.#sorted) values.sort();
    this.#sorted = true;
    return values[Math.min(this.#count - 1, Math.floor(this.#count * part))] ?? 0;
  }
}
