import { RecentMap } from "../recent-map.ts";

/** After the binding said that a network tried too many wrong keys, its look-ups are few so long. */
const SLOWED_MS = 10_000;
/** What a slowed network may still look up each second: a good key that is new here gets in soon. */
const SLOWED_LOOKUPS_PER_S = 3;
const SECOND_MS = 1_000;
const MAX_NETWORKS = 10_000;

interface Slowed {
  untilMs: number;
  secondMs: number;
  lookUps: number;
}

/** Counts by network; loose, per location, and so a guard and no quota. */
export interface RateLimiter {
  limit(options: { key: string }): Promise<{ success: boolean }>;
}

/**
 * Keeps wrong keys from loading the key store. Keys that this isolate knows are never asked about
 * here, so one wrong key in an office does not shut the others out.
 */
export class FailedKeys {
  readonly #limiter: RateLimiter;
  readonly #now: () => number;
  readonly #slowed = new RecentMap<string, Slowed>(MAX_NETWORKS);

  constructor(limiter: RateLimiter, now: () => number = Date.now) {
    this.#limiter = limiter;
    this.#now = now;
  }

  /** Whether a key that is not known here may be looked up in the store now. */
  mayLookUp(network: string | null): boolean {
    const slowed = network === null ? undefined : this.#slowed.get(network);
    const nowMs = this.#now();
    if (slowed === undefined || slowed.untilMs <= nowMs) return true;
    if (nowMs - slowed.secondMs >= SECOND_MS) {
      slowed.secondMs = nowMs;
      slowed.lookUps = 0;
    }
    slowed.lookUps += 1;
    return slowed.lookUps <= SLOWED_LOOKUPS_PER_S;
  }

  /** Counts a key that the store did not know. */
  async note(network: string | null): Promise<void> {
    if (network === null) return;
    const { success } = await this.#limiter.limit({ key: network });
    if (success) return;
    const nowMs = this.#now();
    const known = this.#slowed.get(network);
    const counted = known ?? { untilMs: 0, secondMs: nowMs, lookUps: 0 };
    this.#slowed.set(network, { ...counted, untilMs: nowMs + SLOWED_MS });
  }
}
