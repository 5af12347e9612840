import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AccessGate } from "../../src/admin/access.ts";
import { readAccessConfig, roleOf } from "../../src/admin/access-config.ts";
import { TestRelay } from "../fixtures/relay.ts";

const AUDIENCE = "the-application-audience-tag";
const RSA = { extractable: true };

interface Signer {
  kid: string;
  privateKey: CryptoKey;
  publicKey: CryptoKey;
  jwk: JWK;
}

async function newSigner(kid: string): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair("RS256", RSA);
  return {
    kid,
    privateKey,
    publicKey,
    jwk: { ...(await exportJWK(publicKey)), kid, alg: "RS256" },
  };
}

/** The team's domain, as far as it publishes keys. */
class Team {
  keys: JWK[] = [];
  isDown = false;
  asked = 0;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      this.asked += 1;
      if (this.isDown || request.url !== "/cdn-cgi/access/certs") {
        response.writeHead(503).end();
        return;
      }
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ keys: this.keys }));
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let team: Team;
let relay: TestRelay;
let signer: Signer;
let stranger: Signer;

beforeAll(async () => {
  team = new Team();
  await team.start();
  [signer, stranger] = await Promise.all([newSigner("first"), newSigner("first")]);
  team.keys = [signer.jwk];
  relay = await TestRelay.start({
    vars: {
      ACCESS_TEAM_DOMAIN: team.url,
      ACCESS_AUDIENCE: AUDIENCE,
      ACCESS_ADMINS: "ada@example.com, group:relay-admins",
      ACCESS_VIEWERS: "@example.com",
    },
  });
});

afterAll(async () => {
  await relay?.stop();
  team?.close();
});

const claims = (email: string | null) => ({ ...(email === null ? {} : { email }), type: "app" });

function tokenOf(
  email: string | null,
  change: {
    by?: Signer;
    audience?: string;
    issuer?: string;
    expires?: number;
    claims?: Record<string, unknown>;
  } = {},
): Promise<string> {
  const { by = signer, audience = AUDIENCE, issuer = team.url } = change;
  const nowS = Math.floor(Date.now() / 1000);
  return new SignJWT({ ...claims(email), ...change.claims })
    .setProtectedHeader({ alg: "RS256", kid: by.kid })
    .setSubject("a-subject")
    .setIssuer(issuer)
    .setAudience([audience])
    .setIssuedAt(nowS - 120)
    .setExpirationTime(change.expires ?? nowS + 600)
    .sign(by.privateKey);
}

interface Answer {
  status: number;
  error?: string;
  message?: string;
  data?: Record<string, unknown>;
}

async function ask(
  token: string | null,
  path = "/session",
  init: RequestInit = {},
): Promise<Answer> {
  const answer = await fetch(`${relay.url}/admin${path}`, {
    ...init,
    headers: {
      "content-type": "application/json",
      ...(token === null ? {} : { "cf-access-jwt-assertion": token }),
      ...init.headers,
    },
  });
  return { status: answer.status, ...((await answer.json()) as object) };
}

describe("whom Cloudflare Access lets in", () => {
  test("is signed in under the name and role that this relay gives them", async () => {
    const admin = await ask(await tokenOf("Ada@Example.com"));
    expect(admin.data).toMatchObject({
      ...{ username: "Ada@Example.com", role: "admin", signedInWith: "access" },
    });
    const viewer = await ask(await tokenOf("bob@example.com"));
    expect(viewer.data).toMatchObject({ role: "viewer", signedInWith: "access" });
    const custom = { custom: { groups: ["relay-admins"] } };
    const grouped = await ask(await tokenOf("eve@elsewhere.example", { claims: custom }));
    expect(grouped.data).toMatchObject({ role: "admin" });
    const nobody = await ask(await tokenOf("eve@elsewhere.example"));
    expect(nobody).toMatchObject({ status: 403, error: "forbidden" });
    expect(nobody.message).toContain("eve@elsewhere.example");
    expect((await ask(await tokenOf(null))).status).toBe(403);
    const { data } = await relay.admin("GET", "/session");
    expect(data).toMatchObject({ username: "admin", role: "admin", signedInWith: "password" });
  });

  test("acts under that name in the audit trail, from the panel's own pages alone", async () => {
    const token = await tokenOf("ada@example.com");
    const body = JSON.stringify({ name: "made over Access" });
    for (const origin of [{}, { origin: "https://evil.example" }]) {
      const foreign = await ask(token, "/api-keys", {
        method: "POST",
        body,
        headers: { ...origin },
      });
      expect(foreign).toMatchObject({ status: 403, error: "forbidden_origin" });
    }
    const headers = { origin: relay.url };
    const made = await ask(token, "/api-keys", { method: "POST", body, headers });
    expect(made.status).toBe(201);
    const { data } = await relay.admin<{ entries: object[] }>("GET", "/audit?limit=1");
    expect(data.entries[0]).toMatchObject({ actor: "ada@example.com", action: "key.create" });
    const out = await ask(token, "/logout", { method: "POST", headers });
    expect(out.data).toEqual({ signedOut: false, accessLogoutPath: "/cdn-cgi/access/logout" });
  });

  test("sees everything as a viewer, and changes nothing", async () => {
    const token = await tokenOf("bob@example.com");
    expect((await ask(token, "/api-keys")).status).toBe(200);
    expect((await ask(token, "/claude-accounts")).status).toBe(200);
    const headers = { origin: relay.url };
    const refused = await ask(token, "/api-keys", {
      method: "POST",
      body: JSON.stringify({ name: "x" }),
      headers,
    });
    expect(refused).toMatchObject({ status: 403, error: "forbidden" });
    // The password decides what a session may do, whatever comes along beside it.
    const own = await relay.admin("POST", "/api-keys", { name: "by password" });
    expect(own.status).toBe(201);
  });
});

describe("a token is refused", () => {
  const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const nowS = Math.floor(Date.now() / 1000);
  const forged: [string, () => Promise<string>][] = [
    ["that another key signed", () => tokenOf("ada@example.com", { by: stranger })],
    ["of another application", () => tokenOf("ada@example.com", { audience: "another" })],
    ["of another team", () => tokenOf("ada@example.com", { issuer: "https://x.example" })],
    ["that has expired", () => tokenOf("ada@example.com", { expires: nowS - 60 })],
    [
      "that nobody signed",
      async () => {
        const [, payload] = (await tokenOf("ada@example.com")).split(".");
        return `${base64({ alg: "none" })}.${payload}.`;
      },
    ],
    [
      "signed with the public key as a password",
      async () => {
        const [, payload] = (await tokenOf("ada@example.com")).split(".");
        const secret = new TextEncoder().encode(await exportSPKI(signer.publicKey));
        const whole = JSON.parse(Buffer.from(payload ?? "", "base64url").toString());
        return new SignJWT(whole)
          .setProtectedHeader({ alg: "HS256", kid: signer.kid })
          .sign(secret);
      },
    ],
    [
      "whose content was changed",
      async () => {
        const [header, , signature] = (await tokenOf("bob@example.com")).split(".");
        const [, payload] = (await tokenOf("ada@example.com")).split(".");
        return `${header}.${payload}.${signature}`;
      },
    ],
    ["that is no token", async () => "ada@example.com"],
  ];
  test.each(forged)("%s", async (_, make) => {
    const answer = await ask(await make());
    expect(answer).toMatchObject({ status: 401, error: "not_signed_in" });
  });

  test("where Access is not configured, though it is a good one", async () => {
    const plain = await TestRelay.start();
    try {
      const answer = await fetch(`${plain.url}/admin/session`, {
        headers: { "cf-access-jwt-assertion": await tokenOf("ada@example.com") },
      });
      expect(answer.status).toBe(401);
    } finally {
      await plain.stop();
    }
  });
});

describe("the team's keys", () => {
  const gateOf = (coolDownMs: number) => {
    const config = { issuer: team.url, audience: AUDIENCE, admins: ["*"], viewers: [] };
    return new AccessGate(config, coolDownMs);
  };

  test("are asked for once, and anew when a token names one that is not known", async () => {
    const gate = gateOf(0);
    const before = team.asked;
    for (let index = 0; index < 3; index += 1) {
      expect(await gate.check(await tokenOf("ada@example.com"))).toMatchObject({ role: "admin" });
    }
    expect(team.asked - before).toBe(1);
    const next = await newSigner("second");
    team.keys = [next.jwk];
    expect(await gate.check(await tokenOf("ada@example.com", { by: next }))).toMatchObject({
      kind: "signed_in",
    });
    expect(team.asked - before).toBe(2);
    // The one that was taken out counts no more.
    expect(await gate.check(await tokenOf("ada@example.com"))).toEqual({ kind: "refused" });
    team.keys = [signer.jwk];
  });

  test("are not asked for by every made-up key", async () => {
    const gate = gateOf(60_000);
    const before = team.asked;
    await gate.check(await tokenOf("ada@example.com"));
    const made = await newSigner("made-up");
    for (let index = 0; index < 5; index += 1) {
      expect(await gate.check(await tokenOf("a@b.example", { by: made }))).toEqual({
        kind: "refused",
      });
    }
    expect(team.asked - before).toBe(1);
  });

  test("that cannot be had are an outage and no wrong token; known ones go on", async () => {
    const known = gateOf(0);
    await known.check(await tokenOf("ada@example.com"));
    team.isDown = true;
    try {
      const token = await tokenOf("ada@example.com");
      expect(await known.check(token)).toMatchObject({ kind: "signed_in" });
      expect(await gateOf(0).check(token)).toEqual({ kind: "unavailable" });
      await relay.restart();
      const answer = await ask(token);
      expect(answer).toMatchObject({ status: 503, error: "unavailable" });
      expect((await relay.admin("GET", "/session")).status).toBe(200);
    } finally {
      team.isDown = false;
    }
  });
});

describe("who is who", () => {
  const whole = {
    ACCESS_TEAM_DOMAIN: "team.cloudflareaccess.com",
    ACCESS_AUDIENCE: "tag",
    ACCESS_ADMINS: "ada@example.com",
  };
  const read = (vars: Record<string, string>) => readAccessConfig((name) => vars[name] ?? "");

  test("is read from the configuration, or said to be mistaken", () => {
    expect(read(whole)).toEqual({
      problems: [],
      value: {
        issuer: "https://team.cloudflareaccess.com",
        audience: "tag",
        admins: ["ada@example.com"],
        viewers: [],
      },
    });
    expect(read({})).toEqual({ value: null, problems: [] });
    const problemsOf = (change: Record<string, string>) =>
      read({ ...whole, ...change }).problems.map(({ name }) => name);
    expect(problemsOf({ ACCESS_AUDIENCE: "" })).toEqual(["ACCESS_AUDIENCE"]);
    expect(problemsOf({ ACCESS_ADMINS: "" })).toEqual(["ACCESS_ADMINS"]);
    expect(problemsOf({ ACCESS_ADMINS: "ada" })).toEqual(["ACCESS_ADMINS"]);
    expect(problemsOf({ ACCESS_VIEWERS: "ada smith" })).toEqual(["ACCESS_VIEWERS"]);
    expect(problemsOf({ ACCESS_TEAM_DOMAIN: "http://team.example" })).toEqual([
      "ACCESS_TEAM_DOMAIN",
    ]);
    expect(problemsOf({ ACCESS_TEAM_DOMAIN: "https://team.example/path" })).toEqual([
      "ACCESS_TEAM_DOMAIN",
    ]);
  });

  test("a domain is the whole of what follows the last @", () => {
    const config = { issuer: "", audience: "", admins: ["@example.com"], viewers: ["*"] };
    const role = (email: string | null) => roleOf(config, { email, groups: [] });
    expect(role("ada@example.com")).toBe("admin");
    expect(role("ada@evil-example.com")).toBe("viewer");
    expect(role("ada@example.com.evil.example")).toBe("viewer");
    expect(role("example.com")).toBe("viewer");
    expect(role(null)).toBe("viewer");
  });
});
