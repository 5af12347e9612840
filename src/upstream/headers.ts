import type { Credential } from "../../durable-objects/claude-account/contract.ts";
import { ANSWER_HEADER, TIMING_HEADER } from "../../forward-proxy/src/contract.ts";
import { relayUserAgent } from "../version.ts";

/** What OAuth credentials need upstream; appended to what the client sent, never in its place. */
const OAUTH_BETA = "oauth-2025-04-20";

/**
 * Never sent upstream: every slot where a client's credential could sit, what belongs to one
 * connection only, and what tells of the client's network.
 */
const NOT_UPSTREAM: ReadonlySet<string> = new Set([
  "authorization",
  "x-api-key",
  "api-key",
  "cookie",
  "cookie2",
  "connection",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
  "host",
  "content-length",
  "accept-encoding",
  "origin",
  "forwarded",
  "via",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-original-forwarded-for",
  "true-client-ip",
  "cdn-loop",
]);
const NOT_UPSTREAM_PREFIX = /^(?:cf-|x-forwarded-|proxy-|x-relay-)/;

/** Belong to the connection between upstream and the relay, to the way there, or to upstream's origin. */
const NOT_DOWNSTREAM: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  ANSWER_HEADER,
  TIMING_HEADER,
  "set-cookie",
  "alt-svc",
  "strict-transport-security",
  "report-to",
  "nel",
]);
const RATE_LIMIT_PREFIX = "anthropic-ratelimit-";

/** The client's headers with the credential swapped, and nothing else changed. */
export function upstreamHeaders(client: Headers, credential: Credential): Headers {
  const headers = new Headers(client);
  remove(headers, (name) => NOT_UPSTREAM.has(name) || NOT_UPSTREAM_PREFIX.test(name));
  // What `Connection` names belongs to this hop as well.
  const connection = client.get("connection");
  for (const name of connection === null ? [] : connection.split(",")) {
    const token = name.trim().toLowerCase();
    if (/^[a-z0-9-]+$/.test(token) && !token.startsWith("anthropic-")) headers.delete(token);
  }
  // The relay reads the answer on its way: upstream is asked not to compress it.
  headers.set("accept-encoding", "identity");
  if (!headers.has("user-agent")) headers.set("user-agent", relayUserAgent);
  if (credential.kind === "api_key") {
    headers.set("x-api-key", credential.secret);
  } else {
    headers.set("authorization", `Bearer ${credential.secret}`);
    headers.set("anthropic-beta", withOAuthBeta(headers.get("anthropic-beta")));
  }
  return headers;
}

/** Upstream's headers as they came, less what belongs to its own connection. */
export function downstreamHeaders(
  upstream: Headers,
  options: { requestId: string; stripRateLimits: boolean },
): Headers {
  const headers = new Headers(upstream);
  const { stripRateLimits } = options;
  remove(
    headers,
    (name) => NOT_DOWNSTREAM.has(name) || (stripRateLimits && name.startsWith(RATE_LIMIT_PREFIX)),
  );
  headers.set("x-relay-request-id", options.requestId);
  return headers;
}

/** A look at each header that is there costs less than a deletion of each that may be. */
function remove(headers: Headers, isUnwanted: (name: string) => boolean): void {
  const unwanted: string[] = [];
  for (const name of headers.keys()) if (isUnwanted(name)) unwanted.push(name);
  for (const name of unwanted) headers.delete(name);
}

function withOAuthBeta(betas: string | null): string {
  if (betas === null || betas.trim() === "") return OAUTH_BETA;
  const present = betas.split(",").some((beta) => beta.trim() === OAUTH_BETA);
  return present ? betas : `${betas},${OAUTH_BETA}`;
}
