import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { get } from "node:https";
import { type AddressInfo, BlockList, connect, createServer } from "node:net";
import { join } from "node:path";
import { EncryptJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AddressGuard } from "../../forward-proxy/src/address-guard.ts";
import {
  type Grant,
  sealToken,
  TOKEN_HEADER,
  TOKEN_LIFETIME_S,
  tokenKey,
} from "../../forward-proxy/src/contract.ts";
import { dial } from "../../forward-proxy/src/dial/dial.ts";
import { Fault } from "../../forward-proxy/src/fault.ts";
import { ReplayMemory } from "../../forward-proxy/src/replay-memory.ts";
import {
  isPublicAddress,
  NOT_PUBLIC_IPV4,
  NOT_PUBLIC_IPV6,
  PUBLIC_IPV6,
} from "../../forward-proxy/src/special-networks.ts";
import { readWebhookAddress } from "../../src/alerts/address.ts";
import { FORWARD_PROXY_SECRET, ForwardProxyProcess } from "../fixtures/egress/forward-proxy.ts";
import { HttpProxy, SocksProxy, type TestProxy } from "../fixtures/egress/proxies.ts";
import { TEST_CA_FILE } from "../fixtures/egress/tls-front.ts";
import { type FakeUpstream, startFakeUpstream } from "../fixtures/fake-upstream/index.ts";

const SETUP_MS = 180_000;
const STREAMS = 500;
const ABORTED = 1_000;
/** So many leave at the same moment. */
const ABORTED_AT_ONCE = 250;
/** A small heap is collected often: what grows there is kept, and not merely not collected yet. */
const SMALL_HEAP = "--max-old-space-size=96 --max-semi-space-size=8";
const MEMORY_SLACK_MIB = 40;

let fake: FakeUpstream;
let apiKey: string;
let socks: SocksProxy;
let http: HttpProxy;
let service: ForwardProxyProcess;
let key: CryptoKey;
let agent: Agent;

beforeAll(async () => {
  fake = await startFakeUpstream();
  ({ apiKey } = fake.accounts.addApiKey({ name: "A" }));
  socks = await SocksProxy.start();
  http = await HttpProxy.start();
  service = await ForwardProxyProcess.start([fake.url], {
    SOCKET_IDLE_SECONDS: "2",
    NODE_OPTIONS: SMALL_HEAP,
  });
  key = await tokenKey(FORWARD_PROXY_SECRET);
  agent = new Agent({ keepAlive: true });
}, SETUP_MS);
afterAll(async () => {
  agent.destroy();
  await service.terminate();
  await Promise.all([socks.stop(), http.stop(), fake.close()]);
});

interface Asked {
  token?: string | undefined;
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  to?: ForwardProxyProcess;
}

/** Asks the forward proxy as the Worker does; resolves with the answer's head. */
function ask({
  token,
  method = "POST",
  path = "/v1/messages",
  headers,
  body,
  to,
}: Asked): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        agent,
        host: "127.0.0.1",
        port: (to ?? service).port,
        method,
        path,
        headers: { ...(token === undefined ? {} : { [TOKEN_HEADER]: token }), ...headers },
      },
      resolve,
    );
    request.once("error", reject);
    request.end(body);
  });
}

async function bytesOf(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const grant = (proxy: TestProxy = socks): Grant => ({ origin: fake.url, proxy: proxy.settings });
const token = (given: Grant = grant(), nowMs = Date.now()) => sealToken(key, given, nowMs);

const MESSAGE_HEADERS = {
  "content-type": "application/json",
  "anthropic-version": "2023-06-01",
};

async function message(fault: object, proxy: TestProxy = socks): Promise<IncomingMessage> {
  return ask({
    token: await token(grant(proxy)),
    headers: {
      ...MESSAGE_HEADERS,
      "x-api-key": apiKey,
      "x-fake-script": JSON.stringify(fault),
    },
    body: JSON.stringify({
      model: "claude-sonnet-5",
      max_tokens: 100_000,
      stream: true,
      messages: [{ role: "user", content: "Hello" }],
    }),
  });
}

/** What happens at once on a quiet machine. */
const SOON = { timeout: 20_000 };
const wait = (ms: number) => new Promise((settle) => setTimeout(settle, ms));

describe("what it refuses, it refuses without dialling anyone", () => {
  /** Where the proxy would be: whoever connects is counted. */
  const trap = createServer((socket) => {
    dialled += 1;
    socket.destroy();
  });
  let dialled = 0;
  let trapped: Grant;
  let strict: ForwardProxyProcess;

  beforeAll(async () => {
    trap.listen(0, "0.0.0.0");
    await once(trap, "listening");
    const { port } = trap.address() as AddressInfo;
    trapped = { origin: fake.url, proxy: { type: "socks5", host: "127.0.0.1", port } };
    strict = await ForwardProxyProcess.start(["https://api.anthropic.com"], {
      PRIVATE_ADDRESSES_ALLOWED: "",
    });
  });
  afterAll(async () => {
    trap.close();
    await strict.terminate();
  });

  async function refused(
    asked: Asked,
  ): Promise<{ status: number; code: string; body: string; afterMs: number }> {
    const beganAtMs = performance.now();
    const answer = await ask(asked);
    const body = (await bytesOf(answer)).toString();
    return {
      status: answer.statusCode ?? 0,
      code: String(answer.headers["x-forward-proxy-error"]),
      body,
      afterMs: performance.now() - beganAtMs,
    };
  }

  async function otherToken(
    change: (jwt: EncryptJWT) => EncryptJWT,
    sealedWith = key,
  ): Promise<string> {
    const jwt = new EncryptJWT({ ...trapped })
      .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
      .setAudience("forward-proxy")
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime("1m");
    return change(jwt).encrypt(sealedWith);
  }

  const spent = async () => {
    const one = await token();
    await bytesOf(await ask({ token: one, method: "GET", path: "/" }));
    return one;
  };
  const damaged = async (change: (parts: string[]) => string[]) =>
    change((await token(trapped)).split(".")).join(".");
  const badTokens: [string, () => Promise<string | undefined>][] = [
    ["none", async () => undefined],
    ["an empty one", async () => ""],
    ["nonsense", async () => "a.b.c.d.e"],
    [
      "one of another secret",
      async () => sealToken(await tokenKey("x".repeat(40)), trapped, Date.now()),
    ],
    ["an expired one", () => token(trapped, Date.now() - (TOKEN_LIFETIME_S + 10) * 1_000)],
    ["one of tomorrow", () => token(trapped, Date.now() + 86_400_000)],
    [
      "one of before the service began",
      () => token(trapped, Date.now() - (TOKEN_LIFETIME_S - 5) * 1_000),
    ],
    ["a truncated one", async () => (await token(trapped)).slice(0, -20)],
    ["one without its tag", () => damaged((parts) => [...parts.slice(0, 4), ""])],
    [
      "one with a changed text",
      () => damaged((parts) => parts.map((part, at) => (at === 3 ? `AAAA${part.slice(4)}` : part))),
    ],
    ["a replayed one", spent],
    ["one for another audience", () => otherToken((jwt) => jwt.setAudience("elsewhere"))],
    [
      "one that lives too long",
      () =>
        otherToken((jwt) =>
          jwt.setIssuedAt(Math.floor(Date.now() / 1_000) - 3_600).setExpirationTime("2h"),
        ),
    ],
    [
      "one that is not encrypted",
      async () =>
        `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(JSON.stringify({ ...trapped })).toString("base64url")}.`,
    ],
  ];

  test.each(badTokens)("a token: %s", async (_, make) => {
    const made = await make();
    const before = dialled;
    const { status, code, body, afterMs } = await refused({ token: made });
    expect({ status, code }).toEqual({ status: 401, code: "token_refused" });
    expect(JSON.parse(body)).toMatchObject({ error: "token_refused" });
    // As late as every other one, whatever was wrong with it.
    expect(afterMs).toBeGreaterThan(95);
    expect(dialled).toBe(before);
  });

  test("and tells none of them apart", async () => {
    const bodies = new Set<string>();
    for (const [, make] of badTokens) bodies.add((await refused({ token: await make() })).body);
    expect(bodies.size).toBe(1);
  });

  test.each([
    ["another host", "https://evil.example"],
    ["the same host under another scheme", "http://api.anthropic.com"],
    ["the same host at another port", "https://api.anthropic.com:8443"],
    ["a name that only begins so", "https://api.anthropic.com.evil.example"],
    ["with a path", "https://api.anthropic.com/x"],
    ["with a login", "https://a:b@api.anthropic.com"],
    ["in capitals", "https://API.anthropic.com"],
    ["loopback", "http://127.0.0.1"],
    ["the metadata service", "http://169.254.169.254"],
    ["no address", "nonsense"],
  ])("an upstream that is not on the list: %s", async (_, origin) => {
    const before = dialled;
    const { status, code } = await refused({
      token: await token({ ...trapped, origin }),
      to: strict,
    });
    expect({ status, code }).toEqual({ status: 403, code: "origin_not_allowed" });
    expect(dialled).toBe(before);
  });

  test.each([
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "[::1]",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    // As the resolver of the system reads them, and by name.
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "localhost",
    "ip6-localhost",
  ])("a proxy at %s", async (host) => {
    const before = dialled;
    const given: Grant = {
      origin: "https://api.anthropic.com",
      proxy: { ...trapped.proxy, host },
    };
    const { status, code } = await refused({ token: await token(given), to: strict });
    // A name that this machine does not know is no way in either.
    expect(["proxy_not_allowed", "proxy_unreachable"]).toContain(code);
    if (!/[a-z]{3}|^0177|^0x/.test(host))
      expect({ status, code }).toEqual({ status: 403, code: "proxy_not_allowed" });
    expect(dialled).toBe(before);
  });

  test("headers over 64 KiB", async () => {
    const before = dialled;
    const headers = { "x-much": "a".repeat(70_000) };
    const answer = await refused({ token: await token(trapped), headers });
    expect(answer).toMatchObject({ status: 431, code: "headers_too_large" });
    expect(dialled).toBe(before);
  });

  test.each([
    ["an absolute address", "GET http://127.0.0.1/ HTTP/1.1\r\nhost: x\r\n"],
    ["CONNECT", "CONNECT 127.0.0.1:80 HTTP/1.1\r\nhost: 127.0.0.1:80\r\n"],
    ["nonsense", "\x05\x01\x00"],
  ])("what open proxies take: %s", async (_, head) => {
    const before = dialled;
    const socket = connect(service.port, "127.0.0.1");
    socket.write(`${head}${TOKEN_HEADER}: ${await token(trapped)}\r\n\r\n`);
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", () => {});
    await once(socket, "close");
    expect(Buffer.concat(chunks).toString()).not.toMatch(/^HTTP\/1\.1 2/);
    expect(dialled).toBe(before);
  });

  test("the trap itself works: a good token does dial", async () => {
    const before = dialled;
    await refused({ token: await token(trapped) });
    expect(dialled).toBe(before + 1);
  });

  test("nothing of a token, a password or a path is in the log or the metrics", async () => {
    const proxy = { ...trapped.proxy, username: "user-5c1", password: "pass-5c1" };
    const one = await token({ ...trapped, proxy });
    await refused({ token: one, path: "/path-5c1?query-5c1" });
    const told = service.log + (await service.metricsText());
    expect(told).toContain("dial.failed");
    expect(told).not.toMatch(/5c1/);
    expect(told).not.toContain(one.slice(-20));
    expect(told).not.toContain(FORWARD_PROXY_SECRET);
  });
});

describe("parts of its defence", () => {
  test("a name that leads to one private address is refused, whatever else it leads to", async () => {
    const asked: string[] = [];
    const guard = new AddressGuard([], async (host) => {
      asked.push(host);
      return [
        { address: "93.184.215.14", family: 4 },
        { address: "127.0.0.1", family: 4 },
      ];
    });
    await expect(guard.addressesOf("rebinding.example")).rejects.toMatchObject({
      code: "proxy_not_allowed",
    });
    expect(asked).toEqual(["rebinding.example"]);
  });

  test("a name is looked up once for a dial, and the checked address is the dialled one", async () => {
    const server = createServer((socket) => socket.destroy());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    let lookUps = 0;
    const guard = new AddressGuard(["127.0.0.1"], async () => {
      lookUps += 1;
      // What it leads to after the check.
      return [{ address: lookUps === 1 ? "127.0.0.1" : "10.0.0.1", family: 4 }];
    });
    const connected = once(server, "connection");
    const legs = {};
    const dialling = dial({
      proxy: { type: "socks5", host: "rebinding.example", port },
      destination: { host: "api.example", port: 443, isTls: true },
      guard,
      timeoutMs: 1_000,
      legs,
    });
    await expect(dialling).rejects.toBeInstanceOf(Fault);
    await connected;
    expect(lookUps).toBe(1);
    expect(Object.keys(legs)).toEqual(["proxy", "tunnel"]);
    server.close();
  });

  test("the public internet is public", () => {
    for (const address of ["93.184.215.14", "1.1.1.1", "172.32.0.1", "2606:4700::1111"]) {
      expect([address, isPublicAddress(address)]).toEqual([address, true]);
    }
    for (const address of [
      "172.31.255.255",
      "198.19.0.1",
      "255.255.255.255",
      "168.63.129.16",
      "100.100.100.200",
      "fd00:ec2::254",
      "ff02::1",
      "3fff::1",
      "::ffff:1.1.1.1",
      "fe80::1%eth0",
      "1.1.1",
      "1.1.1.256",
      "one.one.one.one",
    ]) {
      expect([address, isPublicAddress(address)]).toEqual([address, false]);
    }
  });

  test("at each network's borders an address is judged as Node's own list does, and alike for webhooks", () => {
    const specials = new BlockList();
    for (const [first, bits] of NOT_PUBLIC_IPV4) specials.addSubnet(first, bits, "ipv4");
    for (const [first, bits] of NOT_PUBLIC_IPV6) specials.addSubnet(first, bits, "ipv6");
    const global = new BlockList();
    global.addSubnet(...PUBLIC_IPV6, "ipv6");

    const borders4 = NOT_PUBLIC_IPV4.flatMap(([first, bits]) => {
      const start = first.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
      return [start - 1, start, start + 2 ** (32 - bits) - 1, start + 2 ** (32 - bits)];
    }).filter((address) => address >= 0 && address < 2 ** 32);
    for (const number of borders4) {
      const address = [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
      const isPublic = !specials.check(address, "ipv4");
      const url = `https://${address}/`;
      expect([address, isPublicAddress(address)]).toEqual([address, isPublic]);
      expect([address, readWebhookAddress(url, false).ok]).toEqual([address, isPublic]);
    }

    const borders6 = [PUBLIC_IPV6, ...NOT_PUBLIC_IPV6].flatMap(([first, bits]) => {
      const groups = first.split(":");
      const high = BigInt(`0x${groups[0]}`) * 65_536n + BigInt(`0x${groups[1] || "0"}`);
      const start = high << 96n;
      const size = 1n << BigInt(128 - bits);
      return [start - 1n, start, start + size - 1n, start + size];
    });
    for (const number of borders6) {
      const hex = number.toString(16).padStart(32, "0");
      const address = hex.replace(/(.{4})(?=.)/g, "$1:");
      const isPublic = global.check(address, "ipv6") && !specials.check(address, "ipv6");
      const url = `https://[${address}]/`;
      expect([address, isPublicAddress(address)]).toEqual([address, isPublic]);
      expect([address, readWebhookAddress(url, false).ok]).toEqual([address, isPublic]);
    }
  });

  test.each([
    ["a user name", { username: "x".repeat(256) }],
    ["a password", { password: "é".repeat(128) }],
  ])("%s that SOCKS5 has no room for is refused, and ends nobody", async (_, login) => {
    // Asks for a login, whatever it is offered.
    const asking = createServer((socket) => {
      socket.once("data", () => socket.write(Buffer.from([5, 2])));
      socket.on("error", () => {});
    });
    asking.listen(0, "127.0.0.1");
    await once(asking, "listening");
    const { port } = asking.address() as AddressInfo;
    const proxy = { type: "socks5" as const, host: "127.0.0.1", port, ...login };
    const answer = await ask({ token: await token({ origin: fake.url, proxy }) });
    await bytesOf(answer);
    expect(answer.headers["x-forward-proxy-error"]).toBe("proxy_auth_failed");
    asking.close();
    const next = await message({});
    await bytesOf(next);
    expect(next.statusCode).toBe(200);
  });

  test("used tokens are remembered to their end, and when there is no room for one it does not pass", () => {
    const memory = new ReplayMemory(2);
    expect(memory.use("a", 1_000, 0)).toBe("first");
    expect(memory.use("a", 1_000, 999)).toBe("replayed");
    expect(memory.use("b", 1_500, 10)).toBe("first");
    expect(memory.use("c", 1_600, 20)).toBe("full");
    expect(memory.use("c", 1_600, 1_000)).toBe("first");
    expect(memory.size).toBe(2);
  });
});

describe("bytes", () => {
  test("of a body in both directions are the same, whatever its size", async () => {
    const body = Buffer.alloc(8 * 1024 * 1024, 0xa5);
    const answer = await ask({
      token: await token(),
      headers: { ...MESSAGE_HEADERS, "x-api-key": apiKey, "content-length": String(body.length) },
      body,
    });
    await bytesOf(answer);
    await fake.ledger.settled();
    const entry = fake.ledger.byPath("/v1/messages").at(-1);
    expect(entry?.requestBodyBytes).toBe(body.length);
    expect(entry?.requestBodySha256).toBe(createHash("sha256").update(body).digest("hex"));
    expect(entry?.requestHeaders["content-length"]).toBe(String(body.length));
  });

  test("of headers too, less those of the way", async () => {
    const answer = await ask({
      token: await token(),
      method: "GET",
      path: "/v1/models?limit=1",
      headers: {
        "X-Api-Key": apiKey,
        "anthropic-version": "2023-06-01",
        "x-custom": "kept",
        "cf-connecting-ip": "203.0.113.9",
        "x-forwarded-for": "203.0.113.9",
        "x-real-ip": "203.0.113.9",
        "cdn-loop": "somewhere",
        "proxy-authorization": "Basic x",
      },
    });
    await bytesOf(answer);
    expect(answer.statusCode).toBe(200);
    expect(answer.headers).toMatchObject({ "x-forward-proxy-answer": "upstream" });
    const seen = fake.ledger.byPath("/v1/models").at(-1)?.requestHeaders ?? {};
    expect(seen).toMatchObject({ "x-custom": "kept", host: new URL(fake.url).host });
    expect(JSON.stringify(seen)).not.toMatch(/203\.0\.113|cdn-loop|proxy/);
  });

  test("wait for whoever reads slowly, and are not piled up", async () => {
    const before = service.memoryMiB;
    const answer = await message({ answer: { textBytes: 64 * 1024 * 1024 } });
    answer.pause();
    await wait(1_500);
    expect(service.memoryMiB - before).toBeLessThan(MEMORY_SLACK_MIB);
    answer.destroy();
  });
});

test("whoever leaves before the first byte ends the request upstream", async () => {
  await expect.poll(() => fake.ledger.totals().inFlight, SOON).toBe(0);
  const request = httpRequest({
    agent: false,
    host: "127.0.0.1",
    port: service.port,
    method: "POST",
    path: "/v1/messages",
    headers: {
      ...MESSAGE_HEADERS,
      [TOKEN_HEADER]: await token(),
      "x-api-key": apiKey,
      "x-fake-script": JSON.stringify({ hang: true }),
    },
  });
  request.on("error", () => {});
  request.end("{}");
  await expect.poll(() => fake.ledger.totals().inFlight, SOON).toBe(1);
  request.destroy();
  await expect.poll(() => fake.ledger.totals().inFlight, SOON).toBe(0);
  expect(fake.ledger.byPath("/v1/messages").at(-1)?.outcome).toBe("client_closed");
});

describe("load", () => {
  const paced = { intervalMs: 100, answer: { deltas: 30 } };

  async function streams(count: number): Promise<void> {
    const answers = await Promise.all(
      Array.from({ length: count }, (_, index) => message(paced, index % 2 === 0 ? socks : http)),
    );
    const bodies = await Promise.all(answers.map(bytesOf));
    expect(answers.filter(({ statusCode }) => statusCode !== 200)).toHaveLength(0);
    expect(bodies.filter((body) => !body.toString().includes("message_stop"))).toHaveLength(0);
  }

  test(`${STREAMS} paced streams at once come through whole, with steady memory`, async () => {
    await streams(STREAMS);
    const afterFirst = service.memoryMiB;
    await streams(STREAMS);
    await streams(STREAMS);
    expect(service.memoryMiB - afterFirst).toBeLessThan(MEMORY_SLACK_MIB);
    expect(fake.ledger.totals().maxInFlight).toBeGreaterThanOrEqual(STREAMS);
  }, 120_000);

  test(`${ABORTED} aborted streams leave no connection, to nobody`, async () => {
    for (let begun = 0; begun < ABORTED; begun += ABORTED_AT_ONCE) {
      const answers = await Promise.all(
        Array.from({ length: ABORTED_AT_ONCE }, () =>
          message({ intervalMs: 50, answer: { deltas: 10_000 } }),
        ),
      );
      for (const answer of answers) answer.destroy();
    }
    await expect.poll(() => service.metric("forward_proxy_sockets"), SOON).toBe(0);
    await expect.poll(() => service.metric("forward_proxy_requests_in_flight"), SOON).toBe(0);
    await expect.poll(() => fake.ledger.totals().inFlight, SOON).toBe(0);
  }, 120_000);
});

describe("its end", () => {
  test("lets streams in flight finish, and takes no new ones", async () => {
    const other = await ForwardProxyProcess.start([fake.url]);
    const answer = await ask({
      token: await token(),
      headers: {
        ...MESSAGE_HEADERS,
        "x-api-key": apiKey,
        "x-fake-script": JSON.stringify({ intervalMs: 100, answer: { deltas: 20 } }),
      },
      body: JSON.stringify({
        model: "claude-sonnet-5",
        max_tokens: 1_000,
        stream: true,
        messages: [{ role: "user", content: "Hello" }],
      }),
      to: other,
    });
    const ended = other.terminate();
    await expect.poll(() => other.log, SOON).toContain('"draining"');
    await expect(
      ask({ token: await token(), to: other, headers: { connection: "close" } }),
    ).rejects.toThrow();
    expect((await bytesOf(answer)).toString()).toContain("message_stop");
    expect(await ended).toBe(0);
    expect(other.log).toContain('"allFinished":true');
  });

  test("is told by /health, and /metrics is not open to the world", async () => {
    const health = await fetch(`${service.url}/health`);
    expect([health.status, await health.json()]).toEqual([200, { status: "ok" }]);
    expect((await fetch(`${service.url}/metrics`)).status).toBe(401);
    expect(await service.metricsText()).toMatch(
      /^forward_proxy_requests_total\{result="upstream"\} \d/m,
    );
  });

  test("speaks HTTPS itself where it has a certificate, and its container's health check knows", async () => {
    const folder = join(import.meta.dirname, "../fixtures/egress/tls");
    const env = {
      TLS_CERT_FILE: join(folder, "server.pem"),
      TLS_KEY_FILE: join(folder, "server.key"),
    };
    const secure = await ForwardProxyProcess.start([fake.url], env);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const { port } = secure;
      get(
        { host: "127.0.0.1", port, path: "/health", ca: readFileSync(TEST_CA_FILE) },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode);
        },
      ).once("error", reject);
    });
    expect(status).toBe(200);
    const script = join(import.meta.dirname, "../../forward-proxy/src/health-check.ts");
    const check = () =>
      new Promise<number>((settle) => {
        const settings = { ...env, FORWARD_PROXY_SECRET, PORT: String(secure.port) };
        execFile(process.execPath, [script], { env: settings }, (error) =>
          settle(Number(error?.code ?? 0)),
        );
      });
    expect(await check()).toBe(0);
    await secure.terminate();
    expect(await check()).toBe(1);
  });

  test("a mistaken configuration starts nothing, and names everything that is wrong", async () => {
    await expect(
      ForwardProxyProcess.start(["http://10.0.0.1"], {
        FORWARD_PROXY_SECRET: "short-secret",
        PORT: "99999",
        TLS_CERT_FILE: "cert.pem",
      }),
    ).rejects.toThrow(/FORWARD_PROXY_SECRET[\s\S]*TLS_KEY_FILE[\s\S]*UPSTREAM_ORIGINS[\s\S]*PORT/);
  });
});
