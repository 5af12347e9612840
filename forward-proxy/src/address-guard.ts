import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { Fault } from "./fault.ts";
import { SPECIAL_IPV4 } from "./special-networks.ts";

/** An address that was checked, and that alone may be dialled for its name. */
export interface CheckedAddress {
  address: string;
  family: 4 | 6;
}

export type Resolve = (host: string) => Promise<{ address: string; family: number }[]>;

/** IPv4 that is not public, and what clouds use besides, such as for metadata in 169.254.0.0/16. */
const NOT_PUBLIC_4: readonly [string, number][] = [
  ...SPECIAL_IPV4,
  // Azure's platform service, at a public address.
  ["168.63.129.16", 32],
];

/** Of IPv6 only global unicast is public, less what stands for an IPv4 address or for documents. */
const PUBLIC_6: readonly [string, number] = ["2000::", 3];
const NOT_PUBLIC_6: readonly [string, number][] = [
  // Teredo, benchmarking, ORCHID and the rest of the protocol assignments.
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
];

const notPublic4 = blockList(NOT_PUBLIC_4, "ipv4");
const public6 = blockList([PUBLIC_6], "ipv6");
const notPublic6 = blockList(NOT_PUBLIC_6, "ipv6");

/** Whether an address belongs to the public internet. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !notPublic4.check(address, "ipv4");
    case 6:
      return public6.check(address, "ipv6") && !notPublic6.check(address, "ipv6");
    default:
      return false;
  }
}

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

function blockList(
  ranges: readonly (readonly [string, number])[],
  type: "ipv4" | "ipv6",
): BlockList {
  const list = new BlockList();
  for (const [net, prefix] of ranges) list.addSubnet(net, prefix, type);
  return list;
}
