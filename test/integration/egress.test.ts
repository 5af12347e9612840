import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ForwardProxyProcess } from "../fixtures/egress/forward-proxy.ts";
import { HttpProxy, type Login, SocksProxy, type TestProxy } from "../fixtures/egress/proxies.ts";
import { TlsFront } from "../fixtures/egress/tls-front.ts";
import { ADMIN, type RelayKey, TestRelay } from "../fixtures/relay.ts";
import { settledPort } from "../fixtures/settled-port.ts";

/** Installing the proxies may take its time where they are missing. */
const SETUP_MS = 180_000;
/** A first rest of ten seconds, and the moments around it. */
const COMES_BACK_MS = 45_000;
/** What happens at once on a quiet machine. */
const SOON = { timeout: 20_000 };
const LOGIN: Login = { username: "someone", password: "proxy-pass-7f3a" };

const sha256 = (bytes: ArrayBuffer) =>
  createHash("sha256").update(Buffer.from(bytes)).digest("hex");

let proxies: TestProxy[];
let service: ForwardProxyProcess;

beforeAll(async () => {
  // The first of each kind installs it where it is missing.
  const [socks, http] = await Promise.all([SocksProxy.start(), HttpProxy.start()]);
  const withLogin = await Promise.all([SocksProxy.start(LOGIN), HttpProxy.start(LOGIN)]);
  proxies = [socks, withLogin[0], http, withLogin[1]];
}, SETUP_MS);
afterAll(async () => {
  await Promise.all(proxies.map((proxy) => proxy.stop()));
});

const proxyOf = (index: number): TestProxy => {
  const proxy = proxies[index];
  if (proxy === undefined) throw new Error("no such proxy");
  return proxy;
};
const tunnels = () => proxies.map((proxy) => proxy.tunnels);

/** Removes what the tests before left, so that no account is rested or chosen by chance. */
async function clear(relay: TestRelay): Promise<void> {
  const { data } = await relay.admin<{ accounts: { id: string }[] }>("GET", "/claude-accounts");
  for (const { id } of data.accounts) await relay.admin("DELETE", `/claude-accounts/${id}`);
  relay.fake.reset({ accounts: true });
}

/** Starts it anew with other vars. Nothing is under way that an orderly end would wait for. */
const reconfigure = (relay: TestRelay, vars: Record<string, string>) =>
  relay.restart({ vars, how: "kill" });

/** An account behind a proxy, and a key that is bound to it. */
async function proxied(
  relay: TestRelay,
  name: string,
  proxy: object,
): Promise<{ id: string; key: RelayKey }> {
  const id = await relay.addApiKeyAccount(name, { proxy });
  return { id, key: await relay.createKey({ accountId: id }) };
}

interface Tested {
  ok: boolean;
  message: string;
  way: {
    forwardProxy: string | null;
    legs: { name: string; ms: number }[];
    exitAddress: string | null;
    fault: string | null;
  };
}

const tested = async (relay: TestRelay, id: string): Promise<Tested> =>
  (await relay.admin<Tested>("POST", `/claude-accounts/${id}/test`)).data;

/** The CLI, as an operator who knows the password. */
function cli(relay: TestRelay, args: string[]): Promise<{ exitCode: number; stdout: string }> {
  const home = mkdtempSync(join(tmpdir(), "relay-egress-cli-"));
  const script = join(import.meta.dirname, "../../scripts/cli.ts");
  const env = {
    XDG_CONFIG_HOME: home,
    RELAY_STATE_DIR: join(home, "nowhere"),
    ADMIN_PASSWORD: ADMIN.password,
  };
  return new Promise((settle) => {
    execFile(
      process.execPath,
      [script, ...args, "--url", relay.url],
      { env },
      (error, stdout, stderr) => {
        rmSync(home, { recursive: true, force: true });
        settle({ exitCode: Number(error?.code ?? 0), stdout: stdout + stderr });
      },
    );
  });
}

async function errorOf(answer: Response): Promise<string> {
  const { error } = (await answer.json()) as { error: { message: string } };
  return error.message;
}

describe("through real proxies to an upstream behind TLS", () => {
  let relay: TestRelay;
  let front: TlsFront;
  let impostor: TlsFront;

  beforeAll(async () => {
    const fakePort = await settledPort();
    front = await TlsFront.start(fakePort);
    impostor = await TlsFront.start(fakePort, "other");
    service = await ForwardProxyProcess.start([front.origin, impostor.origin], {
      DIAL_TIMEOUT_SECONDS: "2",
    });
    relay = await TestRelay.start({
      fake: { port: fakePort },
      vars: {
        ...service.vars,
        ANTHROPIC_API_URL: front.origin,
        OAUTH_TOKEN_URL: `${front.origin}/v1/oauth/token`,
        LOG_LEVEL: "debug",
      },
    });
  }, SETUP_MS);
  afterAll(async () => {
    await relay.stop();
    await service.terminate();
    await front.close();
    await impostor.close();
  });
  beforeEach(() => clear(relay));

  test.each([
    ["SOCKS5", 0],
    ["SOCKS5 with a login", 1],
    ["HTTP CONNECT", 2],
    ["HTTP CONNECT with a login", 3],
  ])(
    "%s carries messages, streams, the code exchange and the refresh, and nothing goes direct",
    async (_, index) => {
      const before = tunnels();
      const { accepted } = front;
      const { key } = await proxied(relay, "A", proxyOf(index).settings);
      const answer = await relay.message(key);
      expect(answer.status).toBe(200);
      expect([...answer.headers.keys()].filter((name) => name.startsWith("x-forward"))).toEqual([]);
      const body = await answer.arrayBuffer();
      const stream = await relay.message(key, { stream: true });
      const events = await stream.arrayBuffer();
      await relay.fake.ledger.settled();
      const seen = relay.fake.ledger.byPath("/v1/messages");
      expect(seen).toMatchObject([{ account: "A" }, { account: "A", stream: true }]);
      expect([sha256(body), sha256(events)]).toEqual(seen.map((entry) => entry.responseBodySha256));
      for (const entry of seen) {
        expect(entry.violations).toEqual([]);
        expect(
          Object.keys(entry.requestHeaders).filter((name) => /forward|proxy/.test(name)),
        ).toEqual([]);
        expect(entry.requestHeaders["accept-encoding"]).toBe("identity");
      }

      relay.fake.accounts.addOAuth({ name: "person" });
      const begun = await relay.admin<{ authUrl: string; sessionId: string }>(
        "POST",
        "/claude-accounts/generate-auth-url",
        { proxy: proxyOf(index).settings },
      );
      const { authUrl, sessionId } = begun.data;
      const authorizationCode = relay.fake.oauth.authorize(authUrl, { account: "person" });
      const exchanged = await relay.admin("POST", "/claude-accounts/exchange-code", {
        sessionId,
        authorizationCode,
      });
      expect(exchanged).toMatchObject({ status: 200 });
      await relay.admin("POST", "/claude-accounts", { name: "person", sessionId });
      const refreshed = await relay.admin("POST", `/claude-accounts/${sessionId}/refresh`);
      expect(refreshed).toMatchObject({ status: 200 });
      expect(relay.fake.ledger.tokenCalls()).toMatchObject([
        { grantType: "authorization_code", outcome: "granted" },
        { grantType: "refresh_token", outcome: "granted" },
      ]);

      const opened = tunnels().map((count, at) => count - (before[at] ?? 0));
      expect(opened.filter((count, at) => count > 0 && at !== index)).toEqual([]);
      // Whoever came to upstream came out of this proxy.
      expect(front.accepted - accepted).toBe(opened[index]);
      expect(opened[index]).toBeGreaterThan(0);
    },
  );

  test("an event stream comes through byte for byte, however upstream cuts it", async () => {
    const { key } = await proxied(relay, "A", proxyOf(1).settings);
    const faults = [
      { chunking: { mode: "utf8" }, answer: { outputTokens: 2_000, alphabet: "multibyte" } },
      { chunking: { mode: "random", seed: 7, maxBytes: 50 }, noise: true },
      { crlf: true, answer: { outputTokens: 20_000 } },
      { encoding: "gzip", answer: { outputTokens: 4_000 } },
    ];
    for (const fault of faults) {
      const answer = await relay.message(key, { stream: true }, { fault });
      const bytes = await answer.arrayBuffer();
      await relay.fake.ledger.settled();
      const entry = relay.fake.ledger.byPath("/v1/messages").at(-1);
      expect(answer.status).toBe(200);
      const expected = "encoding" in fault ? entry?.identityBodySha256 : entry?.responseBodySha256;
      expect(sha256(bytes)).toBe(expected);
    }
  });

  test("upstream's own errors stay upstream's, and a stream that breaks never looks whole", async () => {
    const { key } = await proxied(relay, "A", proxyOf(0).settings);
    const respond = { status: 502, body: "bad gateway of upstream", rateLimitHeaders: false };
    const failed = await relay.message(key, {}, { fault: { respond } });
    expect([failed.status, await failed.text()]).toEqual([502, respond.body]);
    const broken = await relay.message(
      key,
      { stream: true },
      { fault: { breakAt: { afterEvents: 5, action: "reset" } } },
    );
    expect(await broken.text()).toMatch(/event: error\ndata: .*broke off/);
  });

  test.each([
    ["a wrong password", 1, "proxy_auth_failed", "refused the user name and password"],
    ["no password where one is needed", 1, "proxy_auth_failed", "refused the user name"],
    ["a wrong password of an HTTP proxy", 3, "proxy_auth_failed", "refused the user name"],
    ["no password for an HTTP proxy", 3, "proxy_auth_failed", "refused the user name"],
  ])(
    "%s is named, rests the account, and is no answer of upstream",
    async (what, index, code, words) => {
      const { type, host, port, username } = {
        username: LOGIN.username,
        ...proxyOf(index).settings,
      };
      const login = what.startsWith("no password") ? {} : { username, password: "wrong-pass-99" };
      const { id, key } = await proxied(relay, "A", { type, host, port, ...login });
      const { accepted } = front;
      const { ok, message, way } = await tested(relay, id);
      expect({ ok, fault: way.fault, forwardProxy: way.forwardProxy }).toEqual({
        ok: false,
        fault: code,
        forwardProxy: "default",
      });
      expect(way.legs.map(({ name }) => name)).toEqual(["forward_proxy", "proxy", "tunnel"]);
      expect(message).toContain("Correct the login");
      const answer = await relay.message(key);
      expect(answer.status).toBe(503);
      expect(await errorOf(answer)).toContain(words);
      await expect
        .poll(async () => (await relay.admin("GET", `/claude-accounts/${id}`)).data, SOON)
        .toMatchObject({
          status: "cooling_down",
          coolDowns: [{ reason: expect.stringMatching(words) }],
        });
      expect(front.accepted).toBe(accepted);
      expect(relay.fake.ledger.byPath("/v1/messages")).toEqual([]);
      expect(relay.log + service.log).not.toMatch(/wrong-pass-99|proxy-pass-7f3a/);
    },
  );

  test("each way to fail has its own name", async () => {
    const closed = await settledPort();
    const { host } = proxyOf(0).settings;
    const cases = [
      [{ type: "socks5", host, port: closed }, "proxy_unreachable"],
      [{ type: "http", host, port: closed }, "proxy_unreachable"],
      [{ type: "socks5", host, port: proxyOf(2).port }, "proxy_not_understood"],
      [{ type: "http", host, port: proxyOf(0).port }, "proxy_not_understood"],
      [{ type: "https", host, port: proxyOf(2).port }, "proxy_tls_failed"],
      [{ type: "socks5", host: "10.1.2.3", port: 1080 }, "proxy_not_allowed"],
      [{ type: "socks5", host: "nowhere.invalid", port: 1080 }, "proxy_unreachable"],
    ] as const;
    for (const [proxy, code] of cases) {
      await clear(relay);
      const { id } = await proxied(relay, "A", proxy);
      expect([proxy, (await tested(relay, id)).way.fault]).toEqual([proxy, code]);
    }
  });

  test("an upstream that cannot be reached, is an impostor or is not on the list, is named so", async () => {
    const closed = `https://127.0.0.1:${await settledPort()}`;
    const other = await ForwardProxyProcess.start([closed, impostor.origin]);
    try {
      for (const [url, indexes, code] of [
        [closed, [0, 2], "proxy_cannot_reach_upstream"],
        [impostor.origin, [0, 2], "upstream_tls_failed"],
        [front.origin, [0], "origin_not_allowed"],
      ] as const) {
        await reconfigure(relay, { ...other.vars, ANTHROPIC_API_URL: url });
        for (const index of indexes) {
          await clear(relay);
          const { id } = await proxied(relay, "A", proxyOf(index).settings);
          expect([url, (await tested(relay, id)).way.fault]).toEqual([url, code]);
        }
      }
    } finally {
      await other.terminate();
      await reconfigure(relay, { ...service.vars, ANTHROPIC_API_URL: front.origin });
    }
  });

  test("the test of an account tells how long each leg of its way took", async () => {
    const { id } = await proxied(relay, "A", proxyOf(3).settings);
    const { ok, way } = await tested(relay, id);
    expect(ok).toBe(true);
    expect(way).toMatchObject({ forwardProxy: "default", exitAddress: null, fault: null });
    expect(way.legs.map(({ name }) => name)).toEqual([
      "forward_proxy",
      "proxy",
      "tunnel",
      "tls",
      "first_byte",
    ]);
    for (const { ms } of way.legs) expect(ms).toBeGreaterThanOrEqual(0);
  });

  test("an account with a proxy serves nobody without a forward proxy, and its key learns why", async () => {
    await reconfigure(relay, { FORWARD_PROXY_URL: "" });
    try {
      const { id, key } = await proxied(relay, "A", proxyOf(0).settings);
      const { accepted } = front;
      const answer = await relay.message(key);
      expect(answer.status).toBe(503);
      expect(await errorOf(answer)).toContain("has a proxy that this relay cannot dial");
      expect((await tested(relay, id)).ok).toBe(false);
      expect(front.accepted).toBe(accepted);
    } finally {
      await reconfigure(relay, service.vars);
    }
  });
});

describe("with an upstream that needs no proxy too", () => {
  let relay: TestRelay;
  let second: ForwardProxyProcess;

  beforeAll(async () => {
    const fakePort = await settledPort();
    const origin = `http://127.0.0.1:${fakePort}`;
    service = await ForwardProxyProcess.start([origin]);
    second = await ForwardProxyProcess.start([origin]);
    relay = await TestRelay.start({ fake: { port: fakePort }, vars: service.vars });
  }, SETUP_MS);
  afterAll(async () => {
    await relay.stop();
    await service.terminate();
    await second.terminate();
  });
  beforeEach(() => clear(relay));

  /** Sends until told to end. @returns the statuses */
  function load(key: RelayKey): { end(): Promise<number[]> } {
    const statuses: number[] = [];
    let isEnding = false;
    const worker = async () => {
      while (!isEnding) {
        const answer = await relay.message(
          key,
          { stream: true },
          { fault: { intervalMs: 10, answer: { deltas: 10 } } },
        );
        await answer.arrayBuffer().catch(() => {});
        statuses.push(answer.status);
        if (answer.status !== 200) await new Promise((settle) => setTimeout(settle, 50));
      }
    };
    // Whoever meets the relay's own end has nobody to tell.
    const workers = Array.from({ length: 5 }, () => worker().catch(() => {}));
    return {
      end: async () => {
        isEnding = true;
        await Promise.all(workers);
        return statuses;
      },
    };
  }

  const comesBack = (key: RelayKey) =>
    expect
      .poll(
        async () => {
          const answer = await relay.message(key);
          await answer.arrayBuffer();
          return answer.status;
        },
        { timeout: COMES_BACK_MS, interval: 500 },
      )
      .toBe(200);

  // Those of both kinds fall at the same time: their accounts rest for the same ten seconds then.
  test.each([
    ["the forward proxy", [0], () => service.kill(), () => service.start()],
    [
      "a SOCKS5 and an HTTP proxy",
      [0, 2],
      () => Promise.all([proxyOf(0).stop(), proxyOf(2).stop()]),
      () => Promise.all([proxyOf(0).start(), proxyOf(2).start()]),
    ],
  ])(
    "killing %s under load: others do not notice, and its accounts come back by themselves",
    async (_, indexes, kill, revive) => {
      const plainId = await relay.addApiKeyAccount("plain");
      const plain = await relay.createKey({ accountId: plainId });
      const seenBy = (account: string) =>
        relay.fake.ledger.byPath("/v1/messages").filter((entry) => entry.account === account);
      const plainLoad = load(plain);
      const behind = await Promise.all(
        indexes.map(async (index) => {
          const name = `behind ${index}`;
          const { id, key } = await proxied(relay, name, proxyOf(index).settings);
          return { id, key, name, load: load(key) };
        }),
      );
      try {
        for (const { name } of behind) {
          await expect.poll(() => seenBy(name).length, SOON).toBeGreaterThan(15);
        }
        await kill();
        // Under way when it fell; from then on nothing of the accounts reaches upstream, by any way.
        const outcomes = () => behind.flatMap(({ name }) => seenBy(name));
        await expect
          .poll(() => outcomes().filter(({ outcome }) => outcome === "pending").length, SOON)
          .toBe(0);
        const reached = outcomes().length;
        const plainReached = seenBy("plain").length;
        await expect.poll(() => seenBy("plain").length, SOON).toBeGreaterThan(plainReached + 20);
        expect(outcomes()).toHaveLength(reached);
        for (const { id, load: sent } of behind) {
          const statuses = await sent.end();
          expect(statuses.filter((status) => status === 503).length).toBeGreaterThan(0);
          const status = async () =>
            (await relay.admin("GET", `/claude-accounts/${id}`)).data.status;
          await expect.poll(status, SOON).toBe("cooling_down");
        }
        await revive();
        await Promise.all(behind.map(({ key }) => comesBack(key)));
        const plainStatuses = await plainLoad.end();
        expect(plainStatuses.filter((status) => status !== 200)).toEqual([]);
      } finally {
        await Promise.all([plainLoad.end(), ...behind.map(({ load: sent }) => sent.end())]);
        await revive();
      }
    },
    COMES_BACK_MS + 60_000,
  );

  test("where an account's way fails, another account takes the request over", async () => {
    const { host } = proxyOf(0).settings;
    await relay.addApiKeyAccount("dead", {
      priority: 1,
      proxy: { type: "http", host, port: await settledPort() },
    });
    await relay.addApiKeyAccount("alive", { priority: 2, proxy: proxyOf(1).settings });
    const key = await relay.createKey();
    const answer = await relay.message(key);
    await answer.arrayBuffer();
    expect(answer.status).toBe(200);
    expect(relay.fake.ledger.byPath("/v1/messages")).toMatchObject([{ account: "alive" }]);
  });

  test("of several forward proxies, an account uses the one that it names, or any that is well", async () => {
    const { FORWARD_PROXY_SECRET = "" } = service.vars;
    const list = `one=${service.url},two=${second.url}`;
    await reconfigure(relay, { FORWARD_PROXY_URL: list, FORWARD_PROXY_SECRET });
    const carried = () =>
      Promise.all(
        [service, second].map((process) => process.metric("forward_proxy_requests_total")),
      );
    const settings = proxyOf(2).settings;
    expect(
      await relay.admin("POST", "/claude-accounts", {
        name: "B",
        apiKey: "sk-ant-api03-x",
        proxy: { ...settings, via: "three" },
      }),
    ).toMatchObject({ status: 400, message: "proxy.via must be one of: one, two." });
    const named = await proxied(relay, "named", { ...settings, via: "two" });
    const any = await proxied(relay, "any", settings);
    const before = await carried();
    const answer = await relay.message(named.key);
    await answer.arrayBuffer();
    expect(answer.status).toBe(200);
    expect((await carried()).map((count, at) => count - (before[at] ?? 0))).toEqual([0, 1]);
    const first = (await tested(relay, any.id)).way.forwardProxy;
    const [used, unused] = first === "one" ? [service, second] : [second, service];
    await used.kill();
    try {
      // The request that finds it gone is lost; the next one goes elsewhere.
      await tested(relay, any.id);
      const { ok, way } = await tested(relay, any.id);
      expect({ ok, forwardProxy: way.forwardProxy }).toEqual({
        ok: true,
        forwardProxy: first === "one" ? "two" : "one",
      });
      const dials = await unused.metric("forward_proxy_dials_total");
      const status = await relay.admin<{ forwardProxies: { name: string; ok: boolean }[] }>(
        "GET",
        "/egress",
      );
      const wellNames = status.data.forwardProxies.filter(({ ok: well }) => well);
      expect(wellNames.map(({ name }) => name)).toEqual([first === "one" ? "two" : "one"]);
      expect(await unused.metric("forward_proxy_dials_total")).toBe(dials);
    } finally {
      await used.start();
      await reconfigure(relay, service.vars);
    }
  });

  test("a forward proxy with another secret is told apart, and what stands in its place", async () => {
    const checkOf = async (vars: Record<string, string>) => {
      await reconfigure(relay, vars);
      const { data } = await relay.admin<{
        forwardProxies: { ok: boolean; fault: string | null }[];
      }>("GET", "/egress");
      return data.forwardProxies.map(({ ok, fault }) => [ok, fault]);
    };
    try {
      const wrong = { ...service.vars, FORWARD_PROXY_SECRET: "another-secret-0123456789abcdef0" };
      expect(await checkOf(wrong)).toEqual([[false, "token_refused"]]);
      const elsewhere = { ...service.vars, FORWARD_PROXY_URL: relay.fake.url };
      expect(await checkOf(elsewhere)).toEqual([[false, "forward_proxy_not_understood"]]);
      expect(await checkOf(service.vars)).toEqual([[true, null]]);
    } finally {
      await reconfigure(relay, service.vars);
    }
  });

  test("the CLI's doctor checks every forward proxy and every way, and says what to mend", async () => {
    await proxied(relay, "well", proxyOf(1).settings);
    await relay.addApiKeyAccount("direct");
    const well = await cli(relay, ["status", "--egress"]);
    expect(well.exitCode).toBe(0);
    expect(well.stdout).toMatch(/ok +default \(http:.*takes the relay's token/);
    expect(well.stdout).toMatch(/ok +well .*accepted the credential/);
    expect(well.stdout).toMatch(/to the account's proxy +[\d.]+ ms/);
    expect(well.stdout).not.toContain("direct (");
    const one = await cli(relay, ["accounts", "test", "well"]);
    expect(one.exitCode).toBe(0);
    expect(one.stdout).toMatch(/Forward proxy +default\n +to the forward proxy +[\d.]+ ms/);

    const { type, host, port } = proxyOf(1).settings;
    await proxied(relay, "ill", { type, host, port, username: "x", password: "wrong-pass-31" });
    const ill = await cli(relay, ["status", "--egress"]);
    expect(ill.exitCode).toBe(1);
    expect(ill.stdout).toMatch(
      /FAILED +ill .*refused the user name and password. Correct the login/,
    );
    expect(ill.stdout).not.toContain("wrong-pass-31");
  });

  test("the exit address is told where an address is configured that tells it", async () => {
    const { fake } = relay;
    await reconfigure(relay, { EXIT_ADDRESS_URL: `${fake.url}/exit-address` });
    fake.script(
      { path: "/exit-address" },
      { respond: { status: 200, body: "198.51.100.7\n", rateLimitHeaders: false } },
    );
    const { id } = await proxied(relay, "A", proxyOf(0).settings);
    const before = proxyOf(0).tunnels;
    expect((await tested(relay, id)).way.exitAddress).toBe("198.51.100.7");
    expect(proxyOf(0).tunnels - before).toBe(2);
    await reconfigure(relay, { EXIT_ADDRESS_URL: "" });
  });

  test("a client that leaves ends the request upstream", async () => {
    const { key } = await proxied(relay, "A", proxyOf(0).settings);
    const leaving = new AbortController();
    const answer = await relay.message(
      key,
      { stream: true },
      { fault: { intervalMs: 50, answer: { deltas: 2_000 } }, signal: leaving.signal },
    );
    await answer.body?.getReader().read();
    leaving.abort();
    await expect
      .poll(() => relay.fake.ledger.byPath("/v1/messages").at(-1)?.outcome, SOON)
      .toBe("client_closed");
  });
});
