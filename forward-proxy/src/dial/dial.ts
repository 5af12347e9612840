import { connect as connectTcp, isIP, type LookupFunction, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { AddressGuard, CheckedAddress } from "../address-guard.ts";
import type { ProxyTarget } from "../contract.ts";
import { Fault } from "../fault.ts";
import { openConnectTunnel } from "./connect-tunnel.ts";
import { openSocksTunnel } from "./socks5.ts";

/** How long each leg of a dial took, in milliseconds; a leg that was not reached is missing. */
export type Legs = Partial<Record<"proxy" | "tunnel" | "tls", number>>;

export interface Destination {
  host: string;
  port: number;
  isTls: boolean;
}

export interface DialOptions {
  proxy: ProxyTarget;
  destination: Destination;
  guard: AddressGuard;
  timeoutMs: number;
  /** Filled leg by leg, so that a failed dial tells how far it came. */
  legs: Legs;
}

/**
 * Opens a connection to upstream through an account's proxy: to the proxy, through it, then TLS from
 * end to end.
 *
 * @throws Fault
 */
export async function dial(options: DialOptions): Promise<Socket> {
  const { proxy, destination, guard, timeoutMs, legs } = options;
  const toProxy = await timed(legs, "proxy", async () => {
    const addresses = await guard.addressesOf(proxy.host);
    const socket = await connected(addresses, proxy.port, timeoutMs);
    return proxy.type === "https" ? secured(socket, proxy.host, timeoutMs, proxyTlsFault) : socket;
  });
  try {
    const open = proxy.type === "socks5" ? openSocksTunnel : openConnectTunnel;
    const tunnel = await timed(legs, "tunnel", () => open(toProxy, proxy, destination, timeoutMs));
    if (!destination.isTls) return tunnel;
    return await timed(legs, "tls", () =>
      secured(tunnel, destination.host, timeoutMs, upstreamTlsFault),
    );
  } catch (error) {
    toProxy.destroy();
    throw error;
  }
}

async function timed<T>(legs: Legs, leg: keyof Legs, work: () => Promise<T>): Promise<T> {
  const beganAtMs = performance.now();
  try {
    return await work();
  } finally {
    legs[leg] = performance.now() - beganAtMs;
  }
}

/** Dials the checked addresses and no others: the name is not looked up again. */
function connected(
  addresses: readonly CheckedAddress[],
  port: number,
  timeoutMs: number,
): Promise<Socket> {
  const lookup: LookupFunction = (_host, options, callback) => {
    const [first] = addresses;
    if (options.all) callback(null, [...addresses]);
    else callback(null, first?.address ?? "", first?.family);
  };
  const socket = connectTcp({ host: "proxy", port, lookup, noDelay: true, keepAlive: true });
  return ready(socket, "connect", timeoutMs, ({ code, message }) => {
    return new Fault("proxy_unreachable", code ?? message);
  });
}

/** TLS over a connection, with the certificate checked against the name. */
function secured(
  socket: Socket,
  host: string,
  timeoutMs: number,
  faultOf: (error: NodeJS.ErrnoException) => Fault,
): Promise<TLSSocket> {
  const name = host.replace(/^\[|\]$/g, "");
  const tls = connectTls({
    socket,
    host: name,
    // An address is no server name; the certificate is checked against it all the same.
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ALPNProtocols: ["http/1.1"],
  });
  return ready(tls, "secureConnect", timeoutMs, faultOf);
}

function proxyTlsFault({ code, message }: NodeJS.ErrnoException): Fault {
  return new Fault("proxy_tls_failed", code ?? message);
}

function upstreamTlsFault({ code, message }: NodeJS.ErrnoException): Fault {
  return new Fault("upstream_tls_failed", code ?? message);
}

/** Waits for an event of a socket; destroys the socket where it does not come. */
function ready<T extends Socket>(
  socket: T,
  event: "connect" | "secureConnect",
  timeoutMs: number,
  faultOf: (error: NodeJS.ErrnoException) => Fault,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy(Object.assign(new Error("too slow"), { code: "ETIMEDOUT" }));
    }, timeoutMs);
    const settle = () => {
      clearTimeout(timer);
      socket.off("error", onError);
      socket.off("close", onClose);
      socket.off(event, onReady);
    };
    const onReady = () => {
      settle();
      resolve(socket);
    };
    const onError = (error: NodeJS.ErrnoException) => {
      settle();
      // Late errors of a socket that is given up are nobody's.
      socket.on("error", () => {});
      reject(faultOf(error));
    };
    const onClose = () => onError(Object.assign(new Error("closed"), { code: "ECONNRESET" }));
    socket.on("error", onError);
    socket.on("close", onClose);
    socket.on(event, onReady);
  });
}
