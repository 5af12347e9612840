import type { FaultCode } from "../../forward-proxy/src/contract.ts";

/** Why a way upstream failed: what the forward proxy said, or what came of asking it. */
export type EgressFaultCode =
  | FaultCode
  /** None is configured. */
  | "forward_proxy_missing"
  /** The account asks for one that is not configured. */
  | "forward_proxy_unknown"
  | "forward_proxy_unreachable"
  /** Something else answered in its place, such as what stands in front of it. */
  | "forward_proxy_not_understood"
  /** The account's own proxy settings cannot be read. */
  | "proxy_unreadable";

interface Words {
  /** A part of a sentence about the account; clients may see it, so it names no address. */
  reason: string;
  /** For whoever runs the relay. */
  advice: string;
  /**
   * Trying again at once meets the same, so that one failure is enough to rest the account. Else it
   * counts towards its circuit breaker as failures of upstream do.
   */
  isLasting: boolean;
}

const NOTHING_REACHED_UPSTREAM: ReadonlySet<EgressFaultCode> = new Set<EgressFaultCode>([
  "forward_proxy_missing",
  "forward_proxy_unknown",
  "proxy_unreadable",
  "token_refused",
  "origin_not_allowed",
  "proxy_not_allowed",
  "overloaded",
  "draining",
  "proxy_unreachable",
  "proxy_tls_failed",
  "proxy_auth_failed",
  "proxy_refused",
  "proxy_not_understood",
  "proxy_cannot_reach_upstream",
  "upstream_tls_failed",
]);

export const EGRESS_WORDS: Readonly<Record<EgressFaultCode, Words>> = {
  forward_proxy_missing: {
    reason: "it has a proxy, and this relay has no forward proxy to dial it with",
    advice:
      "Set FORWARD_PROXY_URL and FORWARD_PROXY_SECRET, or remove the account's proxy. Its traffic never goes direct.",
    isLasting: true,
  },
  forward_proxy_unknown: {
    reason: "it asks for a forward proxy that this relay does not have",
    advice: "Name one of those in FORWARD_PROXY_URL in the account's proxy, or none for any.",
    isLasting: true,
  },
  forward_proxy_unreachable: {
    reason: "the forward proxy could not be reached",
    advice: "See whether it runs and its address in FORWARD_PROXY_URL leads to it.",
    isLasting: false,
  },
  forward_proxy_not_understood: {
    reason: "something else answered in place of the forward proxy",
    advice:
      "The address in FORWARD_PROXY_URL leads to something else, or what stands in front of the forward proxy could not reach it.",
    isLasting: false,
  },
  proxy_unreadable: {
    reason: "its proxy settings cannot be read",
    advice:
      "They were stored under another ENCRYPTION_KEY: put that into ENCRYPTION_KEY_PREVIOUS, or set the proxy anew.",
    isLasting: true,
  },
  token_refused: {
    reason: "the forward proxy refused the relay",
    advice:
      "FORWARD_PROXY_SECRET must be the same on both sides, and the clock of the forward proxy's machine right.",
    isLasting: false,
  },
  origin_not_allowed: {
    reason: "the forward proxy may not go to this upstream",
    advice: "Add the upstream's origin to UPSTREAM_ORIGINS of the forward proxy.",
    isLasting: true,
  },
  proxy_not_allowed: {
    reason: "its proxy has an address that is not public",
    advice:
      "If that is meant, name the address in PRIVATE_ADDRESSES_ALLOWED of the forward proxy; else correct the account's proxy.",
    isLasting: true,
  },
  request_malformed: {
    reason: "the forward proxy could not read the request",
    advice: "See whether something between the relay and the forward proxy changes requests.",
    isLasting: false,
  },
  headers_too_large: {
    reason: "the request's headers are too large for the forward proxy",
    advice: "The client sends over 64 KiB of headers.",
    isLasting: false,
  },
  overloaded: {
    reason: "the forward proxy carries as much as it may",
    advice: "Raise MAX_POOLS or MAX_SOCKETS_PER_POOL of the forward proxy, or add another one.",
    isLasting: false,
  },
  draining: {
    reason: "the forward proxy is about to stop",
    advice: "It is being restarted; it comes back by itself.",
    isLasting: false,
  },
  proxy_unreachable: {
    reason: "its proxy cannot be reached",
    advice: "See whether the account's proxy runs, and its host and port are right.",
    isLasting: true,
  },
  proxy_tls_failed: {
    reason: "the TLS connection to its proxy failed",
    advice: "See the certificate of the account's proxy, and whether it is an https proxy at all.",
    isLasting: true,
  },
  proxy_auth_failed: {
    reason: "its proxy refused the user name and password",
    advice: "Correct the login of the account's proxy.",
    isLasting: true,
  },
  proxy_refused: {
    reason: "its proxy refused to open a tunnel",
    advice: "See whether the account's proxy may be used from there, and allows this upstream.",
    isLasting: true,
  },
  proxy_not_understood: {
    reason: "what listens at the address of its proxy is no such proxy",
    advice: "Correct the type (socks5, http, https) or the port of the account's proxy.",
    isLasting: true,
  },
  proxy_cannot_reach_upstream: {
    reason: "its proxy cannot reach upstream",
    advice: "See the network of the account's proxy.",
    isLasting: false,
  },
  upstream_tls_failed: {
    reason: "the TLS connection to upstream through its proxy failed",
    advice:
      "The certificate that came through the account's proxy is not upstream's: such a proxy must not be used.",
    isLasting: true,
  },
  upstream_broke: {
    reason: "upstream, or its proxy, closed the connection before an answer",
    advice: "Where it goes on, see the network of the account's proxy.",
    isLasting: false,
  },
  timed_out: {
    reason: "upstream did not answer through its proxy in time",
    advice:
      "Long answers that are not streamed can take longer than the forward proxy may wait: see FIRST_BYTE_TIMEOUT_SECONDS there.",
    isLasting: false,
  },
};

/** A request that did not get an answer of upstream, because the way there failed. */
export class EgressFailed extends Error {
  override name = "EgressFailed";
  readonly code: EgressFaultCode;
  /** The forward proxy that was asked last, by its name; null where none was. */
  readonly forwardProxy: string | null;
  /** The legs that were walked, where they were asked for. */
  readonly legs: readonly Leg[];

  constructor(code: EgressFaultCode, forwardProxy: string | null, legs: readonly Leg[] = []) {
    super(EGRESS_WORDS[code].reason);
    this.code = code;
    this.forwardProxy = forwardProxy;
    this.legs = legs;
  }

  /** True where upstream surely saw nothing of the request. */
  get sentNothing(): boolean {
    return isSentNothing(this.code);
  }
}

/** Whether upstream surely saw nothing of a request that ended so. */
export function isSentNothing(code: EgressFaultCode): boolean {
  return NOTHING_REACHED_UPSTREAM.has(code);
}

/** A part of the way and how long it took. */
export interface Leg {
  name: "forward_proxy" | "proxy" | "tunnel" | "tls" | "first_byte";
  ms: number;
}
