import type { Socket } from "node:net";
import { Pool } from "undici";
import type { AddressGuard } from "./address-guard.ts";
import type { Config } from "./config.ts";
import type { Grant, ProxyTarget } from "./contract.ts";
import { dial, type Legs } from "./dial/dial.ts";
import { Fault } from "./fault.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** Answers with larger headers are given up; the Workers runtime takes no more either. */
const MAX_ANSWER_HEADER_BYTES = 64 * 1024;
const HTTPS_PORT = 443;
const HTTP_PORT = 80;

type Limits = Pick<
  Config,
  | "maxPools"
  | "maxSocketsPerPool"
  | "poolIdleMs"
  | "socketIdleMs"
  | "dialTimeoutMs"
  | "firstByteTimeoutMs"
  | "silenceTimeoutMs"
>;

/** A request's use of a pool. */
export interface Lease {
  pool: Pool;
  /** Of the connection that was opened for this very request; empty where one was kept. */
  legs: Legs;
  /** To be called once, when the request has ended. */
  release(): void;
}

interface Entry {
  pool: Pool;
  running: number;
  usedAtMs: number;
}

export interface PoolsOptions {
  limits: Limits;
  guard: AddressGuard;
  log: Log;
  metrics: () => Metrics;
}

/** Connections that are kept open, in one pool per proxy (with its login) and upstream. */
export class Pools {
  readonly #options: PoolsOptions;
  /** In the order of last use. */
  readonly #entries = new Map<string, Entry>();
  readonly #sweep: NodeJS.Timeout;
  #sockets = 0;

  constructor(options: PoolsOptions) {
    this.#options = options;
    this.#sweep = setInterval(() => this.#closeIdle(), options.limits.poolIdleMs / 2);
    this.#sweep.unref();
  }

  get size(): number {
    return this.#entries.size;
  }

  get sockets(): number {
    return this.#sockets;
  }

  /** @throws Fault where no more pools, or connections of this one, may be opened */
  lease(grant: Grant): Lease {
    return grant.fresh ? this.#leaseFresh(grant) : this.#leaseKept(grant);
  }

  async close(): Promise<void> {
    clearInterval(this.#sweep);
    const pools = [...this.#entries.values()].map(({ pool }) => pool);
    this.#entries.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }

  #leaseKept(grant: Grant): Lease {
    const { maxSocketsPerPool } = this.#options.limits;
    const key = keyOf(grant);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#makeRoom();
      entry = { pool: this.#open(grant, maxSocketsPerPool, null), running: 0, usedAtMs: 0 };
    } else if (entry.running >= maxSocketsPerPool) {
      throw new Fault("overloaded", "too many requests through one proxy");
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    const used = entry;
    used.running += 1;
    used.usedAtMs = Date.now();
    return {
      pool: used.pool,
      legs: {},
      release: () => {
        used.running -= 1;
        used.usedAtMs = Date.now();
      },
    };
  }

  #leaseFresh(grant: Grant): Lease {
    const legs: Legs = {};
    const pool = this.#open(grant, 1, legs);
    const release = () => {
      pool.destroy().catch(() => {});
    };
    return { pool, legs, release };
  }

  #open({ proxy, origin }: Grant, connections: number, legs: Legs | null): Pool {
    const { limits } = this.#options;
    return new Pool(origin, {
      connections,
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: MAX_ANSWER_HEADER_BYTES,
      headersTimeout: limits.firstByteTimeoutMs,
      bodyTimeout: limits.silenceTimeoutMs,
      keepAliveTimeout: limits.socketIdleMs,
      keepAliveMaxTimeout: limits.socketIdleMs,
      connect: (_options, callback) => {
        this.#dial(proxy, origin, legs ?? {}).then(
          (socket) => callback(null, socket),
          (error: Error) => callback(error, null),
        );
      },
    });
  }

  async #dial(proxy: ProxyTarget, origin: string, legs: Legs): Promise<Socket> {
    const { guard, limits, log, metrics } = this.#options;
    const { hostname, port, protocol } = new URL(origin);
    const isTls = protocol === "https:";
    const destination = {
      host: hostname.replace(/^\[|\]$/g, ""),
      port: port === "" ? (isTls ? HTTPS_PORT : HTTP_PORT) : Number(port),
      isTls,
    };
    const timeoutMs = limits.dialTimeoutMs;
    try {
      const socket = await dial({ proxy, destination, guard, timeoutMs, legs });
      this.#sockets += 1;
      socket.once("close", () => {
        this.#sockets -= 1;
      });
      metrics().dialled(proxy.type, "open", legs);
      return socket;
    } catch (error) {
      const fault = error instanceof Fault ? error : new Fault("proxy_unreachable", String(error));
      metrics().dialled(proxy.type, fault.code, legs);
      const { type, host, port: proxyPort } = proxy;
      const at = { proxy: `${type}://${host}:${proxyPort}`, upstream: origin };
      log("warn", "dial.failed", { code: fault.code, detail: fault.message, ...at });
      throw fault;
    }
  }

  /** Gives up the pool that was not used for longest, where there are as many as may be. */
  #makeRoom(): void {
    if (this.#entries.size < this.#options.limits.maxPools) return;
    for (const [key, entry] of this.#entries) {
      if (entry.running > 0) continue;
      this.#drop(key, entry);
      return;
    }
    throw new Fault("overloaded", "too many proxies in use at once");
  }

  #closeIdle(): void {
    const idleSinceMs = Date.now() - this.#options.limits.poolIdleMs;
    for (const [key, entry] of this.#entries) {
      if (entry.running === 0 && entry.usedAtMs <= idleSinceMs) this.#drop(key, entry);
    }
  }

  #drop(key: string, { pool }: Entry): void {
    this.#entries.delete(key);
    pool.destroy().catch(() => {});
  }
}

/** In memory only: it holds the password, so that a changed one never uses an old connection. */
function keyOf({ origin, proxy }: Grant): string {
  const { type, host, port, username, password } = proxy;
  return JSON.stringify([origin, type, host, port, username ?? null, password ?? null]);
}
