import { CLOCK_SKEW_S, type Grant, openToken } from "./contract.ts";
import { Fault } from "./fault.ts";
import { ReplayMemory } from "./replay-memory.ts";

const CLOCK_SKEW_MS = CLOCK_SKEW_S * 1_000;

export interface GateOptions {
  key: CryptoKey;
  upstreamOrigins: ReadonlySet<string>;
  startedAtMs: number;
  now?: () => number;
  memory?: ReplayMemory;
}

/** Lets a request in by its token, once, to an upstream on the list. */
export class Gate {
  readonly #options: GateOptions;
  readonly #memory: ReplayMemory;
  readonly #now: () => number;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#memory = options.memory ?? new ReplayMemory();
    this.#now = options.now ?? Date.now;
  }

  /** @throws Fault */
  async admit(token: string | undefined): Promise<Grant> {
    if (token === undefined) throw new Fault("token_refused", "no token");
    const opened = await openToken(this.#options.key, token, this.#now());
    if (opened === null) throw new Fault("token_refused", "damaged, too old or of another secret");
    // One of before this process began may have been used then: its memory is gone.
    if (opened.issuedAtMs + CLOCK_SKEW_MS < this.#options.startedAtMs) {
      throw new Fault("token_refused", "older than this process");
    }
    switch (this.#memory.use(opened.id, opened.expiresAtMs, this.#now())) {
      case "replayed":
        throw new Fault("token_refused", "used before");
      case "full":
        throw new Fault("overloaded", "too many tokens to remember");
    }
    const { origin, proxy, fresh } = opened;
    if (!this.#options.upstreamOrigins.has(origin)) {
      throw new Fault("origin_not_allowed", "upstream is not on the list");
    }
    return { origin, proxy, fresh };
  }
}
