import { SPECIAL_IPV4 } from "../../forward-proxy/src/special-networks.ts";
import { fail, ok, type Result } from "../result.ts";

const ADDRESS_MAX_CHARS = 2_000;

/** Names that only mean something inside a network, or on the machine itself. */
const INNER_NAMES = [
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

/** Public names of hosts inside: clouds answer there with credentials, and some lead to any address. */
const TRAPS = [
  "metadata.azure.com",
  "metadata.tencentyun.com",
  "nip.io",
  "sslip.io",
  "localtest.me",
  "lvh.me",
];

/**
 * Checks where alerts may be sent: to the public Internet over https, and nowhere else. A name is not
 * looked up here: what it leads to is the network's business, and on Cloudflare that is public only.
 *
 * @param allowsLocal plain http and https to this machine too, for a relay that runs on it
 * @returns the address in its one form, or in words what is wrong; never the address itself
 */
export function readWebhookAddress(text: string, allowsLocal: boolean): Result<URL, string> {
  const url = text.length > ADDRESS_MAX_CHARS ? null : URL.parse(text.trim());
  if (url === null) return fail("is no address such as https://hooks.example.com/relay");
  if (url.username !== "" || url.password !== "") {
    return fail("must not hold a user name or password before the host");
  }
  if (url.hash !== "") return fail("must not hold a #: it would never be sent");
  // The parser has brought decimal, octal, hexadecimal and short forms of IPv4 into the usual one.
  const host = url.hostname.replace(/\.+$/, "");
  if (url.protocol !== "https:" && url.protocol !== "http:")
    return fail("must begin with https://");
  if (allowsLocal && isThisMachine(host)) return ok(url);
  if (url.protocol !== "https:") {
    return fail("must begin with https://: alerts name accounts and keys");
  }
  if (isInner(host)) {
    return fail(
      "leads into a private network or to this machine, and not to the public Internet; LOCAL_WEBHOOKS=allow lets a relay on this machine send to 127.0.0.1",
    );
  }
  return ok(url);
}

function isThisMachine(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function isInner(host: string): boolean {
  if (host.startsWith("[")) return !isPublicIpv6(host.slice(1, -1));
  const ipv4 = ipv4Of(host);
  if (ipv4 !== null) return isSpecialIpv4(ipv4);
  if (!host.includes(".")) return true;
  return [...INNER_NAMES, ...TRAPS].some((name) => host === name || host.endsWith(`.${name}`));
}

function ipv4Of(host: string): number | null {
  if (!/^\d+\.\d+\.\d+\.\d+$/.test(host)) return null;
  return host.split(".").reduce((number, part) => number * 256 + Number(part), 0);
}

function isSpecialIpv4(address: number): boolean {
  return SPECIAL_IPV4.some(([first, bits]) => {
    const size = 2 ** (32 - bits);
    return Math.floor(address / size) === Math.floor((ipv4Of(first) ?? 0) / size);
  });
}

/**
 * Only global unicast (2000::/3) is public, and of it not what wraps an IPv4 address or is for documents:
 * 2001::/23 (with Teredo), 2001:db8::/32, 2002::/16 (6to4), 3fff::/20. Mapped and translated IPv4
 * (::ffff:0:0/96, 64:ff9b::/96) lie outside of 2000::/3.
 */
function isPublicIpv6(address: string): boolean {
  const [first = 0, second = 0] = address
    .split(":")
    .map((part) => Number.parseInt(part || "0", 16));
  if (first < 0x2000 || first > 0x3fff || address.startsWith("::")) return false;
  if (first === 0x2001 && (second < 0x200 || second === 0xdb8)) return false;
  return first !== 0x2002 && !(first === 0x3fff && second < 0x1000);
}
