import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import * as fc from "fast-check";
import { openToken, sealToken, tokenKey } from "../../forward-proxy/src/contract.ts";
import { openConnectTunnel } from "../../forward-proxy/src/dial/connect-tunnel.ts";
import { openSocksTunnel } from "../../forward-proxy/src/dial/socks5.ts";
import { Fault } from "../../forward-proxy/src/fault.ts";
import { Failure } from "../../scripts/cli/failure.ts";
import { readProxy } from "../../scripts/cli/proxy.ts";
import { longText, text } from "./hostile.ts";
import { must, type Target } from "./target.ts";

/** Settings of accounts' proxies: as the CLI reads them, as a token carries them, and on the wire. */

const UPSTREAM = { host: "api.example", port: 443, isTls: true };
const WITHIN_MS = 5_000;
/** A length is one byte in SOCKS5 (RFC 1929). */
const SOCKS_MAX_BYTES = 255;

interface Login {
  username?: string;
  password?: string;
}

const part = fc.oneof(text, longText, fc.constantFrom("é".repeat(127), "é".repeat(128)));
const login: fc.Arbitrary<Login> = fc.record(
  { username: part, password: part },
  { requiredKeys: [] },
);

/** Dials a proxy that refuses every login. @returns what it saw, and how the dial ended */
async function dialled(type: "http" | "socks5", given: Login) {
  const seen: Buffer[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      seen.push(chunk);
      refuse(type, socket, Buffer.concat(seen));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const open = type === "http" ? openConnectTunnel : openSocksTunnel;
  const proxy = { type, host: "127.0.0.1", port, ...given };
  const fault = await open(socket, proxy, UPSTREAM, WITHIN_MS).then(
    () => null,
    (error: unknown) => error,
  );
  socket.destroy();
  await new Promise((closed) => server.close(closed));
  return { fault, seen: Buffer.concat(seen) };
}

function refuse(type: "http" | "socks5", socket: Socket, seen: Buffer): void {
  if (type === "http") {
    if (seen.includes("\r\n\r\n")) socket.end("HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n");
    return;
  }
  const greetingBytes = 2 + (seen[1] ?? 0);
  const wantsLogin = seen.subarray(2, greetingBytes).includes(2);
  if (seen.length === greetingBytes) socket.write(Buffer.from([5, wantsLogin ? 2 : 0xff]));
  else if (seen.length > greetingBytes) socket.write(Buffer.from([1, 1]));
}

const onTheWire: Target<void> = {
  name: "logins of proxies, on the wire",
  runs: 200,
  property: () =>
    fc.asyncProperty(fc.constantFrom("http", "socks5"), login, async (type, given) => {
      const { fault, seen } = await dialled(type, given);
      must(fault instanceof Fault, `it ended with ${fault}`);
      const { username = "", password = "" } = given;
      const [user, secret] = [username, password].map((field) => Buffer.from(field)) as [
        Buffer,
        Buffer,
      ];
      if (type === "http") {
        const head = seen.toString("latin1");
        const lines = head.split("\r\n");
        must(head.endsWith("\r\n\r\n") && head.indexOf("\r\n\r\n") === head.length - 4, head);
        must(lines[0] === "CONNECT api.example:443 HTTP/1.1", `it asked for ${lines[0]}`);
        const names = lines.slice(1, -2).map((line) => line.split(":")[0]?.toLowerCase());
        const expected = ["host", "proxy-authorization", "connection"];
        must(
          names.every((name) => expected.includes(name ?? "")),
          `it sent ${names}`,
        );
        const basic = /^proxy-authorization: Basic (.*)$/im.exec(head)?.[1] ?? "";
        const shown = Buffer.from(basic, "base64").equals(
          Buffer.concat([user, Buffer.from(":"), secret]),
        );
        must(shown || Object.keys(given).length === 0, "another login was shown");
        return;
      }
      const asked = seen.subarray(2 + (seen[1] ?? 0));
      const isTooLong = Math.max(user.length, secret.length) > SOCKS_MAX_BYTES;
      if (isTooLong || user.length + secret.length === 0) {
        must(asked.length === 0, "a login was shown that is none");
        return;
      }
      const frame = [Buffer.from([1, user.length]), user, Buffer.from([secret.length]), secret];
      must(asked.equals(Buffer.concat(frame)), "another login was shown");
    }),
};

const addresses: Target<void> = {
  name: "addresses of proxies, as they are pasted",
  runs: 1_000,
  property: () =>
    fc.asyncProperty(
      fc.oneof(
        fc.tuple(fc.constantFrom("socks5://", "http://", "https://", "SOCKS5H://", ""), text, text),
        fc.tuple(fc.constantFrom("socks5://"), part, fc.constant("@proxy.example:1080")),
      ),
      async ([scheme, before, after]) => {
        try {
          const { type, host, port } = readProxy(scheme + before + after);
          must(["socks5", "http", "https"].includes(type), `it is of type ${type}`);
          must(Number.isInteger(port) && port >= 0 && port < 65_536, `it has port ${port}`);
          must(/^[^\s/@?#]+$/.test(host), `it has the host ${host}`);
        } catch (error) {
          must(error instanceof Failure, `it ended with ${error}`);
          must(error.message.startsWith("The proxy must be an address"), error.message);
        }
      },
    ),
};

/** Where a token is cut, how much of it is left out, and what is put in. */
const cut = fc.tuple(
  fc.nat({ max: 400 }),
  fc.nat({ max: 8 }),
  fc.constantFrom("", ".", "..", "A", "e30", "=", "-", "\0", "é"),
);

const tokens: Target<void> = {
  name: "tokens of the forward proxy, bent",
  runs: 500,
  property: () => {
    const grant = {
      origin: "https://api.example",
      proxy: { type: "socks5" as const, host: "proxy.example", port: 1080, password: "p" },
    };
    const key = tokenKey("fuzz-forward-proxy-secret-0123456789");
    const sealed = key.then((made) => sealToken(made, grant, Date.now()));
    return fc.asyncProperty(fc.array(cut, { minLength: 1, maxLength: 4 }), async (cuts) => {
      let token = await sealed;
      for (const [at, drop, put] of cuts) token = token.slice(0, at) + put + token.slice(at + drop);
      const opened = await openToken(await key, token, Date.now());
      const { origin, proxy } = opened ?? grant;
      const isSame = JSON.stringify({ origin, proxy }) === JSON.stringify(grant);
      must(isSame, "it granted something else");
    });
  },
};

export const PROXY_TARGETS = [onTheWire, addresses, tokens];
