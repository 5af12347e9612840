import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { Fault } from "./fault.ts";
import { isPublicAddress } from "./special-networks.ts";

/** An address that was checked, and that alone may be dialled for its name. */
export interface CheckedAddress {
  address: string;
  family: 4 | 6;
}

export type Resolve = (host: string) => Promise<{ address: string; family: number }[]>;

/** Finds the addresses of a proxy, and refuses those that are not public. */
export class AddressGuard {
  readonly #allowed: ReadonlySet<string>;
  readonly #resolve: Resolve;

  /** @param allowed addresses that may be dialled although they are not public */
  constructor(allowed: readonly string[], resolve: Resolve = resolveByName) {
    this.#allowed = new Set(allowed);
    this.#resolve = resolve;
  }

  /**
   * Resolves a name once: whoever dials must dial what comes back, and not ask again.
   *
   * @throws Fault where one of its addresses is not allowed, or there is none
   */
  async addressesOf(host: string): Promise<CheckedAddress[]> {
    const bare = host.replace(/^\[|\]$/g, "");
    const family = isIP(bare);
    const found = family === 0 ? await this.#lookUp(bare) : [{ address: bare, family }];
    return found.map(({ address, family: kind }) => {
      if (!this.#allowed.has(address) && !isPublicAddress(address)) {
        throw new Fault("proxy_not_allowed", "an address of the proxy is not public");
      }
      return { address, family: kind === 6 ? 6 : 4 };
    });
  }

  async #lookUp(host: string): Promise<{ address: string; family: number }[]> {
    let found: { address: string; family: number }[];
    try {
      found = await this.#resolve(host);
    } catch {
      found = [];
    }
    if (found.length === 0) throw new Fault("proxy_unreachable", "the proxy's name is unknown");
    return found;
  }
}

function resolveByName(host: string): ReturnType<Resolve> {
  return lookup(host, { all: true });
}
