import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { compactDecrypt, exportJWK, generateKeyPair } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { hashImportedKey } from "../../src/keys/key-format.ts";
import { markOf } from "../../src/keys/key-record.ts";
import { newKey } from "../../src/keys/new-key.ts";
import { FORWARD_PROXY_SECRET, ForwardProxyProcess } from "../fixtures/egress/forward-proxy.ts";
import { type Login, SocksProxy } from "../fixtures/egress/proxies.ts";
import { TestRedis } from "../fixtures/redis/index.ts";
import { ADMIN, TestRelay } from "../fixtures/relay.ts";
import { settledPort } from "../fixtures/settled-port.ts";
import { WebhookReceiver } from "../fixtures/webhook-receiver.ts";

/** Redis and the proxy may have to be installed first. */
const SETUP_MS = 180_000;
const LOGIN: Login = { username: "proxy-user-41c7", password: "proxy/pass+9e2d 81" };
const METRICS_TOKEN = "5b1f0c9e7a3d48626f1e0d9c8b7a6958";
const PEPPER = "a-pepper-of-another-system-3f7a9";
/** What is shorter turns up by chance. */
const MIN_SECRET_CHARS = 10;
/** Base64 writes three bytes as four characters. */
const BASE64_GROUP_BYTES = 3;

/** Something that was written or sent, and the secrets that it is there to show. */
interface Trace {
  where: string;
  bytes: Buffer;
  shows: readonly string[];
}

/** Secrets by name, as they come up. */
const secrets = new Map<string, string>([
  ["admin password", ADMIN.password],
  ["JWT secret", "0123456789abcdef0123456789abcdef"],
  ["encryption key", "fedcba9876543210fedcba9876543210"],
  ["forward-proxy secret", FORWARD_PROXY_SECRET],
  ["proxy password", LOGIN.password],
  ["metrics token", METRICS_TOKEN],
  ["imported keys' pepper", PEPPER],
]);
const traces: Trace[] = [];

let redis: TestRedis;
let proxy: SocksProxy;
let receiver: WebhookReceiver;
let forwardProxy: ForwardProxyProcess;
let relay: TestRelay;
let session = "";

beforeAll(async () => {
  [redis, proxy, receiver] = await Promise.all([
    TestRedis.start(),
    SocksProxy.start(LOGIN),
    WebhookReceiver.start(),
  ]);
  const port = await settledPort();
  forwardProxy = await ForwardProxyProcess.start([`http://127.0.0.1:${port}`]);
  relay = await TestRelay.start({
    fake: { port },
    vars: {
      ...forwardProxy.vars,
      LOG_LEVEL: "debug",
      LOCAL_WEBHOOKS: "allow",
      METRICS_TOKEN,
      IMPORTED_KEY_PEPPER: PEPPER,
    },
  });
}, SETUP_MS);
afterAll(async () => {
  await relay?.stop();
  await forwardProxy?.terminate();
  await receiver?.close();
  await proxy?.stop();
  await redis?.close();
});

function keep(where: string, text: string | Buffer, shows: readonly string[] = []): void {
  traces.push({ where, bytes: Buffer.from(text), shows });
}

/** Asks the relay, and keeps the answer whole: status, headers and body. */
async function ask<T = Record<string, unknown>>(
  method: string,
  path: string,
  options: {
    body?: unknown;
    headers?: Record<string, string>;
    /** Names of the secrets that this one answer is there to show. */
    shows?: readonly string[];
  } = {},
): Promise<{ status: number; data: T }> {
  const isAdmin = path.startsWith("/admin/") && path !== "/admin/login";
  const answer = await fetch(relay.url + path, {
    method,
    headers: {
      "content-type": "application/json",
      ...(isAdmin ? { authorization: `Bearer ${session}` } : {}),
      ...options.headers,
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
  });
  const body = await answer.text();
  const head = JSON.stringify([answer.status, ...answer.headers]);
  keep(`the answer to ${method} ${path}`, `${head}\n${body}`, options.shows);
  const isJson = answer.headers.get("content-type")?.includes("json") ?? false;
  return { status: answer.status, data: isJson ? (JSON.parse(body).data as T) : ({} as T) };
}

async function made<T>(
  path: string,
  body: Record<string, unknown>,
  shows: readonly string[] = [],
): Promise<T> {
  const { status, data } = await ask<T>("POST", path, { body, shows });
  expect([200, 201], path).toContain(status);
  return data;
}

async function signIn(): Promise<void> {
  const name = `session token ${secrets.size}`;
  const body = { username: ADMIN.username, password: ADMIN.password };
  const shown = await made<{ token: string }>("/admin/login", body, [name]);
  session = shown.token;
  secrets.set(name, session);
}

interface MadeKey {
  id: string;
  apiKey: string;
}

async function makeKey(name: string, fields: Record<string, unknown> = {}): Promise<MadeKey> {
  const key = await made<MadeKey>("/admin/api-keys", { name, ...fields }, [name]);
  secrets.set(name, key.apiKey);
  return key;
}

const message = (apiKey: string, headers: Record<string, string> = {}, stream = false) =>
  ask("POST", "/v1/messages", {
    headers: { "x-api-key": apiKey, "anthropic-version": "2023-06-01", ...headers },
    body: {
      ...{ model: "claude-sonnet-5", max_tokens: 50, stream },
      messages: [{ role: "user", content: "Hello" }],
    },
  });

/** Everything that the state folder holds now, also what is only in a write-ahead log yet. */
function keepFiles(when: string): void {
  const entries = readdirSync(relay.stateDir, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((found) => found.isFile())) {
    const path = join(entry.parentPath, entry.name);
    keep(`${path}, ${when}`, readFileSync(path));
    keep(`the name of ${path}`, path);
  }
}

/** A secret as it stands, and in every dress in which one may be written without thought. */
function formsOf(secret: string): Map<string, Buffer> {
  const forms = new Map<string, Buffer>([
    ["as it is", Buffer.from(secret)],
    ["as UTF-16", Buffer.from(secret, "utf16le")],
    ["as hex", Buffer.from(Buffer.from(secret).toString("hex"))],
    ["URL-encoded", Buffer.from(encodeURIComponent(secret))],
    ["as a form's field", Buffer.from(new URLSearchParams({ s: secret }).toString().slice(2))],
    ["as JSON", Buffer.from(JSON.stringify(secret).slice(1, -1))],
  ]);
  for (let before = 0; before < BASE64_GROUP_BYTES; before += 1) {
    // What stands before and behind it changes the first and the last characters; the middle stays.
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
    const whole = bytes.length - (bytes.length % BASE64_GROUP_BYTES);
    const from = before === 0 ? 0 : BASE64_GROUP_BYTES;
    for (const encoding of ["base64", "base64url"] as const) {
      const text = bytes.subarray(from, whole).toString(encoding);
      forms.set(`in ${encoding}, ${before} bytes in`, Buffer.from(text));
    }
  }
  return forms;
}

function found(): string[] {
  const all = [...secrets].map(([name, secret]) => ({ name, forms: [...formsOf(secret)] }));
  return traces.flatMap(({ where, bytes, shows }) =>
    all
      .filter(({ name }) => !shows.includes(name))
      .flatMap(({ name, forms }) =>
        forms
          .filter(([, form]) => bytes.includes(form))
          .map(([form]) => `${name}, ${form}: in ${where}`),
      ),
  );
}

test("after a run with every kind of secret none is in a file, a line, a message or an answer", async () => {
  await signIn();

  // Accounts of every kind, one behind a proxy with a password, one by a login link.
  const { fake } = relay;
  const apiKey = fake.accounts.addApiKey({ name: "by key" });
  const oauth = fake.accounts.addOAuth({ name: "by token", expiresInSeconds: 5 });
  secrets.set("account's API key", apiKey.apiKey);
  secrets.set("access token that was refreshed", oauth.accessToken);
  secrets.set("refresh token that was used", oauth.refreshToken ?? "");
  const byKey = await made<{ id: string }>("/admin/claude-accounts", {
    ...{ name: "by key", apiKey: apiKey.apiKey, proxy: { ...proxy.settings } },
  });
  const byToken = await made<{ id: string }>("/admin/claude-accounts", {
    name: "by token",
    claudeAiOauth: {
      accessToken: oauth.accessToken,
      refreshToken: oauth.refreshToken,
      expiresAt: oauth.expiresAtMs,
    },
  });
  const begun = await made<{ authUrl: string; sessionId: string }>(
    "/admin/claude-accounts/generate-auth-url",
    {},
  );
  const paste = fake.oauth.authorize(begun.authUrl, { account: "by link" });
  const [code = ""] = paste.split("#");
  secrets.set("code of a login", code);
  await made("/admin/claude-accounts/exchange-code", {
    ...{ sessionId: begun.sessionId, authorizationCode: paste },
  });
  const { sessionId } = begun;
  const byLink = await made<{ id: string }>("/admin/claude-accounts", {
    ...{ name: "by link", sessionId },
  });

  // Webhooks: an address with a token in it, a given secret and one of the relay's own making.
  const token = randomBytes(12).toString("hex");
  secrets.set("token in a webhook's address", token);
  secrets.set("given signing secret", "SEC-given-4c1d9b7e");
  const hook = await made<{ id: string; secret: string }>(
    "/admin/alerts",
    { name: "json", format: "json", address: `${receiver.url}/json/${token}` },
    ["made signing secret"],
  );
  secrets.set("made signing secret", hook.secret);
  const ding = await made<{ id: string }>("/admin/alerts", {
    ...{ name: "ding", format: "dingtalk", secret: "SEC-given-4c1d9b7e" },
    address: `${receiver.url}/ding?access_token=${token}`,
  });

  // Keys: new, replaced at once, replaced with grace, imported.
  const plain = await makeKey("relay key");
  const rotated = await makeKey("replaced relay key");
  const rotate = async (name: string, body: object) => {
    const next = await made<MadeKey>(`/admin/api-keys/${rotated.id}/rotate`, { ...body }, [name]);
    secrets.set(name, next.apiKey);
    return next;
  };
  const graceful = await rotate("new relay key in grace", { graceHours: 1 });
  await message(rotated.apiKey);
  const last = await rotate("newest relay key", {});
  await message(graceful.apiKey);
  const foreign = `cr_${randomBytes(32).toString("hex")}`;
  secrets.set("imported key", foreign);
  const hash = await hashImportedKey(foreign, PEPPER);
  const { stored } = await newKey({ name: "imported" }, Date.now());
  const record = { ...stored.record, secret: { mark: markOf(hash), previous: null } };
  await made("/admin/api-keys/import", { keys: [{ hash, record, usage: [] }] });

  // Messages over every account, with every key, in every place where a client may put one.
  const bound = await Promise.all(
    [byKey, byToken, byLink].map(({ id }, n) => makeKey(`bound key ${n}`, { accountId: id })),
  );
  for (const { apiKey: bearer } of bound) {
    expect((await message(bearer)).status).toBe(200);
    expect((await message(bearer, {}, true)).status).toBe(200);
  }
  expect((await message(last.apiKey)).status).toBe(200);
  expect((await message(foreign)).status).toBe(200);
  await ask("POST", "/v1/messages", { headers: { authorization: `Bearer ${plain.apiKey}` } });
  for (const path of ["/v1/models", "/api/v1/usage", "/api/v1/key-info"]) {
    await ask("GET", path, { headers: { "x-api-key": plain.apiKey } });
  }

  // What goes wrong is where secrets slip out.
  for (const status of [400, 401, 403, 429, 500, 529]) {
    fake.script({ times: 3 }, { respond: { status } });
    for (const { apiKey: bearer } of bound) await message(bearer);
    fake.reset();
    for (const { id } of [byKey, byToken, byLink]) {
      await ask("POST", `/admin/claude-accounts/${id}/reset`);
    }
  }
  await ask("GET", `/v1/messages?key=${encodeURIComponent(apiKey.apiKey)}`);
  await message(apiKey.apiKey);
  await ask("GET", "/v1/models", { headers: { authorization: `Bearer ${session}` } });
  await ask("GET", "/metrics", { headers: { authorization: `Bearer ${session}` } });
  await ask("GET", "/admin/session", { headers: { authorization: `Bearer ${METRICS_TOKEN}` } });
  await ask("POST", "/admin/login", { body: { username: "admin", password: ADMIN.password + 1 } });
  await ask("POST", "/admin/login", { body: { username: ADMIN.password, password: [session] } });
  for (const body of [
    { name: "twice", apiKey: apiKey.apiKey, setupToken: oauth.accessToken },
    { name: 5, claudeAiOauth: { accessToken: oauth.accessToken } },
    { name: "odd proxy", apiKey: apiKey.apiKey, proxy: { ...proxy.settings, port: "none" } },
    { name: "odd", [apiKey.apiKey.slice(0, 5)]: LOGIN.password },
  ]) {
    expect((await ask("POST", "/admin/claude-accounts", { body })).status).toBe(400);
  }
  await ask("POST", "/admin/alerts", {
    ...{ body: { name: "in", format: "slack", address: `https://10.0.0.1/${token}` } },
  });
  for (const { id } of [byKey, byToken, byLink]) {
    await ask("POST", `/admin/claude-accounts/${id}/test`);
    await ask("POST", `/admin/claude-accounts/${id}/refresh`);
  }
  receiver.failures = 1;
  for (const { id } of [hook, ding, hook]) await ask("POST", `/admin/alerts/${id}/test`);
  await proxy.stop();
  await message(bound[0]?.apiKey ?? "");
  await ask("POST", `/admin/claude-accounts/${byKey.id}/test`);
  await forwardProxy.kill();
  await ask("POST", `/admin/claude-accounts/${byKey.id}/test`);

  // The credentials as they are now, from the one answer that carries them: sealed to this run's key.
  const pair = await generateKeyPair("ECDH-ES", { crv: "P-256", extractable: true });
  const { kty, crv, x, y } = await exportJWK(pair.publicKey);
  const asker = { password: ADMIN.password, recipient: { kty, crv, x, y } };
  const { sealed } = await made<{ sealed: string }>("/admin/archive/accounts", asker);
  const { plaintext } = await compactDecrypt(sealed, pair.privateKey);
  const archived = JSON.parse(new TextDecoder().decode(plaintext)) as {
    credential: Record<string, unknown>;
  }[];
  const credentials = archived
    .flatMap(({ credential }) => Object.values(credential))
    .filter((value) => typeof value === "string" && value.startsWith("sk-ant-"))
    .filter((value) => value !== apiKey.apiKey) as string[];
  expect(credentials).toHaveLength(4);
  expect(credentials).not.toContain(oauth.accessToken);
  for (const [n, credential] of credentials.entries()) secrets.set(`credential ${n}`, credential);
  await made("/admin/archive/keys", asker);

  // Everything that the admin can read.
  for (const path of [
    ...["session", "audit", "api-keys", "claude-accounts", "alerts", "dashboard", "requests"],
    ...["egress", "prices", "encryption-key", "logs?limit=500", `api-keys/${rotated.id}`],
    ...[byKey, byToken, byLink].map(({ id }) => `claude-accounts/${id}`),
    ...[`explain?model=claude-sonnet-5&keyId=${plain.id}`],
  ]) {
    expect((await ask("GET", `/admin/${path}`)).status, path).toBe(200);
  }
  await ask("GET", "/health");
  const metrics = { authorization: `Bearer ${METRICS_TOKEN}` };
  expect((await ask("GET", "/metrics", { headers: metrics })).status).toBe(200);
  await relay.settledUsage(plain);
  keepFiles("while it runs");

  // The same keys in Upstash, and what is said when it is gone.
  secrets.set("Upstash token", redis.token);
  await relay.restart({
    how: "kill",
    vars: redis.vars,
    meanwhile: () => keepFiles("after a kill"),
  });
  await signIn();
  const upstash = await makeKey("key in Upstash");
  expect((await message(upstash.apiKey)).status).toBe(200);
  const names = (await redis.send("KEYS", "*")) as string[];
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) keep("Redis", `${name} ${await redis.send("DUMP", name)}`);
  await redis.stop();
  await message(`cr_${"a".repeat(64)}`);
  await ask("GET", "/admin/api-keys");
  await ask("GET", "/health");
  await redis.start();
  await ask("POST", "/admin/logout");
  await relay.restart({ vars: { LOG_LEVEL: "debug" } });
  keepFiles("after an orderly stop");

  keep("the relay's log", relay.log);
  keep("the forward proxy's log", forwardProxy.log);
  for (const { headers, text } of receiver.all) {
    keep("a webhook's message", JSON.stringify(headers) + text);
  }

  // The run was what it was meant to be.
  expect(receiver.all.length).toBeGreaterThanOrEqual(3);
  expect(proxy.tunnels).toBeGreaterThan(0);
  expect(traces.filter(({ where }) => where.includes(".sqlite")).length).toBeGreaterThan(10);
  for (const event of ["request.settled", "admin.login_refused", "admin.acted"]) {
    expect(relay.log).toContain(`"event":"${event}"`);
  }
  for (const [name, secret] of secrets) {
    expect(secret.length, name).toBeGreaterThanOrEqual(MIN_SECRET_CHARS);
  }
  expect(secrets.size).toBeGreaterThan(25);
  expect(found()).toEqual([]);
}, 120_000);

test("the hunt finds a secret in each of its dresses, wherever it stands", () => {
  const secret = LOGIN.password;
  const dressed = [
    `x ${secret} y`,
    Buffer.from(`x${secret}y`, "utf16le"),
    JSON.stringify({ token: secret }),
    `?token=${encodeURIComponent(secret)}&x`,
    new URLSearchParams({ token: secret }).toString(),
    Buffer.from(secret).toString("hex"),
    ...["", "a", "ab", `${LOGIN.username}:`].flatMap((before) => [
      Buffer.from(`${before}${secret}~`).toString("base64"),
      Buffer.from(`${before}${secret}`).toString("base64url"),
    ]),
  ];
  for (const text of dressed) {
    const forms = [...formsOf(secret).values()];
    expect(
      forms.some((form) => Buffer.from(text).includes(form)),
      text.toString(),
    ).toBe(true);
  }
});
