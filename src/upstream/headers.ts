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
const NOT_DOWNSTREAM: readonly string[] = [
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
];
const RATE_LIMIT_PREFIX = "anthropic-ratelimit-";

/** What one look at a client's headers tells: each further look costs as much as a copy of them. */
export interface HeadersSeen {
  /** All names and values together. */
  characters: number;
  /** Names that are never sent upstream. */
  unwanted: string[];
}

/** The one look at a client's headers. `forEach` is the cheapest way that the runtime has for it. */
export function lookAtHeaders(client: Headers): HeadersSeen {
  let characters = 0;
  const unwanted: string[] = [];
  client.forEach((value, name) => {
    characters += name.length + value.length;
    if (NOT_UPSTREAM.has(name) || NOT_UPSTREAM_PREFIX.test(name)) unwanted.push(name);
  });
  return { characters, unwanted };
}

/**
 * The client's headers with the credential swapped, and nothing else changed.
 *
 * @param unwanted of these headers, as `lookAtHeaders` tells
 */
export function upstreamHeaders(
  client: Headers,
  credential: Credential,
  unwanted: readonly string[] = lookAtHeaders(client).unwanted,
): Headers {
  const headers = new Headers(client);
  for (const name of unwanted) headers.delete(name);
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

export interface AnswerOptions {
  requestId: string;
  /** Whether the client is not told of the account's limits. */
  stripRateLimits: boolean;
}

/**
 * An answer for the client: status and headers as upstream sent them, less what belongs to its own
 * connection. The headers are copied once, by the response, and changed in place.
 */
export function clientAnswer(
  body: BodyInit | null,
  { status, statusText, headers: upstream }: Pick<Response, "status" | "statusText" | "headers">,
  { requestId, stripRateLimits }: AnswerOptions,
): Response {
  const answer = new Response(body, {
    status,
    statusText,
    headers: upstream,
    // Bytes that upstream compressed stay as they are.
    encodeBody: "manual",
  });
  const { headers } = answer;
  for (const name of NOT_DOWNSTREAM) headers.delete(name);
  if (stripRateLimits) {
    for (const name of [...headers.keys()]) {
      if (name.startsWith(RATE_LIMIT_PREFIX)) headers.delete(name);
    }
  }
  headers.set("x-relay-request-id", requestId);
  return answer;
}

function withOAuthBeta(betas: string | null): string {
  if (betas === null || betas.trim() === "") return OAUTH_BETA;
  const present = betas.split(",").some((beta) => beta.trim() === OAUTH_BETA);
  return present ? betas : `${betas},${OAUTH_BETA}`;
}
