import { hash32, mixed } from "../accounts/rendezvous.ts";

/** One that did not answer is left alone for so long while another one can be asked. */
const REST_MS = 10_000;

export interface ForwardProxy {
  name: string;
  /** An origin. */
  url: string;
}

/** The forward proxies of the configuration, and which of them answered this isolate lately. */
export class ForwardProxies {
  readonly all: readonly ForwardProxy[];
  readonly #now: () => number;
  readonly #restsUntilMs = new Map<string, number>();

  constructor(all: readonly ForwardProxy[], now: () => number) {
    this.all = all;
    this.#now = now;
  }

  /**
   * Those that an account may use, the one to ask first in front. Each account keeps to one while it
   * can, so that connections to its proxy are used again.
   *
   * @param via the only one that it may use; null: any
   */
  orderFor(accountId: string, via: string | null): ForwardProxy[] {
    if (via !== null) return this.all.filter(({ name }) => name === via);
    const subject = hash32(accountId);
    const score = ({ name }: ForwardProxy) => mixed(subject, hash32(name));
    return [...this.all].sort(
      (left, right) => this.#restMs(left) - this.#restMs(right) || score(right) - score(left),
    );
  }

  failed({ name }: ForwardProxy): void {
    this.#restsUntilMs.set(name, this.#now() + REST_MS);
  }

  answered({ name }: ForwardProxy): void {
    if (this.#restsUntilMs.size > 0) this.#restsUntilMs.delete(name);
  }

  /** How long it is to be left alone from now; 0: not at all. */
  #restMs({ name }: ForwardProxy): number {
    return Math.max(0, (this.#restsUntilMs.get(name) ?? 0) - this.#now());
  }
}
