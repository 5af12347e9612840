import { createExecutionContext, reset, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Hono } from "hono";
import { base64url, decodeJwt, exportJWK, exportSPKI, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { adminApi } from "../../src/admin/admin-api.ts";
import type { AdminEnv } from "../../src/admin/envelope.ts";
import { mayGoOn, VIEWER_ROUTES } from "../../src/admin/roles.ts";
import { issueSession } from "../../src/admin/session.ts";
import { type ConfigSource, readConfig } from "../../src/config.ts";
import { AccessTeam, AUDIENCE, newTeamKey, type TokenChanges } from "../fixtures/access-team.ts";

const ORIGIN = "https://relay.example";
const TEAM = "https://team.cloudflareaccess.com";
const HEADER = "cf-access-jwt-assertion";
const ADMIN = "boss@example.com";
const VIEWER = "new@example.com";
const CONFIG = {
  jwtSecret: env.JWT_SECRET,
  adminUsername: env.ADMIN_USERNAME,
  adminPasswordHash: env.ADMIN_PASSWORD_HASH,
};
const team = await AccessTeam.start(TEAM);
const [firstKey] = team.keys;
/** What is refused is refused in the answer; the tests' own output stays short. */
const withoutAccess: Env = { ...env, LOG_LEVEL: "error" };
/** A relay behind Access that knows none of the team's keys yet. */
let behindAccess: Env;
let token = "";
/** Everything that was asked of the world outside. */
let asked: string[] = [];
let answerOfTeam: () => Promise<Response>;

beforeEach(async () => {
  ({ token } = await issueSession(CONFIG, Date.now()));
  team.keys = firstKey === undefined ? [] : [firstKey];
  team.namesAlgorithm = true;
  behindAccess = {
    ...withoutAccess,
    ACCESS_TEAM_DOMAIN: "team.cloudflareaccess.com",
    ACCESS_AUDIENCE: AUDIENCE,
    ACCESS_ADMINS: `Boss@Example.com, root@other.example`,
    ACCESS_VIEWERS: "@example.com,bookkeeper@books.example",
  };
  asked = [];
  answerOfTeam = async () => Response.json(await team.certs());
  vi.stubGlobal("fetch", (url: string) => {
    asked.push(url);
    return answerOfTeam();
  });
});
afterEach(async () => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  await reset();
});

interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape that it asked for
  data: any;
  error: string;
  message: string;
}

async function ask(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  relay: Env = behindAccess,
  body: object = {},
): Promise<Answer> {
  const request = new Request(ORIGIN + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(method === "GET" || method === "HEAD" ? {} : { body: JSON.stringify(body) }),
  });
  const context = createExecutionContext();
  const answer = await adminApi.fetch(request, relay, context);
  await waitOnExecutionContext(context);
  const text = await answer.text();
  const isJson = answer.headers.get("content-type")?.startsWith("application/json") ?? false;
  const parsed = isJson && text !== "" ? (JSON.parse(text) as Omit<Answer, "status">) : {};
  return { ...(parsed as Answer), status: answer.status, headers: answer.headers };
}

const session = (headers: Record<string, string>, relay?: Env) =>
  ask("GET", "/admin/session", headers, relay);
const asPerson = async (email: string, changes?: TokenChanges) => ({
  [HEADER]: await team.token(email, changes),
});
const advance = (ms: number) => vi.setSystemTime(Date.now() + ms);
const encoded = (value: unknown) => base64url.encode(JSON.stringify(value));

describe("a token of Cloudflare Access", () => {
  test("that the team signed for this application lets in whoever is listed", async () => {
    const answer = await session(await asPerson(ADMIN));
    expect(answer.status).toBe(200);
    const { expiresAt, ...data } = answer.data;
    expect(data).toEqual({
      username: ADMIN,
      signedInWith: "access",
      role: "admin",
      signOutUrl: "/cdn-cgi/access/logout",
    });
    expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(3_500_000);
    expect(asked).toEqual([`${TEAM}/cdn-cgi/access/certs`]);
    const mine = await session({ authorization: `Bearer ${token}` });
    expect(mine.data).toMatchObject({ signedInWith: "password", role: "admin", signOutUrl: null });
  });

  const HOUR_S = 3_600;
  const nowS = () => Math.floor(Date.now() / 1000);
  const payload = async () => decodeJwt(await team.token(ADMIN));
  const [key] = team.keys;
  if (key === undefined) throw new Error("the team has a key");
  test.each<[string, () => Promise<string>, string]>([
    [
      "signed by another key under the same id",
      async () => team.token(ADMIN, { key: { ...(await newTeamKey()), kid: key.kid } }),
      "signed",
    ],
    [
      "signed by a key that it brings along",
      async () => {
        const other = await newTeamKey();
        const jwk = await exportJWK(other.publicKey);
        const jku = "https://evil.example/certs";
        return team.token(ADMIN, { key: other, header: { jwk, jku, x5u: jku, kid: other.kid } });
      },
      "signed",
    ],
    [
      "that is not signed",
      async () => `${encoded({ alg: "none", kid: key.kid })}.${encoded(await payload())}.`,
      "signed",
    ],
    [
      "whose signature is that of another token",
      async () => {
        const [head, , signature] = (await team.token(VIEWER)).split(".");
        return `${head}.${encoded(await payload())}.${signature}`;
      },
      "signed",
    ],
    ...["PEM", "JWK"].map((form): [string, () => Promise<string>, string] => [
      `with HS256 and the public key's ${form} as the secret`,
      async () => {
        const secret =
          form === "PEM"
            ? await exportSPKI(key.publicKey)
            : JSON.stringify((await team.certs()) as object);
        return new SignJWT(await payload())
          .setProtectedHeader({ alg: "HS256", kid: key.kid })
          .sign(new TextEncoder().encode(secret));
      },
      "signed",
    ]),
    [
      "with another algorithm and the team's own key, whatever that is said to be for",
      async () => {
        team.namesAlgorithm = false;
        const { alg: _, ...jwk } = (await exportJWK(key.privateKey)) as JsonWebKey;
        const privateKey = await crypto.subtle.importKey(
          "jwk",
          jwk,
          { name: "RSASSA-PKCS1-v1_5", hash: "SHA-512" },
          false,
          ["sign"],
        );
        return team.token(ADMIN, { key: { ...key, privateKey }, header: { alg: "RS512" } });
      },
      "signed",
    ],
    [
      "for another application",
      () => team.token(ADMIN, { claims: { aud: ["f".repeat(64)] } }),
      "ACCESS_AUDIENCE",
    ],
    ["for no application", () => team.token(ADMIN, { claims: { aud: undefined } }), "AUDIENCE"],
    [
      "of another team",
      () => team.token(ADMIN, { claims: { iss: "https://evil.cloudflareaccess.com" } }),
      "ACCESS_TEAM_DOMAIN",
    ],
    ["that has expired", () => team.token(ADMIN, { atMs: Date.now() - 3_700_000 }), "has ended"],
    [
      "that is not valid yet",
      () => team.token(ADMIN, { claims: { nbf: nowS() + HOUR_S } }),
      "not good yet",
    ],
    ["that never expires", () => team.token(ADMIN, { claims: { exp: undefined } }), "signed"],
    [
      "of a service",
      () => team.token(ADMIN, { claims: { email: undefined, common_name: ADMIN, sub: "" } }),
      "names no person",
    ],
    [
      "with an address that is no text",
      () => team.token(ADMIN, { claims: { email: [ADMIN] } }),
      "names no person",
    ],
    ["that is a session of this relay", async () => token, "signed"],
    ["that is a word", async () => "true", "signed"],
    ["twice", async () => `${await team.token(ADMIN)}, ${await team.token(ADMIN)}`, "signed"],
  ])("%s lets nobody in", async (_, make, words) => {
    const answer = await session({ [HEADER]: await make() });
    expect(answer).toMatchObject({ status: 401, error: "not_signed_in" });
    expect(answer.message).toContain(words);
    expect(asked.filter((url) => !url.startsWith(TEAM))).toEqual([]);
  });

  test("says nothing where Access is not in use, and nobody is asked", async () => {
    const answer = await session(await asPerson(ADMIN), withoutAccess);
    expect(answer).toMatchObject({ status: 401, error: "not_signed_in" });
    expect(answer.message).toContain("ACCESS_TEAM_DOMAIN");
    const mine = { ...(await asPerson(VIEWER)), authorization: `Bearer ${token}` };
    expect((await session(mine, withoutAccess)).data).toMatchObject({
      username: "admin",
      role: "admin",
    });
    expect(asked).toEqual([]);
  });

  test("is not looked at beside a bearer token, and comes after a good cookie", async () => {
    const person = await asPerson(VIEWER);
    const cookie = `relay_session=${token}`;
    expect((await session({ ...person, authorization: "Bearer x" })).status).toBe(401);
    expect((await session({ ...person, cookie })).data.signedInWith).toBe("password");
    expect((await session({ ...person, cookie: "relay_session=x" })).data.signedInWith).toBe(
      "access",
    );
    expect((await session({ authorization: `Bearer ${person[HEADER]}` })).status).toBe(401);
    expect((await session({ cookie: `relay_session=${person[HEADER]}` })).status).toBe(401);
    expect((await session({ cookie: `CF_Authorization=${person[HEADER]}` })).status).toBe(401);
  });
});

describe("the team's keys", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"] });
  });

  test("are asked for once, and again when they change", async () => {
    for (let count = 0; count < 5; count += 1) {
      expect((await session(await asPerson(ADMIN))).status).toBe(200);
    }
    expect(asked).toHaveLength(1);
    const old = await team.token(ADMIN);
    team.keys = [await newTeamKey(), ...team.keys];
    advance(31_000);
    expect((await session(await asPerson(ADMIN))).status).toBe(200);
    expect((await session({ [HEADER]: old })).status).toBe(200);
    expect(asked).toHaveLength(2);
  });

  test("no longer count ten minutes after they were withdrawn", async () => {
    const old = await team.token(ADMIN);
    expect((await session({ [HEADER]: old })).status).toBe(200);
    team.keys = [await newTeamKey()];
    advance(9 * 60_000);
    expect((await session({ [HEADER]: old })).status).toBe(200);
    advance(61_000);
    expect((await session({ [HEADER]: old })).status).toBe(401);
    expect(asked).toHaveLength(2);
  });

  test("are asked for at most once in half a minute, whatever keys tokens name", async () => {
    expect((await session(await asPerson(ADMIN))).status).toBe(200);
    for (let second = 0; second < 29; second += 1) {
      advance(1_000);
      const forged = await asPerson(ADMIN, { header: { kid: `made up ${second}` } });
      expect((await session(forged)).status).toBe(401);
    }
    expect(asked).toHaveLength(1);
    advance(1_000);
    const forged = await asPerson(ADMIN, { header: { kid: "made up" } });
    expect((await session(forged)).status).toBe(401);
    expect(asked).toHaveLength(2);
  });

  test.each<[string, () => Promise<Response>]>([
    ["refuse", () => Promise.reject(new TypeError("connection refused"))],
    ["fail", async () => new Response("sorry", { status: 500 })],
    ["move", async () => new Response(null, { status: 302, headers: { location: ORIGIN } })],
    ["are a page", async () => new Response("<html>", { status: 200 })],
    ["are no keys", async () => Response.json({ keys: "none" })],
  ])("that %s are nobody's fault who signs in, and are not asked for at once", async (_, down) => {
    answerOfTeam = down;
    const person = await asPerson(ADMIN);
    for (let count = 0; count < 3; count += 1) {
      const answer = await session(person);
      expect(answer).toMatchObject({ status: 503, error: "unavailable" });
      expect(answer.message).toContain("/admin/login");
      expect(answer.headers.get("retry-after")).toBe("5");
    }
    expect(asked).toHaveLength(1);
    // The password still works.
    expect((await session({ authorization: `Bearer ${token}` })).status).toBe(200);
    answerOfTeam = async () => Response.json(await team.certs());
    advance(5_001);
    expect((await session(person)).status).toBe(200);
    expect(asked).toHaveLength(2);
  });

  test("that are known go on working while they cannot be had", async () => {
    const person = await asPerson(ADMIN);
    expect((await session(person)).status).toBe(200);
    answerOfTeam = () => Promise.reject(new TypeError("connection refused"));
    advance(9 * 60_000);
    expect((await session(person)).status).toBe(200);
    advance(61_000);
    expect((await session(person)).status).toBe(503);
  });
});

describe("who is who", () => {
  test.each([
    [ADMIN, "admin"],
    ["BOSS@EXAMPLE.COM", "admin"],
    ["root@other.example", "admin"],
    [VIEWER, "viewer"],
    ["bookkeeper@books.example", "viewer"],
    // The Kelvin sign is no k.
    ["boo\u212Akeeper@books.example", null],
    ["someone@books.example", null],
    ["someone@sub.example.com", null],
    ["someone@example.com.evil.example", null],
    ["someone@evilexample.com", null],
    ["boss@example.com@evil.example", null],
    ["x@evil.example@example.com", null],
    ["@", null],
    ["__proto__@constructor", null],
  ])("%s is %s", async (email, role) => {
    const answer = await session(await asPerson(email));
    if (role !== null) {
      expect(answer.data).toMatchObject({ username: email, role });
      return;
    }
    expect(answer).toMatchObject({ status: 403, error: "no_role" });
    expect(answer.message).toContain(email);
  });

  test("and the audit trail names them", async () => {
    const headers = { ...(await asPerson(ADMIN)), origin: ORIGIN };
    const made = await ask("POST", "/admin/api-keys", headers, behindAccess, { name: "K" });
    expect(made.status).toBe(201);
    const { data } = await ask("GET", "/admin/audit", await asPerson(VIEWER));
    expect(data.entries[0]).toMatchObject({ actor: ADMIN, action: "key.create" });
  });

  test("who signs out is out, with this token in any form, and is told where to go", async () => {
    const person = await asPerson(VIEWER);
    const answer = await ask("POST", "/admin/logout", { ...person, origin: ORIGIN });
    expect(answer.data).toEqual({ signedOut: true, signOutUrl: "/cdn-cgi/access/logout" });
    const signedOut = await session(person);
    expect(signedOut).toMatchObject({ status: 401, error: "not_signed_in" });
    expect(signedOut.message).toContain("/cdn-cgi/access/logout");
    // The last character of a signature has bits that say nothing.
    const bent = (person[HEADER] ?? "").replace(/.$/, (last) =>
      String.fromCharCode(last.charCodeAt(0) + 1),
    );
    expect((await session({ [HEADER]: bent })).status).toBe(401);
    expect((await session(await asPerson(VIEWER))).status).toBe(200);
  });
});

describe("whoever guesses passwords", () => {
  const PASSWORD = "a password for tests only";
  /** The header that Cloudflare sets itself, whatever a client sends. */
  const onCloudflare: Env = { ...withoutAccess, CLIENT_ADDRESS_HEADER: "cf-connecting-ip" };
  const tried = async (address: string, password: string, headers = {}) => {
    const from = { "cf-connecting-ip": address, ...headers };
    const body = { username: "admin", password };
    return (await ask("POST", "/admin/login", from, onCloudflare, body)).status;
  };

  test("locks out nobody at another address, and gains no tries by headers or by a wide network", async () => {
    for (let guess = 0; guess < 5; guess += 1) {
      expect(await tried(`2001:db8:1:2::${guess + 1}`, `guess ${guess}`)).toBe(401);
    }
    const others = { "x-forwarded-for": "192.0.2.77", "true-client-ip": "192.0.2.78" };
    expect(await tried("2001:db8:1:2:ffff::9", PASSWORD, others)).toBe(429);
    expect(await tried("192.0.2.7", PASSWORD)).toBe(200);
    expect(await tried("2001:db8:1:3::1", PASSWORD)).toBe(200);
    // Whoever is in stays in, at the very address that has to wait.
    const inside = { "cf-connecting-ip": "2001:db8:1:2::1", authorization: `Bearer ${token}` };
    expect((await session(inside, onCloudflare)).status).toBe(200);
    // Nor does one success elsewhere open the way for the guesser.
    expect(await tried("2001:db8:1:2::1", PASSWORD)).toBe(429);
  });
});

describe("every route of the admin API", () => {
  // From the route table itself, so that a new route cannot be forgotten.
  const routes = adminApi.routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => ({
      method,
      name: `${method} ${path}`,
      path: path.replace(/:\w+/g, crypto.randomUUID()),
    }));
  const guarded = routes.filter(({ name }) => name !== "POST /admin/login");
  /** Reading routes that are not for viewers, as they tell a secret or set something in motion. */
  const KEPT_FROM_VIEWERS: string[] = [];

  const sign = (secret: string, alg: string) =>
    new SignJWT({ pwd: decodeJwt(token).pwd })
      .setProtectedHeader({ alg })
      .setSubject("admin")
      .setJti("j")
      .setIssuer("claude-edge-relay")
      .setAudience("admin")
      .setIssuedAt()
      .setExpirationTime("1h")
      .sign(new TextEncoder().encode(secret));
  const bearer = (value: string) => ({ authorization: `Bearer ${value}` });

  test("is in the table, and only what comes before them all is for every method", () => {
    expect(routes.length).toBeGreaterThan(35);
    const forAll = adminApi.routes.filter(({ method }) => method === "ALL");
    expect(forAll.map(({ path }) => path)).toEqual(["/*"]);
  });

  test.each<[string, () => Promise<Record<string, string>>, string?]>([
    ["no credential", async () => ({})],
    ["an empty bearer", async () => bearer("")],
    ["a relay key", async () => bearer(`cr_${"0".repeat(64)}`)],
    ["a relay key as clients send it", async () => ({ "x-api-key": `cr_${"0".repeat(64)}` })],
    [
      "an expired session",
      async () => bearer((await issueSession(CONFIG, Date.now() - 13 * 3_600_000)).token),
    ],
    ["another secret's session", async () => bearer(await sign("x".repeat(32), "HS256"))],
    ["another algorithm's session", async () => bearer(await sign(env.JWT_SECRET, "HS512"))],
    [
      "a session that is not signed",
      async () => bearer(`${encoded({ alg: "none" })}.${encoded(decodeJwt(token))}.`),
    ],
    [
      "a session from before the password was changed",
      async () => {
        const before = await issueSession({ ...CONFIG, adminPasswordHash: "old" }, Date.now());
        return bearer(before.token);
      },
    ],
    ["an expired token of Access", () => asPerson(ADMIN, { atMs: Date.now() - 3_700_000 })],
    [
      "a forged token of Access",
      async () => {
        const [key] = team.keys;
        return asPerson(ADMIN, { key: { ...(await newTeamKey()), kid: key?.kid ?? "" } });
      },
    ],
    [
      "a token of Access that is not signed",
      async () => {
        const claims = decodeJwt(await team.token(ADMIN));
        return { [HEADER]: `${encoded({ alg: "none" })}.${encoded(claims)}.` };
      },
    ],
    ["an address in Access's other header", async () => ({ [`${HEADER}-email`]: ADMIN })],
    ["Access's e-mail header alone", async () => ({ "cf-access-authenticated-user-email": ADMIN })],
    ["someone's token who is not listed", () => asPerson("x@elsewhere.example"), "no_role"],
    [
      "another method in a header",
      async () => ({ "x-http-method-override": "GET", "x-forwarded-method": "GET" }),
    ],
  ])("refuses %s, and no answer is kept anywhere", async (_, headersOf, error) => {
    const headers = { ...(await headersOf()), origin: ORIGIN };
    for (const { method, path, name } of guarded) {
      const answer = await ask(method, path, headers);
      const expected = { status: error === undefined ? 401 : 403, error: error ?? "not_signed_in" };
      expect(answer, name).toMatchObject(expected);
      expectGuarded(answer, name);
    }
  });

  const credentialsOfBrowsers: [string, () => Promise<Record<string, string>>][] = [
    ["a cookie", async () => ({ cookie: `relay_session=${token}` })],
    ["Access", () => asPerson(ADMIN)],
  ];

  test.each(credentialsOfBrowsers)(
    "that changes something refuses %s from another site's page",
    async (_, headersOf) => {
      const own = await headersOf();
      for (const { method, path, name } of guarded.filter(({ method }) => method !== "GET")) {
        for (const origin of [{}, { origin: "https://evil.example" }, { origin: "null" }]) {
          const answer = await ask(method, path, { ...own, ...origin });
          expect(answer, name).toMatchObject({ status: 403, error: "forbidden_origin" });
        }
      }
      const live = { ...own, upgrade: "websocket", origin: "https://evil.example" };
      const answer = await ask("GET", "/admin/logs/live", live);
      expect(answer).toMatchObject({ status: 403, error: "forbidden_origin" });
      const out = await ask("POST", "/admin/logout", { ...own, origin: ORIGIN });
      expect(out.status).toBe(200);
    },
  );

  test("that changes something is refused to a viewer, and nothing happens", async () => {
    const person = { ...(await asPerson(VIEWER)), origin: ORIGIN };
    const changing = guarded.filter(({ name }) => !VIEWER_ROUTES.has(name));
    expect(changing.length).toBeGreaterThan(18);
    for (const { method, path, name } of changing) {
      const answer = await ask(method, path, person);
      expect(answer, name).toMatchObject({ status: 403, error: "read_only" });
      expectGuarded(answer, name);
    }
    expect((await ask("GET", "/admin/audit", person)).data.entries).toEqual([]);
  });

  test("that only reads is open to a viewer, or is kept from viewers for a reason", async () => {
    const person = await asPerson(VIEWER);
    const reading = routes.filter(({ method }) => method === "GET");
    const refused: string[] = [];
    for (const { method, path, name } of reading) {
      const answer = await ask(method, path, person);
      if (answer.status === 403) refused.push(name);
      else expect([200, 400, 404, 426], name).toContain(answer.status);
      expectGuarded(answer, name);
      const head = await ask("HEAD", path, person);
      expect(head.status, name).toBe(answer.status);
    }
    expect(refused).toEqual(KEPT_FROM_VIEWERS);
  });

  test("that is open to viewers exists, and reads or signs out", () => {
    const names = routes.map(({ name }) => name);
    expect([...VIEWER_ROUTES].filter((name) => !names.includes(name))).toEqual([]);
    expect([...VIEWER_ROUTES].filter((name) => !name.startsWith("GET "))).toEqual([
      "POST /admin/logout",
    ]);
  });

  test("that is new is refused to a viewer until it is listed, whatever its method", async () => {
    const app = new Hono<AdminEnv>();
    let role: "admin" | "viewer" = "viewer";
    app.use((c, next) => {
      c.set("admin", { name: "n", signedInWith: "access", role, sessionId: "s", expiresAtMs: 0 });
      return mayGoOn(c) ? next() : Promise.resolve(c.text("refused", 403));
    });
    app.get("/admin/new", (c) => c.text("secret"));
    app.post("/admin/api-keys", (c) => c.text("changed"));
    app.all("/admin/session", (c) => c.text("changed"));
    app.route(
      "/admin/logs",
      new Hono<AdminEnv>().on("PURGE", "/", (c) => c.text("changed")),
    );
    app.get("/admin/prices", (c) => c.text("prices"));
    const statuses = async () => {
      const calls = ["GET new", "POST api-keys", "GET session", "PURGE logs", "GET prices"];
      return Promise.all(
        calls.map(async (call) => {
          const [method = "", path = ""] = call.split(" ");
          return (await app.request(`/admin/${path}`, { method })).status;
        }),
      );
    };
    expect(await statuses()).toEqual([403, 403, 403, 403, 200]);
    role = "admin";
    expect(await statuses()).toEqual([200, 200, 200, 200, 200]);
  });

  test("that shows a secret, once, is kept nowhere either", async () => {
    const as = { authorization: `Bearer ${token}` };
    const made = await ask("POST", "/admin/api-keys", as, withoutAccess, { name: "K" });
    const again = `/admin/api-keys/${made.data.id}/rotate`;
    const hook = { name: "H", format: "json", address: "https://hooks.example.com/x" };
    for (const [answer, shown] of [
      [made, /^cr_/],
      [await ask("POST", again, as, withoutAccess), /^cr_/],
      [
        await ask("POST", "/admin/api-keys/batch", as, withoutAccess, {
          ...{ namePrefix: "K", count: 1 },
        }),
        /^cr_/,
      ],
      [await ask("POST", "/admin/alerts", as, withoutAccess, hook), /^whsec_/],
    ] as const) {
      const { data } = answer;
      expect(data.apiKey ?? data.keys?.[0]?.apiKey ?? data.secret).toMatch(shown);
      expectGuarded(answer, JSON.stringify(Object.keys(data)));
    }
  });

  test("and what is no route tells nothing, and is kept nowhere", async () => {
    for (const path of ["/admin", "/admin/", "/admin/nothing", "/admin//session"]) {
      const answer = await ask("GET", path);
      expect(answer.status, path).toBe(401);
      expectGuarded(answer, path);
      expect((await ask("GET", path, await asPerson(VIEWER))).status, path).toBe(404);
    }
  });

  function expectGuarded({ headers }: Answer, name: string): void {
    expect(headers.get("cache-control"), name).toBe("no-store");
    expect(headers.get("x-content-type-options"), name).toBe("nosniff");
    expect(headers.get("content-security-policy"), name).toBe(
      "default-src 'none'; frame-ancestors 'none'",
    );
    expect(headers.get("access-control-allow-origin"), name).toBeNull();
  }
});

describe("the settings of Access", () => {
  const good = {
    ACCESS_TEAM_DOMAIN: "team.cloudflareaccess.com",
    ACCESS_AUDIENCE: AUDIENCE,
    ACCESS_ADMINS: ADMIN,
  };
  const source = (changes: ConfigSource): ConfigSource => ({
    ...(env as unknown as ConfigSource),
    ...changes,
  });
  const read = (changes: ConfigSource) => readConfig(source(changes));

  test("are off by default, and take a domain with or without its scheme", () => {
    expect(read({})).toMatchObject({ ok: true, value: { access: null } });
    for (const domain of ["team.cloudflareaccess.com", `${TEAM}/`, TEAM]) {
      const config = read({ ...good, ACCESS_TEAM_DOMAIN: domain });
      expect(config).toMatchObject({ ok: true, value: { access: { teamOrigin: TEAM } } });
    }
    const two = read({ ...good, ACCESS_AUDIENCE: `${AUDIENCE}, ${"a".repeat(64)}` });
    expect(two).toMatchObject({ value: { access: { audiences: [AUDIENCE, "a".repeat(64)] } } });
  });

  test.each<[string, ConfigSource, string]>([
    ["no team", { ACCESS_TEAM_DOMAIN: "" }, "ACCESS_TEAM_DOMAIN"],
    ["plain http", { ACCESS_TEAM_DOMAIN: "http://team.example" }, "ACCESS_TEAM_DOMAIN"],
    ["a path", { ACCESS_TEAM_DOMAIN: `${TEAM}/cdn-cgi` }, "ACCESS_TEAM_DOMAIN"],
    ["a name in front", { ACCESS_TEAM_DOMAIN: "https://a@team.example" }, "ACCESS_TEAM_DOMAIN"],
    ["no application", { ACCESS_AUDIENCE: "" }, "ACCESS_AUDIENCE"],
    ["an application's id", { ACCESS_AUDIENCE: crypto.randomUUID() }, "ACCESS_AUDIENCE"],
    ["nobody", { ACCESS_ADMINS: "" }, "ACCESS_ADMINS"],
    ["a bare domain", { ACCESS_ADMINS: "example.com" }, "ACCESS_ADMINS"],
    ["a bare @", { ACCESS_VIEWERS: "@" }, "ACCESS_VIEWERS"],
    ["everybody", { ACCESS_VIEWERS: "*" }, "ACCESS_VIEWERS"],
    ["someone twice", { ACCESS_VIEWERS: "BOSS@example.com" }, "ACCESS_VIEWERS"],
  ])("with %s are refused, and name what is to be mended", (_, changes, name) => {
    const config = read({ ...good, ...changes });
    expect(config.ok).toBe(false);
    const problems = config.ok ? [] : config.error;
    expect(problems.map((problem) => problem.name)).toEqual([name]);
    expect(problems[0]?.message).toContain(name);
  });
});
