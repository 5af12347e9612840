const MS_PER_S = 1_000;

/**
 * Stands in for the rate limiting binding, which workerd has not: counts by key and period. Only wrong
 * keys are counted by the relay, and the benchmark has none.
 */
class RateLimit {
  #limit;
  #periodMs;
  #counts = new Map();
  #endsAtMs = 0;

  constructor({ limit, period }) {
    this.#limit = limit;
    this.#periodMs = period * MS_PER_S;
  }

  async limit({ key }) {
    const nowMs = Date.now();
    if (nowMs >= this.#endsAtMs) {
      this.#counts.clear();
      this.#endsAtMs = nowMs + this.#periodMs;
    }
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    return { success: count <= this.#limit };
  }
}

export default (env) => new RateLimit(env.settings);
