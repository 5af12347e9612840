import type { RosterRow } from "./roster-row.ts";

/** A half-open account gets one request first; each that succeeds doubles what may run at once. */
const FIRST_ALLOWANCE = 1;
/** At so many at once the account is trusted again. */
const FULL_ALLOWANCE = 32;
/** A trial that says nothing for so long no longer keeps others waiting. */
const TRIAL_TIMEOUT_MS = 60_000;

interface Trial {
  allowance: number;
  running: number;
  lastBegunAtMs: number;
}

/** A request's stay on an account. Every method may be called twice; the second does nothing. */
export interface Stay {
  /** Upstream's first answer is here: was it the account's own failure? */
  judged(isFailure: boolean): void;
  /** The request has ended, or never went. @returns false where it had left already */
  leave(): boolean;
}

/** What this isolate itself does with each account: requests running, last use, trials. */
export class AccountLoad {
  readonly #inFlight = new Map<string, number>();
  readonly #lastUsedMs = new Map<string, number>();
  readonly #trials = new Map<string, Trial>();

  inFlight(id: string): number {
    return this.#inFlight.get(id) ?? 0;
  }

  /** Unix milliseconds; 0 where this isolate has not used the account. */
  lastUsedMs(id: string): number {
    return this.#lastUsedMs.get(id) ?? 0;
  }

  /**
   * Whether one more request may go there now. False while an account whose circuit breaker opened
   * is being tried, so that its traffic comes back step by step, and not all at once.
   */
  mayEnter(row: RosterRow, nowMs: number): boolean {
    if (!row.isHalfOpen && this.#trials.size === 0) return true;
    const trial = this.#trials.get(row.id);
    if (trial === undefined || trial.running < trial.allowance) return true;
    return nowMs - trial.lastBegunAtMs > TRIAL_TIMEOUT_MS;
  }

  enter(row: RosterRow, nowMs: number): Stay {
    const { id } = row;
    this.#inFlight.set(id, this.inFlight(id) + 1);
    this.#lastUsedMs.set(id, nowMs);
    const trial = this.#trialOf(row, nowMs);
    let isJudged = false;
    let hasLeft = false;
    const judged = (isFailure: boolean | null): void => {
      if (isJudged) return;
      isJudged = true;
      if (trial !== null) this.#endTrial(id, trial, isFailure);
    };
    return {
      judged,
      leave: () => {
        judged(null);
        if (hasLeft) return false;
        hasLeft = true;
        const left = this.inFlight(id) - 1;
        if (left > 0) this.#inFlight.set(id, left);
        else this.#inFlight.delete(id);
        return true;
      },
    };
  }

  #trialOf(row: RosterRow, nowMs: number): Trial | null {
    let trial = this.#trials.get(row.id);
    if (trial === undefined) {
      if (!row.isHalfOpen) return null;
      trial = { allowance: FIRST_ALLOWANCE, running: 0, lastBegunAtMs: nowMs };
      this.#trials.set(row.id, trial);
    }
    trial.running += 1;
    trial.lastBegunAtMs = nowMs;
    return trial;
  }

  /** @param isFailure null where nothing was learnt */
  #endTrial(id: string, trial: Trial, isFailure: boolean | null): void {
    trial.running -= 1;
    if (this.#trials.get(id) !== trial) return;
    if (isFailure === false) trial.allowance *= 2;
    // A failure opens the breaker again: its next trial begins anew.
    const isOver = isFailure === true || trial.allowance > FULL_ALLOWANCE;
    if (isOver) this.#trials.delete(id);
  }
}
