import { describeError } from "../background.ts";
import { callObject } from "../durable-call.ts";
import type { Logger } from "../log.ts";

/** Well below what one saying holds for: see `watchLedger` of the Fleet. */
const SAY_EVERY_MS = 30_000;

interface FleetStub {
  watchLedger(): Promise<void>;
}

/**
 * Tells that someone reads the usage ledger, so that meters deliver soon: where no one does, they save
 * up. The way is the Fleet's snapshot, which every Worker reads every few seconds.
 */
export class LedgerWatch {
  readonly #fleet: () => FleetStub;
  readonly #log: Logger;
  readonly #now: () => number;
  #saidAtMs = Number.NEGATIVE_INFINITY;

  constructor(fleet: () => FleetStub, log: Logger, now: () => number = Date.now) {
    this.#fleet = fleet;
    this.#log = log;
    this.#now = now;
  }

  /** Never rejects: where it cannot be told, what is read may be older, and is no less true. */
  async note(): Promise<void> {
    const nowMs = this.#now();
    if (nowMs - this.#saidAtMs < SAY_EVERY_MS) return;
    this.#saidAtMs = nowMs;
    try {
      await callObject(this.#fleet, (fleet) => fleet.watchLedger());
    } catch (error) {
      this.#saidAtMs = Number.NEGATIVE_INFINITY;
      this.#log("warn", "ledger.watch_untold", { error: describeError(error) });
    }
  }
}
