const IPV6_GROUPS = 8;
/** One customer gets a /64 at least: counting single addresses of it would count nothing. */
const NETWORK_GROUPS = 4;

/** What an address is counted by: an IPv4 address itself, an IPv6 address's /64. */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("%")[0]?.split("::") ?? [];
  const front = head.split(":").filter((group) => group !== "");
  const back = (tail ?? "").split(":").filter((group) => group !== "");
  const missing = tail === undefined ? 0 : Math.max(0, IPV6_GROUPS - front.length - back.length);
  const groups = [...front, ...Array.from({ length: missing }, () => "0"), ...back];
  const network = groups.slice(0, NETWORK_GROUPS).map((group) => group.replace(/^0+(?=.)/, ""));
  return `${network.join(":").toLowerCase()}::/64`;
}

/**
 * The network that a request came from: only from a header that the operator says can be believed.
 *
 * @returns null where none is told
 */
export function clientNetwork(headers: Headers, addressHeader: string): string | null {
  const address = addressHeader === "" ? null : headers.get(addressHeader);
  return address === null ? null : networkOf(address.trim());
}
