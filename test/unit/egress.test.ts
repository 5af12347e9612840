import { describe, expect, test } from "vitest";
import {
  type Grant,
  openToken,
  sealToken,
  TOKEN_HEADER,
  tokenKey,
} from "../../forward-proxy/src/contract.ts";
import { readConfig } from "../../src/config.ts";
import { type AccountProxy, Egresses } from "../../src/egress/egress.ts";
import { EGRESS_WORDS, EgressFailed } from "../../src/egress/fault.ts";
import { ForwardProxies } from "../../src/egress/forward-proxies.ts";
import { testBindings } from "../worker-bindings.ts";

const SECRET = "a-secret-for-these-tests-0123456789";
const NOW_MS = Date.UTC(2099, 0, 1);
const ONE = { name: "one", url: "https://one.example" };
const TWO = { name: "two", url: "https://two.example" };
const PROXY: AccountProxy = {
  type: "socks5",
  host: "proxy.example",
  port: 1080,
  username: "someone",
  password: "proxy-pass",
};
const UPSTREAM = "https://api.example/v1/messages?beta=true";

type Answer = (url: string, init: RequestInit) => Response | Promise<Response>;

/** The ways of a relay whose `fetch` is played by the test. */
function waysWith(answer: Answer, forwardProxies = [ONE, TWO]) {
  const asked: { url: string; init: RequestInit }[] = [];
  const egress = new Egresses(
    { forwardProxies, forwardProxySecret: SECRET },
    async (url, init) => {
      asked.push({ url, init });
      return answer(url, init);
    },
    () => NOW_MS,
  );
  return { egress, asked };
}

const upstream = (body = "upstream's") =>
  new Response(body, { headers: { "x-forward-proxy-answer": "upstream" } });
const own = (code: string, status = 502) =>
  new Response("{}", {
    status,
    headers: { "x-forward-proxy-answer": "own", "x-forward-proxy-error": code },
  });

async function faultOf(work: Promise<unknown>): Promise<{ code: string; asked: string | null }> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof EgressFailed)) throw new Error("it did not fail as a way fails");
  return { code: error.code, asked: error.forwardProxy };
}

describe("the token", () => {
  const grant: Grant = { origin: "https://api.example", proxy: PROXY };

  test("grants what was sealed, to whoever has the secret, and shows nothing of it", async () => {
    const key = await tokenKey(SECRET);
    const token = await sealToken(key, grant, NOW_MS);
    expect(await openToken(key, token, NOW_MS)).toMatchObject(grant);
    expect(atob(token.split(".")[0] ?? "")).toBe('{"alg":"dir","enc":"A256GCM"}');
    expect(token).not.toMatch(/proxy/);
  });

  test("is another one each time, and good for a minute", async () => {
    const key = await tokenKey(SECRET);
    const [first, second] = [
      await sealToken(key, grant, NOW_MS),
      await sealToken(key, grant, NOW_MS),
    ];
    const opened = await Promise.all([first, second].map((token) => openToken(key, token, NOW_MS)));
    expect(opened[0]?.id).not.toBe(opened[1]?.id);
    expect(await openToken(key, first, NOW_MS + 60_000)).not.toBeNull();
    expect(await openToken(key, first, NOW_MS + 66_000)).toBeNull();
    expect(await openToken(key, first, NOW_MS - 6_000)).toBeNull();
    expect(await openToken(await tokenKey(`${SECRET}x`), first, NOW_MS)).toBeNull();
  });
});

describe("an account with a proxy", () => {
  test("sends its request as it is to the forward proxy, with a token for it and no other", async () => {
    const { egress, asked } = waysWith(() => upstream(), [ONE]);
    const body = new Uint8Array([1, 2, 3]);
    const answer = await egress.of("A", PROXY).fetch(UPSTREAM, {
      method: "POST",
      headers: { "x-api-key": "sk", [TOKEN_HEADER]: "of the client" },
      body,
    });
    expect(await answer.text()).toBe("upstream's");
    expect(asked).toHaveLength(1);
    const { url, init } = asked[0] ?? { url: "", init: {} };
    expect(url).toBe("https://one.example/v1/messages?beta=true");
    expect(init).toMatchObject({ method: "POST", body, redirect: "manual" });
    const headers = new Headers(init.headers);
    expect(headers.get("x-api-key")).toBe("sk");
    const opened = await openToken(await tokenKey(SECRET), headers.get(TOKEN_HEADER) ?? "", NOW_MS);
    expect(opened).toMatchObject({ origin: "https://api.example", proxy: PROXY, fresh: false });
  });

  test("has no way at all where no forward proxy is configured, or not the one it names", async () => {
    const none = waysWith(() => upstream(), []);
    expect(none.egress.canReachProxies).toBe(false);
    expect(await faultOf(none.egress.of("A", PROXY).fetch(UPSTREAM, {}))).toEqual({
      code: "forward_proxy_missing",
      asked: null,
    });
    const other = waysWith(() => upstream());
    const named = { ...PROXY, via: "three" };
    expect(await faultOf(other.egress.of("A", named).fetch(UPSTREAM, {}))).toEqual({
      code: "forward_proxy_unknown",
      asked: null,
    });
    expect([...none.asked, ...other.asked]).toEqual([]);
  });

  test.each(["draining", "overloaded", "token_refused"])(
    "is handed to another forward proxy where the first says %s, since nothing was sent on",
    async (code) => {
      const { egress, asked } = waysWith((_, { headers }) =>
        new Headers(headers).has(TOKEN_HEADER) && asked.length === 1 ? own(code, 503) : upstream(),
      );
      const answer = await egress.of("A", PROXY).fetch(UPSTREAM, {});
      expect(await answer.text()).toBe("upstream's");
      expect(new Set(asked.map(({ url }) => new URL(url).host)).size).toBe(2);
      // The first is left alone for a while.
      await egress.of("A", PROXY).fetch(UPSTREAM, {});
      expect(asked[2]?.url).toBe(asked[1]?.url);
    },
  );

  test.each([
    [
      "the connection fails",
      () => Promise.reject(new Error("refused")),
      "forward_proxy_unreachable",
    ],
    [
      "something else answers",
      () => new Response("502", { status: 502 }),
      "forward_proxy_not_understood",
    ],
    ["its answer has a code that nobody knows", () => own("what"), "forward_proxy_not_understood"],
    ["the account's proxy fails", () => own("proxy_auth_failed"), "proxy_auth_failed"],
    ["upstream closes", () => own("upstream_broke"), "upstream_broke"],
  ])("is sent once only where %s: it may have gone on", async (_, answer, code) => {
    const { egress, asked } = waysWith(answer);
    expect(await faultOf(egress.of("A", PROXY).fetch(UPSTREAM, {}))).toMatchObject({ code });
    expect(asked).toHaveLength(1);
  });

  test("never takes an answer for upstream's that does not say so", async () => {
    const { egress } = waysWith(() => new Response("{}", { status: 200 }));
    expect(await faultOf(egress.of("A", PROXY).fetch(UPSTREAM, {}))).toMatchObject({
      code: "forward_proxy_not_understood",
    });
  });

  test("that its caller gives up says nothing of the way", async () => {
    const abort = new AbortController();
    const { egress, asked } = waysWith(() => {
      abort.abort();
      throw new Error("aborted");
    });
    const { signal } = abort;
    await expect(egress.of("A", PROXY).fetch(UPSTREAM, { signal })).rejects.toThrow("aborted");
    await egress
      .of("A", PROXY)
      .fetch(UPSTREAM, {})
      .catch(() => {});
    expect(asked[1]?.url).toBe(asked[0]?.url);
  });

  test("tells which failures left upstream untouched, and speaks of none by an address", () => {
    expect(new EgressFailed("proxy_unreachable", "one").sentNothing).toBe(true);
    for (const code of ["forward_proxy_unreachable", "upstream_broke", "timed_out"] as const) {
      expect(new EgressFailed(code, "one").sentNothing).toBe(false);
    }
    for (const { reason, advice } of Object.values(EGRESS_WORDS)) {
      expect(reason).not.toMatch(/https?:|\d{2,}/);
      expect(advice).toMatch(/\.$/);
    }
  });
});

describe("several forward proxies", () => {
  const all = [ONE, TWO, { name: "three", url: "https://three.example" }];

  test("share the accounts, each account keeping to one", () => {
    const proxies = new ForwardProxies(all, () => NOW_MS);
    const first = (id: string) => proxies.orderFor(id, null)[0]?.name ?? "";
    const ids = Array.from({ length: 300 }, (_, index) => `account-${index}`);
    const counts = new Map<string, number>();
    for (const id of ids) counts.set(first(id), (counts.get(first(id)) ?? 0) + 1);
    for (const { name } of all) expect(counts.get(name)).toBeGreaterThan(60);
    expect(ids.map(first)).toEqual(ids.map(first));
  });

  test("that failed come last for ten seconds, and only those", () => {
    let nowMs = NOW_MS;
    const proxies = new ForwardProxies(all, () => nowMs);
    const usual = proxies.orderFor("A", null);
    const [first] = usual;
    if (first === undefined) throw new Error("none");
    proxies.failed(first);
    expect(proxies.orderFor("A", null).at(-1)).toBe(first);
    nowMs += 10_000;
    expect(proxies.orderFor("A", null)).toEqual(usual);
    proxies.failed(first);
    proxies.answered(first);
    expect(proxies.orderFor("A", null)).toEqual(usual);
  });
});

describe("FORWARD_PROXY_URL", () => {
  const problems = (FORWARD_PROXY_URL: string, FORWARD_PROXY_SECRET = SECRET) => {
    const config = readConfig({
      ...testBindings,
      ...VARS,
      FORWARD_PROXY_URL,
      FORWARD_PROXY_SECRET,
    });
    return config.ok ? config.value.forwardProxies : config.error.map(({ name }) => name);
  };
  const VARS = {
    OAUTH_CLIENT_ID: "client",
    OAUTH_REDIRECT_URI: "https://login.example/callback",
  };

  test("names one or several, and nothing", () => {
    expect(problems("", "")).toEqual([]);
    expect(problems("https://one.example/")).toEqual([{ ...ONE, name: "default" }]);
    expect(problems("one=https://one.example, two=https://two.example")).toEqual([ONE, TWO]);
    expect(problems("http://127.0.0.1:8790")).toEqual([
      { name: "default", url: "http://127.0.0.1:8790" },
    ]);
  });

  test.each([
    "http://one.example",
    "https://one.example/path",
    "https://user:pass@one.example",
    "one=https://one.example,one=https://two.example",
    "https://one.example,https://two.example",
    "One=https://one.example",
    "ftp://one.example",
    "one",
  ])("is refused where it is mistaken: %s", (url) => {
    expect(problems(url)).toEqual(["FORWARD_PROXY_URL"]);
  });

  test("needs a secret of 32 characters", () => {
    expect(problems("https://one.example", "short")).toEqual(["FORWARD_PROXY_SECRET"]);
    expect(problems("https://one.example", "")).toEqual(["FORWARD_PROXY_SECRET"]);
  });
});
