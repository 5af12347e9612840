import type { Socket } from "node:net";
import { SocksClient } from "socks";
import type { ProxyTarget } from "../contract.ts";
import { Fault } from "../fault.ts";
import type { Destination } from "./dial.ts";

/** A user name and a password have one byte each for their length (RFC 1929). */
const LOGIN_MAX_BYTES = 255;

/** Opens a tunnel over a connection to a SOCKS5 proxy; the proxy resolves upstream's name. */
export async function openSocksTunnel(
  socket: Socket,
  { host, port, username, password }: ProxyTarget,
  destination: Destination,
  timeoutMs: number,
): Promise<Socket> {
  const hasLogin = username !== undefined || password !== undefined;
  // The library would throw where nobody can catch it, and end the process.
  if ([username, password].some((part) => Buffer.byteLength(part ?? "") > LOGIN_MAX_BYTES)) {
    throw new Fault("proxy_auth_failed", "SOCKS5 login of over 255 bytes");
  }
  try {
    await SocksClient.createConnection({
      command: "connect",
      existing_socket: socket,
      proxy: {
        host,
        port,
        type: 5,
        ...(hasLogin ? { userId: username ?? "", password: password ?? "" } : {}),
      },
      destination: { host: destination.host, port: destination.port },
      timeout: timeoutMs,
    });
    return socket;
  } catch (error) {
    throw socksFault(error instanceof Error ? error.message : "", socket.bytesRead === 0);
  }
}

/**
 * The library tells its failures by text only; tests hold them against real servers.
 *
 * @param isSilent nothing came back at all, although a SOCKS server answers the greeting at once
 */
function socksFault(message: string, isSilent: boolean): Fault {
  if (/authentication failed|no accepted authentication/i.test(message)) {
    return new Fault("proxy_auth_failed", "SOCKS5 authentication");
  }
  const reply = /rejected connection - (\w+)/.exec(message)?.[1];
  switch (reply) {
    case undefined:
      break;
    case "NetworkUnreachable":
    case "HostUnreachable":
    case "ConnectionRefused":
    case "TTLExpired":
    case "Failure":
      return new Fault("proxy_cannot_reach_upstream", `SOCKS5 ${reply}`);
    default:
      return new Fault("proxy_refused", `SOCKS5 ${reply}`);
  }
  if (/timed out/i.test(message)) {
    if (isSilent) return new Fault("proxy_not_understood", "SOCKS5 greeting unanswered");
    return new Fault("proxy_cannot_reach_upstream", "SOCKS5 tunnel too slow");
  }
  if (/socket closed/i.test(message)) return new Fault("proxy_refused", "SOCKS5 closed");
  return new Fault("proxy_not_understood", "SOCKS5 handshake");
}
