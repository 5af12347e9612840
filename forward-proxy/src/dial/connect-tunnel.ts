import { type IncomingMessage, request } from "node:http";
import { isIPv6, type Socket } from "node:net";
import type { ProxyTarget } from "../contract.ts";
import { Fault } from "../fault.ts";
import type { Destination } from "./dial.ts";

/** Opens a tunnel with `CONNECT` over a connection to an HTTP proxy; it resolves upstream's name. */
export function openConnectTunnel(
  socket: Socket,
  { username, password }: ProxyTarget,
  destination: Destination,
  timeoutMs: number,
): Promise<Socket> {
  const { host, port } = destination;
  const authority = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const hasLogin = username !== undefined || password !== undefined;
  const login = Buffer.from(`${username ?? ""}:${password ?? ""}`).toString("base64");
  return new Promise((resolve, reject) => {
    const connect = request({
      // With this and no agent named, none is used.
      createConnection: () => socket,
      method: "CONNECT",
      path: authority,
      headers: {
        host: authority,
        ...(hasLogin ? { "proxy-authorization": `Basic ${login}` } : {}),
      },
    });
    const timer = setTimeout(() => connect.destroy(new TooSlow()), timeoutMs);
    connect.once("connect", (answer: IncomingMessage, tunnel: Socket, head: Buffer) => {
      clearTimeout(timer);
      const fault = connectFault(answer.statusCode ?? 0);
      if (fault !== null) return reject(fault);
      if (head.length > 0) tunnel.unshift(head);
      resolve(tunnel);
    });
    connect.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(brokenFault(error));
    });
    connect.end();
  });
}

class TooSlow extends Error {}

function brokenFault(error: NodeJS.ErrnoException): Fault {
  if (error instanceof TooSlow) {
    return new Fault("proxy_cannot_reach_upstream", "CONNECT too slow");
  }
  return error.code?.startsWith("HPE_")
    ? new Fault("proxy_not_understood", error.code)
    : new Fault("proxy_refused", `CONNECT ${error.code ?? "closed"}`);
}

function connectFault(status: number): Fault | null {
  if (status >= 200 && status < 300) return null;
  // Some proxies answer a wrong password with 401, although it is not theirs to use.
  if (status === 407 || status === 401) return new Fault("proxy_auth_failed", `CONNECT ${status}`);
  // Proxies that cannot reach the other side say 500, 502, 503 or 504.
  return status >= 500
    ? new Fault("proxy_cannot_reach_upstream", `CONNECT ${status}`)
    : new Fault("proxy_refused", `CONNECT ${status}`);
}
