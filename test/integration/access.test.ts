import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AccessTeam, AUDIENCE, newTeamKey } from "../fixtures/access-team.ts";
import { cliHere, startCli } from "../fixtures/cli.ts";
import { ADMIN as ADMIN_ACCOUNT, TestRelay } from "../fixtures/relay.ts";

const ADMIN = "boss@example.com";
const VIEWER = "new@example.com";
let relay: TestRelay;
let team: AccessTeam;
let server: Server;
/** What the team's host was asked for. */
const asked: string[] = [];

beforeAll(async () => {
  server = createServer(async (request, answer) => {
    asked.push(`${request.method} ${request.url}`);
    if (request.url !== "/cdn-cgi/access/certs") {
      answer.writeHead(404).end();
      return;
    }
    answer.writeHead(200, { "content-type": "application/json" });
    answer.end(JSON.stringify(await team.certs()));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  team = await AccessTeam.start(origin);
  relay = await TestRelay.start({
    vars: {
      ACCESS_TEAM_DOMAIN: origin,
      ACCESS_AUDIENCE: AUDIENCE,
      ACCESS_ADMINS: ADMIN,
      ACCESS_VIEWERS: "@example.com",
      LOG_LEVEL: "debug",
    },
  });
});
afterAll(async () => {
  await relay.stop();
  server.close();
});

async function ask(method: string, path: string, token: string, origin = relay.url) {
  const answer = await fetch(`${relay.url}/admin${path}`, {
    method,
    headers: {
      "cf-access-jwt-assertion": token,
      origin,
      ...(method === "GET" ? {} : { "content-type": "application/json" }),
    },
    ...(method === "GET" ? {} : { body: JSON.stringify({ name: "made" }) }),
  });
  const body = (await answer.json()) as { error?: string; data?: Record<string, unknown> };
  return { status: answer.status, error: body.error, data: body.data };
}

test("the running relay reads the team's keys itself, and tells admins, viewers and forgers apart", async () => {
  const [admin, viewer] = await Promise.all([team.token(ADMIN), team.token(VIEWER)]);
  const forged = await team.token(ADMIN, {
    key: { ...(await newTeamKey()), kid: team.keys[0]?.kid ?? "" },
  });
  expect(await ask("GET", "/session", admin)).toMatchObject({ data: { role: "admin" } });
  expect(await ask("GET", "/session", viewer)).toMatchObject({ data: { role: "viewer" } });
  expect(await ask("GET", "/session", forged)).toMatchObject({ status: 401 });
  expect(await ask("POST", "/api-keys", viewer)).toMatchObject({ status: 403, error: "read_only" });
  expect(await ask("POST", "/api-keys", admin, "https://evil.example")).toMatchObject({
    status: 403,
    error: "forbidden_origin",
  });
  expect(await ask("POST", "/api-keys", forged)).toMatchObject({ status: 401 });
  expect((await ask("GET", "/api-keys", viewer)).data).toMatchObject({ keys: [] });
  expect(await ask("POST", "/api-keys", admin)).toMatchObject({ status: 201 });
  expect((await ask("GET", "/api-keys", viewer)).data).toMatchObject({ keys: [{ name: "made" }] });
  expect(new Set(asked)).toEqual(new Set(["GET /cdn-cgi/access/certs"]));
  for (const token of [admin, viewer, forged]) {
    expect(relay.log).not.toContain(token.split(".")[2]);
  }
  expect(relay.log).toContain("admin.access_refused");
});

test("the CLI gets through Access with a service token, and says so where it has none", async () => {
  const token = { CF_ACCESS_CLIENT_ID: "cli.access", CF_ACCESS_CLIENT_SECRET: "a secret of tests" };
  const front = createServer(async (request, answer) => {
    const { headers, method = "GET", url = "/" } = request;
    const isLetIn =
      headers["cf-access-client-id"] === token.CF_ACCESS_CLIENT_ID &&
      headers["cf-access-client-secret"] === token.CF_ACCESS_CLIENT_SECRET;
    if (url.startsWith("/admin") && !isLetIn) {
      const location = "https://team.cloudflareaccess.com/cdn-cgi/access/login/relay.example";
      answer.writeHead(302, { location }).end();
      return;
    }
    const { authorization = "" } = headers;
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    const body = Buffer.concat(chunks);
    const passed = await fetch(relay.url + url, {
      method,
      headers: { authorization, "content-type": "application/json" },
      ...(body.length === 0 ? {} : { body }),
    });
    answer.writeHead(passed.status, { "content-type": "application/json" });
    answer.end(await passed.text());
  });
  await once(front.listen(0, "127.0.0.1"), "listening");
  try {
    const env = {
      HOME: relay.stateDir,
      RELAY_STATE_DIR: join(relay.stateDir, "none"),
      RELAY_URL: `http://127.0.0.1:${(front.address() as AddressInfo).port}`,
      ADMIN_PASSWORD: ADMIN_ACCOUNT.password,
    };
    const turnedAway = await cliHere(["admin", "login"], env);
    expect(turnedAway.exitCode).toBe(3);
    expect(turnedAway.stderr).toContain("is behind Cloudflare Access");
    const half = await cliHere(["admin", "login"], { ...env, CF_ACCESS_CLIENT_ID: "cli.access" });
    expect(half.exitCode).toBe(2);
    const signedIn = await cliHere(["admin", "login"], { ...env, ...token });
    expect(signedIn).toMatchObject({ exitCode: 0, stderr: "" });
    const listed = await cliHere(["accounts", "list", "--json"], { ...env, ...token });
    expect(listed).toMatchObject({ exitCode: 0, stderr: "" });
    // The live log's handshake is a request like the others.
    const upgrade = once(front, "upgrade");
    const following = startCli(["logs", "--follow"], { ...env, ...token });
    const [{ headers }, socket] = (await upgrade) as [IncomingMessage, Duplex];
    socket.destroy();
    following.kill();
    await once(following, "exit");
    expect(headers).toMatchObject({
      "cf-access-client-id": token.CF_ACCESS_CLIENT_ID,
      "cf-access-client-secret": token.CF_ACCESS_CLIENT_SECRET,
    });
  } finally {
    front.close();
  }
});

test("the client API is none of Access's business: its token opens nothing there", async () => {
  const answer = await fetch(`${relay.url}/v1/models`, {
    headers: { "cf-access-jwt-assertion": await team.token(ADMIN) },
  });
  expect(answer.status).toBe(401);
});

test.each(["/", "/web"])(
  "what a browser shows at %s fits in no other site's frame",
  async (path) => {
    const answer = await fetch(relay.url + path);
    expect(answer.headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
  },
);
