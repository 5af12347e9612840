import { isPublicAddress } from "../../forward-proxy/src/special-networks.ts";
import { bareHost, endsInOneOf, isInnerName, isThisMachine } from "../own-network.ts";
import { fail, ok, type Result } from "../result.ts";

const ADDRESS_MAX_CHARS = 2_000;

/**
 * Public names of hosts inside: clouds answer there with credentials, and some lead to any address.
 * Other metadata services have inner names, such as metadata.google.internal, or addresses only.
 */
const TRAPS = [
  "metadata.azure.com",
  "metadata.packet.net",
  "metadata.platformequinix.com",
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
  const host = bareHost(url.hostname);
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

function isInner(host: string): boolean {
  const isAddress = host.includes(":") || /^\d+(\.\d+){3}$/.test(host);
  return isAddress ? !isPublicAddress(host) : isInnerName(host) || endsInOneOf(host, TRAPS);
}
