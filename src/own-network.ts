import { isWithin, type Network } from "../forward-proxy/src/special-networks.ts";

/**
 * What one's own machines use among themselves, of the networks that are not public. The others lead
 * nowhere, or out: 64:ff9b::/96 and 2002::/16 stand for public IPv4 addresses.
 */
const OWN_NETWORKS: readonly Network[] = [
  ["10.0.0.0", 8],
  // Carriers' and overlay networks, such as Tailscale.
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["::1", 128],
  ["fc00::", 7],
  ["fe80::", 10],
];

/** Endings of names that only mean something inside a network, on the machine itself, or nowhere. */
const INNER_ENDINGS = [
  "localhost",
  "local",
  "localdomain",
  "internal",
  "intranet",
  "lan",
  "home",
  "corp",
  "private",
  "home.arpa",
  "test",
  "invalid",
  "onion",
];

/** What an address needs over which credentials pass, as the end of a sentence. */
export const SECURE_URL_WORDS =
  "an https:// address, since credentials pass there; http:// is taken only for this machine and one's own network: private addresses, names without a dot such as a container's, and those that end in .internal, .local or .lan";

/** @param text a host or its name, as it stands in an address */
export function bareHost(text: string): string {
  return text.replace(/\.+$/, "").replace(/^\[|\]$/g, "");
}

/** Whether a name has no meaning on the public Internet. An IP address is no name. */
export function isInnerName(host: string): boolean {
  return !/[.:]/.test(host) || endsInOneOf(host, INNER_ENDINGS);
}

/** Whether a name is one of these, or lies below one. */
export function endsInOneOf(host: string, names: readonly string[]): boolean {
  return names.some((name) => host === name || host.endsWith(`.${name}`));
}

/** Whether a request to this host never leaves the machine. */
export function isThisMachine(hostname: string): boolean {
  const host = bareHost(hostname);
  return (
    host === "localhost" ||
    isWithin(host, [
      ["127.0.0.0", 8],
      ["::1", 128],
    ])
  );
}

/** Whether credentials may go to this address: over https, or without leaving one's own network. */
export function isSecureUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null) return false;
  const host = bareHost(url.hostname);
  const isOwn = isInnerName(host) || isWithin(host, OWN_NETWORKS);
  return url.protocol === "https:" || (url.protocol === "http:" && isOwn);
}
