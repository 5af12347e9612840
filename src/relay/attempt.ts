import type { Credential } from "../../durable-objects/claude-account/contract.ts";
import type { RosterRow } from "../accounts/roster-row.ts";
import { EgressFailed } from "../egress/fault.ts";
import { decodedText } from "../upstream/content-encoding.ts";
import { upstreamHeaders } from "../upstream/headers.ts";
import { judge, type Verdict } from "../upstream/verdict.ts";
import type { RelayCall } from "./relay-call.ts";

/** A stream's headers come soon; a whole answer's only when it is complete. */
const STREAM_HEADERS_TIMEOUT_MS = 120_000;
const ANSWER_HEADERS_TIMEOUT_MS = 600_000;

/** An answer of upstream, up to its headers; the body of an error is read, since it has to be judged. */
export interface Answered {
  answer: Response;
  /** The body of an error answer; else null. */
  errorBytes: Uint8Array | null;
  /** Cancels the request upstream. */
  abort: () => void;
}

export interface AttemptResult {
  verdict: Verdict;
  /** Null where no answer came. */
  answered: Answered | null;
  durationMs: number;
}

class TimedOut extends Error {}

/** Sends the request upstream once, with one account's credential. Never rejects. */
export async function attempt(
  { services, request, upstreamPath, unwantedHeaders, body, fields }: RelayCall,
  row: RosterRow,
  credential: Credential,
): Promise<AttemptResult> {
  const beganAtMs = Date.now();
  const abort = new AbortController();
  const onClientGone = () => abort.abort();
  // A client that goes away before the first byte is noticed by its signal only.
  request.signal.addEventListener("abort", onClientGone, { once: true });
  const timeoutMs = fields.stream ? STREAM_HEADERS_TIMEOUT_MS : ANSWER_HEADERS_TIMEOUT_MS;
  const timer = setTimeout(() => abort.abort(new TimedOut()), timeoutMs);
  try {
    const egress = services.egress.of(row.id, credential.proxy);
    const answer = await egress.fetch(services.config.anthropicApiUrl + upstreamPath, {
      method: "POST",
      headers: upstreamHeaders(request.headers, credential, unwantedHeaders),
      body,
      redirect: "manual",
      encodeResponseBody: "manual",
      signal: abort.signal,
    });
    const errorBytes = answer.status >= 400 ? new Uint8Array(await answer.arrayBuffer()) : null;
    const errorBody = errorBytes === null ? "" : await decodedText(errorBytes, answer.headers);
    const answered = { answer, errorBytes, abort: () => abort.abort() };
    const { status, headers } = answer;
    const verdict = judge({ status, headers, errorBody }, Date.now());
    return { verdict, answered, durationMs: Date.now() - beganAtMs };
  } catch (error) {
    const durationMs = Date.now() - beganAtMs;
    if (error instanceof EgressFailed) {
      const { code, forwardProxy } = error;
      services.log("warn", "egress.failed", { accountId: row.id, reason: code, forwardProxy });
      return { verdict: { kind: "egress_failed", code }, answered: null, durationMs };
    }
    const detail = abort.signal.reason instanceof TimedOut ? "timeout" : "connection";
    return { verdict: { kind: "unreachable", detail }, answered: null, durationMs };
  } finally {
    clearTimeout(timer);
    request.signal.removeEventListener("abort", onClientGone);
  }
}
