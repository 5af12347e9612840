import type { IncomingMessage, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import { PassThrough, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Dispatcher, errors } from "undici";
import { type FaultCode, type Grant, TIMING_HEADER } from "./contract.ts";
import type { Legs } from "./dial/dial.ts";
import { Fault } from "./fault.ts";
import { answerHeaders, upstreamHeaders } from "./headers.ts";
import type { Metrics } from "./metrics.ts";
import type { Lease, Pools } from "./pools.ts";

class ClientGone extends Error {}
class TooLate extends Error {}

export interface ForwardOptions {
  pools: Pools;
  metrics: Metrics;
  firstByteTimeoutMs: number;
}

/** How a request that could not be carried is answered. */
export interface Refused {
  fault: Fault;
  timing: string | null;
}

/**
 * Carries one request upstream and its answer back, byte for byte, without holding more of either
 * than the buffers of the sockets.
 *
 * @returns what to answer instead, or null where upstream's answer went out or nobody waits any more
 */
export async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  grant: Grant,
  { pools, metrics, firstByteTimeoutMs }: ForwardOptions,
): Promise<Refused | null> {
  const beganAtMs = performance.now();
  const abort = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) abort.abort(new ClientGone());
  });
  const timer = setTimeout(() => abort.abort(new TooLate()), firstByteTimeoutMs);
  let lease: Lease | null = null;
  try {
    lease = pools.lease(grant);
    const answer = await ask(request, lease, abort.signal);
    clearTimeout(timer);
    const firstByteMs = performance.now() - beganAtMs;
    metrics.firstByte(firstByteMs);
    metrics.answered("upstream");
    const timing = grant.fresh ? [TIMING_HEADER, timingOf(lease.legs, firstByteMs)] : [];
    response.sendDate = false;
    response.writeHead(
      answer.statusCode,
      answer.statusText,
      // Raw: pairs in a row, as upstream sent them.
      answerHeaders(answer.headers as unknown as string[], timing),
    );
    // An event stream's first event may be long in coming: its headers go at once.
    response.flushHeaders();
    await send(answer.body, response, abort.signal, metrics);
    return null;
  } catch (error) {
    clearTimeout(timer);
    if (abort.signal.reason instanceof ClientGone) {
      metrics.answered("client_gone");
      return null;
    }
    const fault = faultOf(abort.signal.reason ?? error);
    return { fault, timing: grant.fresh ? timingOf(lease?.legs ?? {}, null) : null };
  } finally {
    lease?.release();
  }
}

function ask(
  request: IncomingMessage,
  { pool }: Lease,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const { method = "GET", url = "", rawHeaders } = request;
  if (!url.startsWith("/")) throw new Fault("request_malformed", "no path");
  return pool.request({
    method: method as Dispatcher.HttpMethod,
    path: url,
    headers: upstreamHeaders(rawHeaders),
    body: bodyOf(request),
    responseHeaders: "raw",
    signal,
  });
}

/** Upstream may answer before it has read the whole body: that must not end the client's connection. */
function bodyOf(request: IncomingMessage): Readable | null {
  const { "content-length": length, "transfer-encoding": coding } = request.headers;
  if (coding === undefined && Number(length ?? 0) === 0) return null;
  const body = new PassThrough();
  request.pipe(body);
  request.once("error", (error) => body.destroy(error));
  body.once("close", () => request.resume());
  body.on("error", () => {});
  return body;
}

async function send(
  body: Readable,
  response: ServerResponse,
  signal: AbortSignal,
  metrics: Metrics,
): Promise<void> {
  try {
    await pipeline(body, response);
  } catch {
    // The status has gone out: a broken answer is shown by breaking off.
    metrics.broken(signal.aborted ? "client" : "upstream");
    response.destroy();
  }
}

function faultOf(error: unknown): Fault {
  if (error instanceof Fault) return error;
  if (error instanceof TooLate || error instanceof errors.HeadersTimeoutError) {
    return new Fault("timed_out", "no first byte in time");
  }
  const { code, message } = error as NodeJS.ErrnoException;
  const known: Record<string, FaultCode> = {
    UND_ERR_INVALID_ARG: "request_malformed",
    UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: "request_malformed",
  };
  return new Fault(known[code ?? ""] ?? "upstream_broke", code ?? message);
}

/** In the shape of `Server-Timing`, in milliseconds. */
function timingOf(legs: Legs, firstByteMs: number | null): string {
  const all = firstByteMs === null ? legs : { ...legs, first_byte: firstByteMs };
  return Object.entries(all)
    .map(([leg, tookMs]) => `${leg};dur=${tookMs.toFixed(1)}`)
    .join(", ");
}
