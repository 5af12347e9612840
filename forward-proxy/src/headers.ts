import { ANSWER_HEADER, HEADER_PREFIX } from "./contract.ts";

/** Belong to one connection only. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Set by whatever stands between the Worker and this service; the Worker itself sends none. */
const OF_THE_WAY = new Set([
  "host",
  "expect",
  "forwarded",
  "via",
  "x-real-ip",
  "x-client-ip",
  "true-client-ip",
  "cdn-loop",
]);
const OF_THE_WAY_PREFIX = /^(?:cf-|x-forwarded-|proxy-)/;

/** The Worker's headers for upstream: name, value, name, value, as they came. */
export function upstreamHeaders(raw: readonly string[]): string[] {
  const ofConnection = namedByConnection(raw);
  return filtered(
    raw,
    (name) =>
      !HOP_BY_HOP.has(name) &&
      !OF_THE_WAY.has(name) &&
      !OF_THE_WAY_PREFIX.test(name) &&
      !name.startsWith(HEADER_PREFIX) &&
      !ofConnection.has(name),
  );
}

/** Upstream's headers for the Worker, with the mark that they are upstream's. */
export function answerHeaders(raw: readonly string[], extra: readonly string[] = []): string[] {
  const ofConnection = namedByConnection(raw);
  const kept = filtered(
    raw,
    (name) => !HOP_BY_HOP.has(name) && !name.startsWith(HEADER_PREFIX) && !ofConnection.has(name),
  );
  return [...kept, ANSWER_HEADER, "upstream", ...extra];
}

function filtered(raw: readonly string[], keeps: (name: string) => boolean): string[] {
  const kept: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? "";
    if (keeps(name.toLowerCase())) kept.push(name, raw[index + 1] ?? "");
  }
  return kept;
}

/** What `Connection` names belongs to the connection too. */
function namedByConnection(raw: readonly string[]): ReadonlySet<string> {
  const named = new Set<string>();
  for (let index = 0; index + 1 < raw.length; index += 2) {
    if (raw[index]?.toLowerCase() !== "connection") continue;
    for (const name of (raw[index + 1] ?? "").split(",")) {
      const token = name.trim().toLowerCase();
      // Never what the request means: only what its connection is.
      if (token !== "" && token !== "content-length" && !token.startsWith("anthropic-")) {
        named.add(token);
      }
    }
  }
  return named;
}
