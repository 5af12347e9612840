import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { AddressGuard } from "./address-guard.ts";
import type { Config } from "./config.ts";
import {
  ANSWER_HEADER,
  ERROR_HEADER,
  FAULT_STATUS,
  type FaultCode,
  TIMING_HEADER,
  TOKEN_HEADER,
  tokenKey,
} from "./contract.ts";
import { FAULT_WORDS, Fault } from "./fault.ts";
import { forward, type Refused } from "./forward.ts";
import { Gate } from "./gate.ts";
import type { Log } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { Pools } from "./pools.ts";

/** A refusal for its token always leaves so long after the request came, whatever was wrong. */
const REFUSAL_AFTER_MS = 100;
/** Longer than what stands in front keeps a connection: the side that asks should close it. */
const KEEP_ALIVE_MS = 125_000;
const MAX_HEADER_BYTES = 64 * 1024;
/** A refused request's body is read so long, so that the answer is seen and not a broken pipe. */
const LINGER_MS = 2_000;
const DRAIN_POLL_MS = 50;

export interface Service {
  port: number;
  metricsPort: number | null;
  /** Takes no more requests, lets those in flight finish. @returns false where time ran out */
  drain(): Promise<boolean>;
}

/** Starts the service; resolves when it listens. */
export async function startService(config: Config, log: Log): Promise<Service> {
  const startedAtMs = Date.now();
  let isDraining = false;
  let running = 0;
  const gate = new Gate({
    key: await tokenKey(config.secret),
    upstreamOrigins: config.upstreamOrigins,
    startedAtMs,
  });
  const pools: Pools = new Pools({
    limits: config,
    guard: new AddressGuard(config.privateAddresses),
    log,
    metrics: () => metrics,
  });
  const metrics = new Metrics({ pools: () => pools.size, sockets: () => pools.sockets });

  const carry = async (
    request: IncomingMessage,
    response: Parameters<RequestListener>[1],
  ): Promise<Refused | null> => {
    try {
      const arrivedAtMs = performance.now();
      const grant = await gate.admit(tokenOf(request)).catch(async (error: unknown) => {
        await sleep(Math.max(0, arrivedAtMs + REFUSAL_AFTER_MS - performance.now()));
        throw error;
      });
      if (isDraining) throw new Fault("draining", "about to stop");
      return await forward(request, response, grant, { ...config, pools, metrics });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { fault: error, timing: null };
    }
  };

  const listener: RequestListener = (request, response) => {
    if (tokenOf(request) === undefined && request.url === "/health") {
      request.resume();
      return answerHealth(response, isDraining);
    }
    running += 1;
    metrics.began();
    carry(request, response)
      .then((refused) => {
        if (refused === null) return;
        const { fault, timing } = refused;
        metrics.answered(fault.code);
        const level = fault.code === "token_refused" ? "warn" : "info";
        log(level, "request.refused", { code: fault.code, detail: fault.message });
        answerFault(request, response, fault.code, timing);
      })
      .catch((error: unknown) => {
        // A mistake of this program; nothing of the request is in a stack.
        log("error", "internal", { error: error instanceof Error ? error.stack : String(error) });
        response.destroy();
      })
      .finally(() => {
        running -= 1;
        metrics.ended();
      });
  };

  const server = config.tls
    ? createTlsServer(
        {
          cert: readFileSync(config.tls.certFile),
          key: readFileSync(config.tls.keyFile),
          maxHeaderSize: MAX_HEADER_BYTES,
        },
        listener,
      )
    : createServer({ maxHeaderSize: MAX_HEADER_BYTES, noDelay: true }, listener);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    const code = error.code === "HPE_HEADER_OVERFLOW" ? "headers_too_large" : "request_malformed";
    metrics.answered(code);
    if (socket.writable) socket.end(rawFault(code));
    else socket.destroy();
  });
  const port = await listening(server, config.host, config.port);

  const metricsServer = config.metrics === null ? null : createServer(metricsListener(metrics));
  const metricsPort =
    metricsServer === null || config.metrics === null
      ? null
      : await listening(metricsServer, config.metrics.host, config.metrics.port);

  return {
    port,
    metricsPort,
    async drain() {
      isDraining = true;
      server.close();
      const untilMs = Date.now() + config.drainMs;
      while (running > 0 && Date.now() < untilMs) await sleep(DRAIN_POLL_MS);
      const hasFinished = running === 0;
      server.closeAllConnections();
      metricsServer?.close();
      metricsServer?.closeAllConnections();
      await pools.close();
      return hasFinished;
    },
  };
}

function tokenOf({ headers }: IncomingMessage): string | undefined {
  const token = headers[TOKEN_HEADER];
  return typeof token === "string" ? token : undefined;
}

type Response = Parameters<RequestListener>[1];

function answerHealth(response: Response, isDraining: boolean): void {
  const body = JSON.stringify({ status: isDraining ? "draining" : "ok" });
  response.writeHead(isDraining ? 503 : 200, {
    "content-type": "application/json",
    "cache-control": "no-store",
    [ANSWER_HEADER]: "own",
  });
  response.end(body);
}

/** The service's own answer; the connection ends with it, since the body may not have been read. */
function answerFault(
  request: IncomingMessage,
  response: Response,
  code: FaultCode,
  timing: string | null,
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  request.resume();
  response.writeHead(FAULT_STATUS[code], {
    "content-type": "application/json",
    "cache-control": "no-store",
    connection: "close",
    [ANSWER_HEADER]: "own",
    [ERROR_HEADER]: code,
    ...(timing === null || timing === "" ? {} : { [TIMING_HEADER]: timing }),
  });
  response.end(faultBody(code));
  const linger = setTimeout(() => request.destroy(), LINGER_MS);
  request.once("close", () => clearTimeout(linger));
}

/** The same, for a request that could not even be parsed. */
function rawFault(code: FaultCode): string {
  const body = faultBody(code);
  return [
    `HTTP/1.1 ${FAULT_STATUS[code]} Refused`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
    `${ANSWER_HEADER}: own`,
    `${ERROR_HEADER}: ${code}`,
    "",
    body,
  ].join("\r\n");
}

function faultBody(code: FaultCode): string {
  return JSON.stringify({ error: code, message: FAULT_WORDS[code] });
}

function metricsListener(metrics: Metrics): RequestListener {
  return (request, response) => {
    if (request.url !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    metrics.text().then(
      (text) => {
        response.writeHead(200, { "content-type": metrics.contentType });
        response.end(text);
      },
      () => response.destroy(),
    );
  };
}

function listening(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}
