import { setTimeout as sleep } from "node:timers/promises";
import { ensureBundle, type WorkerBundle } from "../../scripts/host/bundle.ts";
import { Stage, type StageParts, setUp } from "./stage.ts";
import { CLOCK_BINDING, DOOR_PATH, troubledWorker } from "./troubled-worker.ts";

export const OBJECT_CLASSES = [
  "KeyMeter",
  "ClaudeAccount",
  "Fleet",
  "UsageLedger",
  "EventLog",
  "AdminGate",
  "Alerts",
] as const;
export type ObjectClass = (typeof OBJECT_CLASSES)[number];

/** Shares of all calls, from 0 to 1. */
export interface Trouble {
  objects?: Partial<
    Record<
      ObjectClass,
      {
        /** Half of them before the object has done its work, half after it. */
        throws?: number;
        /** The same on the way to the object, with the runtime's mark that trying again may help. */
        unreached?: number;
        /** The object is ended in the middle of them. */
        evicted?: number;
      }
    >
  >;
  keyStore?: { reads: number; writes: number };
}

/** More than one account and one key ask at once, and less than would refuse the load by itself. */
const PLACES = 12;
const STRIKE_TRIES = 200;
const POLL_MS = 50;

/** A relay whose objects, key store and clock can be made to go wrong. */
export class TroubledStage extends Stage {
  readonly #bundle: WorkerBundle;
  #trouble: Trouble = {};
  #clockAheadMs = 0;

  constructor(bundle: WorkerBundle, parts: StageParts) {
    super(parts);
    this.#bundle = bundle;
  }

  static override async open(): Promise<TroubledStage> {
    const bundle = troubledWorker(await ensureBundle());
    // With a bound on what runs at once, every request needs its account's object, and what is not
    // given back is missed.
    const account = { maxConcurrency: PLACES };
    const key = { limits: { concurrency: PLACES } };
    // The clock may go months ahead, and every request is looked up at the end.
    const vars = { LEDGER_RECENT_DAYS: "400" };
    return new TroubledStage(bundle, await setUp({ relay: { bundle, vars }, account, key }));
  }

  /** This goes wrong for as long, and at least until it has gone wrong once. */
  async suffer(trouble: Trouble, forMs: number): Promise<void> {
    this.#trouble = trouble;
    await this.#tell();
    await sleep(forMs);
    for (let tries = 0; (await this.#struckCalls()) === 0; tries += 1) {
      if (tries > STRIKE_TRIES) throw new Error("nothing was called that could go wrong");
      await sleep(POLL_MS);
    }
    this.#trouble = {};
    await this.#tell();
  }

  /** Moves the relay's clock; it runs on from there. */
  async moveClock(byMs: number): Promise<void> {
    this.#clockAheadMs += byMs;
    // For a relay that is started again.
    this.#bundle.options.bindings[CLOCK_BINDING] = String(this.#clockAheadMs);
    await this.#tell();
  }

  nowMs(): number {
    return Date.now() + this.#clockAheadMs;
  }

  async #struckCalls(): Promise<number> {
    const answer = await fetch(this.relay.url + DOOR_PATH);
    return Number(await answer.json());
  }

  async #tell(): Promise<void> {
    const wanted = { ...this.#trouble, clockAheadMs: this.#clockAheadMs };
    await fetch(this.relay.url + DOOR_PATH, { method: "POST", body: JSON.stringify(wanted) });
  }
}
