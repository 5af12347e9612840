import { tokenKey } from "../../forward-proxy/src/contract.ts";
import type { Fetch } from "../upstream/oauth.ts";
import type { Leg } from "./fault.ts";
import { type ForwardDependencies, ForwardEgress } from "./forward.ts";
import { ForwardProxies, type ForwardProxy } from "./forward-proxies.ts";

/** The proxy of one account. Only ever stored sealed, and shown without its password. */
export interface AccountProxy {
  type: "socks5" | "http" | "https";
  host: string;
  port: number;
  username?: string | undefined;
  password?: string | undefined;
  /** The forward proxy that dials it, by name; any of them where it is not given. */
  via?: string | undefined;
}

/** Why an account's traffic has no way out. It never falls back to going direct. */
export interface NoEgress {
  kind: "no_egress";
  message: string;
}

/** An answer, and how it came. */
export interface Walk {
  answer: Response;
  legs: readonly Leg[];
  /** By name; null where the way was direct. */
  forwardProxy: string | null;
}

/** A way upstream: direct, or through a forward proxy and the account's own. */
export interface Egress {
  /** As the global one. @throws EgressFailed where the way failed, so that it is no answer's fault */
  fetch: Fetch;
  /** The same over connections of its own, with the time of each leg: for tests of the way. */
  walk: (input: string, init: RequestInit) => Promise<Walk>;
}

export interface EgressConfig {
  forwardProxies: readonly ForwardProxy[];
  forwardProxySecret: string;
}

/** The ways upstream that the configuration gives. */
export class Egresses {
  readonly forwardProxies: ForwardProxies;
  readonly #direct: Egress;
  readonly #forward: ForwardDependencies;
  #key: CryptoKey | null = null;

  constructor(
    { forwardProxies, forwardProxySecret }: EgressConfig,
    fetcher: Fetch = (input, init) => fetch(input, init),
    now: () => number = Date.now,
  ) {
    this.forwardProxies = new ForwardProxies(forwardProxies, now);
    this.#direct = {
      fetch: fetcher,
      walk: async (input, init) => {
        const beganAtMs = now();
        const answer = await fetcher(input, init);
        const legs = [{ name: "first_byte", ms: now() - beganAtMs } as const];
        return { answer, legs, forwardProxy: null };
      },
    };
    this.#forward = {
      forwardProxies: this.forwardProxies,
      // The result is kept, not the promise: one that belongs to another request may never resolve.
      key: async () => {
        this.#key ??= await tokenKey(forwardProxySecret);
        return this.#key;
      },
      fetch: fetcher,
      now,
    };
  }

  /** Whether accounts with a proxy of their own can be served at all. */
  get canReachProxies(): boolean {
    return this.forwardProxies.all.length > 0;
  }

  /** The way of an account. One with a proxy gets no other than through it. */
  of(accountId: string, proxy: AccountProxy | null): Egress {
    return proxy === null ? this.#direct : new ForwardEgress(this.#forward, accountId, proxy);
  }
}
