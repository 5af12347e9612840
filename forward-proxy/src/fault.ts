import type { FaultCode } from "./contract.ts";

/** A request that could not be carried, with the code that the Worker is told. */
export class Fault extends Error {
  override name = "Fault";
  readonly code: FaultCode;

  /** @param detail for the log; never a secret, and never told to whoever asked */
  constructor(code: FaultCode, detail: string) {
    super(detail);
    this.code = code;
  }
}

/** What the answer says in words: whose fault it is, and what to do. */
export const FAULT_WORDS: Readonly<Record<FaultCode, string>> = {
  token_refused:
    "This service carries requests of its relay only. If you run both: FORWARD_PROXY_SECRET must be the same on both sides, and their clocks right.",
  origin_not_allowed: "This upstream is not on the list of UPSTREAM_ORIGINS.",
  proxy_not_allowed:
    "The account's proxy has an address that is not public. Name it in PRIVATE_ADDRESSES_ALLOWED if it is meant.",
  request_malformed: "The request could not be read.",
  headers_too_large: "The request's headers are too large.",
  overloaded: "This service carries as much as it may. Try again soon.",
  draining: "This service is about to stop. Try again soon.",
  proxy_unreachable: "The account's proxy cannot be reached.",
  proxy_tls_failed: "The TLS connection to the account's proxy failed.",
  proxy_auth_failed: "The account's proxy refused its user name and password.",
  proxy_refused: "The account's proxy refused to open a tunnel.",
  proxy_not_understood: "What listens at the address of the account's proxy is no such proxy.",
  proxy_cannot_reach_upstream: "The account's proxy cannot reach upstream.",
  upstream_tls_failed: "The TLS connection to upstream, through the account's proxy, failed.",
  upstream_broke: "Upstream closed the connection before it answered.",
  timed_out: "Upstream did not answer in time.",
};
