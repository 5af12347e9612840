import { readdirSync, readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADMIN, type RelayKey, TestRelay } from "../fixtures/relay.ts";

let relay: TestRelay;
let key: RelayKey;

beforeAll(async () => {
  relay = await TestRelay.start({ vars: { LOG_LEVEL: "debug" } });
  await relay.addApiKeyAccount("first");
  key = await relay.createKey();
});
afterAll(() => relay.stop());

interface ErrorBody {
  type: string;
  error: { type: string; message: string };
  request_id: string;
}

async function refusalOf(answer: Response) {
  const body = (await answer.json()) as ErrorBody;
  expect(body).toMatchObject({ type: "error", request_id: answer.headers.get("request-id") });
  expect(body.error.message).toMatch(/^Relay: /);
  return `${answer.status} ${body.error.type}`;
}

describe("bad input is answered in Anthropic's shape, and nothing goes upstream", () => {
  const post = (headers: Record<string, string>, body: BodyInit | null, path = "/v1/messages") =>
    fetch(relay.url + path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    });
  const good = JSON.stringify({ model: "claude-sonnet-5", max_tokens: 5, messages: [] });
  const keyed = () => ({ "x-api-key": key.apiKey });

  const nothingUpstream = async (act: () => Promise<void>) => {
    const before = relay.fake.ledger.totals().requests;
    await act();
    expect(relay.fake.ledger.totals().requests).toBe(before);
  };

  test.each<[string, Record<string, string>]>([
    ["no key", {}],
    ["a malformed key", { "x-api-key": "cr_123" }],
    ["an unknown key", { authorization: `Bearer cr_${"a".repeat(64)}` }],
  ])("%s: 401, and the client is told not to try again", (_, headers) =>
    nothingUpstream(async () => {
      const answer = await post(headers, good);
      expect(answer.headers.get("x-should-retry")).toBe("false");
      expect(await refusalOf(answer)).toBe("401 authentication_error");
    }),
  );

  test.each<[string, (id: string) => Promise<unknown>, string]>([
    [
      "disabled",
      (id) => relay.admin("PUT", `/api-keys/${id}`, { enabled: false }),
      "403 permission_error",
    ],
    [
      "expired",
      (id) => relay.admin("PUT", `/api-keys/${id}`, { expiresAt: "2026-01-01T00:00:00Z" }),
      "403 permission_error",
    ],
    ["revoked", (id) => relay.admin("POST", `/api-keys/${id}/revoke`), "403 permission_error"],
    ["deleted", (id) => relay.admin("DELETE", `/api-keys/${id}`), "401 authentication_error"],
  ])(
    "a key that was %s is refused from the next request on, on every route",
    async (_, act, refusal) => {
      const mine = await relay.createKey();
      expect((await relay.message(mine)).status).toBe(200);
      await act(mine.id);
      await nothingUpstream(async () => {
        expect(await refusalOf(await relay.message(mine))).toBe(refusal);
        const headers = { "x-api-key": mine.apiKey };
        expect(await refusalOf(await post(headers, good, "/v1/messages/count_tokens"))).toBe(
          refusal,
        );
        for (const path of ["/v1/models", "/api/v1/usage", "/api/v1/key-info"]) {
          expect(await refusalOf(await fetch(relay.url + path, { headers })), path).toBe(refusal);
        }
      });
    },
  );

  test.each<[string, BodyInit | null, string]>([
    ["nothing", null, "400 invalid_request_error"],
    ["no JSON", "model=claude", "400 invalid_request_error"],
    ["cut JSON", good.slice(0, -2), "400 invalid_request_error"],
    ["a list", "[]", "400 invalid_request_error"],
    ["no model", '{"messages":[]}', "400 invalid_request_error"],
    ["two models", '{"model":"a","model":"b"}', "400 invalid_request_error"],
    ["more than 32 MiB", new Uint8Array(32 * 1024 * 1024 + 1).fill(0x20), "413 request_too_large"],
  ])("a body of %s", (_, body, refusal) =>
    nothingUpstream(async () => {
      expect(await refusalOf(await post(keyed(), body))).toBe(refusal);
    }),
  );

  test("a body of 31 MiB passes, byte for byte", async () => {
    const text = "x".repeat(31 * 1024 * 1024);
    const answer = await relay.message(key, { messages: [{ role: "user", content: text }] });
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    expect(relay.fake.ledger.last().requestBodyBytes).toBeGreaterThan(31 * 1024 * 1024);
  });

  test("an unknown route, and a wrong method", () =>
    nothingUpstream(async () => {
      expect(await refusalOf(await post(keyed(), good, "/v1/complete"))).toBe(
        "404 not_found_error",
      );
      const wrong = await fetch(`${relay.url}/v1/messages`, { headers: keyed() });
      expect(wrong.headers.get("allow")).toBe("POST");
      expect(await refusalOf(wrong)).toBe("405 invalid_request_error");
    }));
});

describe("bytes that two readers could read as one request or as two", () => {
  const body = JSON.stringify({
    ...{ model: "claude-sonnet-5", max_tokens: 5 },
    messages: [{ role: "user", content: "Hello" }],
  });
  const request = (framing: string, content: string) =>
    [
      "POST /v1/messages HTTP/1.1",
      "host: relay.example",
      `x-api-key: ${key.apiKey}`,
      "anthropic-version: 2023-06-01",
      "content-type: application/json",
      framing,
      "",
      content,
    ].join("\r\n");
  const sized = (framing = "") =>
    request(`${framing}content-length: ${Buffer.byteLength(body)}`, body);
  const chunked = (framing: string) =>
    request(framing, `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n0\r\n\r\n`);

  /** @returns how many answers came, and how many messages went upstream */
  async function send(bytes: string): Promise<{ answers: number; messages: number }> {
    const before = relay.fake.ledger.byPath("/v1/messages").length;
    const socket = connect(Number(new URL(relay.url).port), "127.0.0.1");
    // Both sides see the end of it: what is answered at all has come by then.
    socket.end(bytes);
    let answer = "";
    for await (const chunk of socket) answer += String(chunk);
    const answers = [...answer.matchAll(/HTTP\/1\.1 \d{3} /g)].length;
    return { answers, messages: relay.fake.ledger.byPath("/v1/messages").length - before };
  }

  test.each<[string, () => string]>([
    ["a length beside chunks", () => chunked("content-length: 9999\r\ntransfer-encoding: chunked")],
    ["chunks beside a length", () => chunked("transfer-encoding: chunked\r\ncontent-length: 4")],
    ["two lengths", () => sized("content-length: 4\r\n")],
    ["a list of lengths", () => request(`content-length: ${body.length}, 4`, body)],
    ["a length with a sign", () => request(`content-length: +${body.length}`, body)],
    ["chunks by another name", () => chunked("transfer-encoding: xchunked")],
    ["chunks that are not the last coding", () => chunked("transfer-encoding: chunked, identity")],
    ["a space before the colon", () => chunked("transfer-encoding : chunked")],
    ["a folded header", () => sized("x-a: 1\r\n transfer-encoding: chunked\r\n")],
    ["a bare line feed", () => sized("x-a: 1\ntransfer-encoding: chunked\r\n")],
    ["a bare carriage return", () => sized("x-a: 1\rtransfer-encoding: chunked\r\n")],
    ["a zero byte", () => sized("x-a: 1\0\r\n")],
  ])("%s: what follows is never a request of its own", async (_, first) => {
    const { answers, messages } = await send(first() + sized());
    expect(answers).toBe(1);
    expect(messages).toBeLessThanOrEqual(1);
  });

  test("while two plain requests are two", async () => {
    expect(await send(sized() + sized())).toEqual({ answers: 2, messages: 2 });
  });
});

describe("what a key holder can ask", () => {
  test("usage and key-info hold every field of the documented shape", async () => {
    const mine = await relay.createKey({ name: "Mine", description: "d" });
    await (await relay.message(mine)).arrayBuffer();
    const usage = await relay.settledUsage(mine);
    const sums = {
      requests: 1,
      inputTokens: expect.any(Number),
      outputTokens: 24,
      cacheCreateTokens: 0,
      cacheReadTokens: 0,
      tokens: expect.any(Number),
      allTokens: expect.any(Number),
      cost: expect.any(Number),
    };
    expect(usage).toMatchObject({
      usage: {
        total: sums,
        daily: sums,
        monthly: sums,
        averages: {
          rpm: 1,
          tpm: expect.any(Number),
          dailyRequests: 1,
          dailyTokens: expect.any(Number),
        },
        byModel: [{ model: "claude-sonnet-5", ...sums }],
      },
      limits: { expiresAt: null },
      timestamp: expect.stringMatching(/Z$/),
    });
    expect(usage.usage.total.cost).toBeGreaterThan(0);
    expect(usage.usage.byDay).toHaveLength(30);
    expect(usage.usage.byDay.reduce((sum, { requests }) => sum + requests, 0)).toBe(1);
    const info = await fetch(`${relay.url}/api/v1/key-info`, {
      headers: { authorization: `Bearer ${mine.apiKey}` },
    });
    expect(info.headers.get("cache-control")).toBe("no-store");
    expect(await info.json()).toMatchObject({
      keyInfo: {
        id: mine.id,
        name: "Mine",
        description: "d",
        expiresAt: null,
        usage: { total: sums },
      },
    });
  });

  test("the model list is Anthropic's, with paging; one model by name", async () => {
    const headers = { "x-api-key": key.apiKey };
    const list = async (query: string) =>
      (await (await fetch(`${relay.url}/v1/models${query}`, { headers })).json()) as {
        data: { id: string; type: string; display_name: string; created_at: string }[];
        has_more: boolean;
        first_id: string;
        last_id: string;
      };
    const all = await list("?limit=1000");
    expect(all.data.length).toBeGreaterThan(3);
    expect(all).toMatchObject({
      has_more: false,
      first_id: all.data[0]?.id,
      last_id: all.data.at(-1)?.id,
    });
    const page = await list("?limit=2");
    expect(page).toMatchObject({ has_more: true, data: all.data.slice(0, 2) });
    expect((await list(`?limit=2&after_id=${page.last_id}`)).data).toEqual(all.data.slice(2, 4));
    const one = await fetch(`${relay.url}/api/v1/models/${all.data[0]?.id}`, { headers });
    expect(await one.json()).toEqual(all.data[0]);
    expect((await fetch(`${relay.url}/v1/models/claude-unknown-9`, { headers })).status).toBe(404);
  });
});

describe("liveness, without a key", () => {
  test.each(["/", "/api/hello", "/api/api/hello"])("HEAD %s answers 200", async (path) => {
    expect((await fetch(relay.url + path, { method: "HEAD" })).status).toBe(200);
  });

  test("/health says what it can serve", async () => {
    const answer = await fetch(`${relay.url}/health`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({
      status: "ok",
      version: "0.1.0",
      keyStore: "kv",
      accounts: { usable: 1, total: 1, otherEncryptionKey: 0 },
      message: "Ready.",
    });
  });
});

test("a restart, orderly or by kill -9, keeps keys, accounts and usage", async () => {
  const mine = await relay.createKey({ name: "Kept" });
  for (let index = 0; index < 5; index += 1) await (await relay.message(mine)).arrayBuffer();
  const before = await relay.settledUsage(mine);
  for (const how of ["stop", "kill"] as const) {
    await relay.restart({ how });
    expect((await relay.usage(mine)).usage.total).toEqual(before.usage.total);
    const { data } = await relay.admin<{ accounts: { name: string }[] }>("GET", "/claude-accounts");
    expect(data.accounts).toMatchObject([{ name: "first", status: "ready" }]);
  }
  expect((await relay.message(mine)).status).toBe(200);
});

test("a wrong ENCRYPTION_KEY is said in words, nothing is overwritten, and the right one serves again", async () => {
  const right = "fedcba9876543210fedcba9876543210";
  await relay.restart({ vars: { ENCRYPTION_KEY: "a-wrong-key-of-thirty-two-chars!" } });
  const health = await fetch(`${relay.url}/health`);
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({
    accounts: { usable: 0, total: 1, otherEncryptionKey: 1 },
    message: expect.stringMatching(/another ENCRYPTION_KEY.*nothing was changed/),
  });
  const answer = await relay.message(key);
  expect(answer.status).toBe(503);
  expect(((await answer.json()) as ErrorBody).error.message).toMatch(/another ENCRYPTION_KEY/);
  await relay.restart({
    vars: { ENCRYPTION_KEY: "another-key-of-thirty-two-chars!", ENCRYPTION_KEY_PREVIOUS: right },
  });
  expect((await relay.message(key)).status).toBe(200);
  await relay.restart({ vars: { ENCRYPTION_KEY: right, ENCRYPTION_KEY_PREVIOUS: "" } });
  expect((await relay.message(key)).status).toBe(200);
});

test("no secret is in a log line, an event, an answer or a state file in the clear; no prompt or answer is kept", async () => {
  const secrets = new Map<string, string>([
    ["relay key", key.apiKey],
    ["admin password", ADMIN.password],
    ["JWT secret", "0123456789abcdef0123456789abcdef"],
    ["encryption key", "fedcba9876543210fedcba9876543210"],
    ["proxy password", "the-proxy-password"],
  ]);
  const contents = new Map<string, string>([
    ["prompt", "Whisper the words of the prompt."],
    ["system prompt", "Keep the words of the system prompt."],
    ["answer", "The quick brown fox"],
  ]);
  const answers: string[] = [];
  const keep = async (answer: Response) => {
    answers.push(JSON.stringify([...answer.headers]), await answer.text());
  };
  const login = relay.fake.accounts.addOAuth({ name: "planted", expiresInSeconds: 3_600 });
  const { apiKey } = relay.fake.accounts.addApiKey({ name: "planted key" });
  secrets.set("access token", login.accessToken);
  secrets.set("refresh token", login.refreshToken ?? "");
  secrets.set("API key", apiKey);
  const claudeAiOauth = {
    accessToken: login.accessToken,
    refreshToken: login.refreshToken,
    expiresAt: login.expiresAtMs,
  };
  const proxy = { type: "http", host: "127.0.0.1", port: 9, password: "the-proxy-password" };
  for (const [path, body] of [
    ["/claude-accounts", { name: "OAuth", claudeAiOauth, priority: 1 }],
    ["/claude-accounts", { name: "Key", apiKey, priority: 2, proxy }],
    ["/claude-accounts", { name: "Twice", apiKey, setupToken: login.accessToken }],
    ["/claude-accounts", { name: 5, apiKey, claudeAiOauth }],
    ["/claude-accounts/exchange-code", { sessionId: "x", authorizationCode: login.refreshToken }],
  ] as const) {
    answers.push(JSON.stringify(await relay.admin("POST", path, body)));
  }
  const listed = await relay.admin<{ accounts: { id: string }[] }>("GET", "/claude-accounts");
  for (const { id } of listed.data.accounts) {
    for (const [method, path] of [
      ["GET", ""],
      ["POST", "/test"],
      ["POST", "/refresh"],
    ]) {
      answers.push(
        JSON.stringify(await relay.admin(method ?? "", `/claude-accounts/${id}${path}`)),
      );
    }
  }
  relay.fake.script({ account: "planted", times: 5 }, { respond: { status: 401 } });
  const said = {
    messages: [{ role: "user", content: contents.get("prompt") }],
    system: contents.get("system prompt"),
  };
  for (let index = 0; index < 5; index += 1) await keep(await relay.message(key, said));
  await keep(await relay.message(key, { ...said, stream: true }));
  expect(answers.some((text) => text.includes(contents.get("answer") ?? ""))).toBe(true);
  // Errors that quote what was asked, and bodies that cannot be read.
  for (const status of [400, 402, 429, 500]) {
    const error = { type: "invalid_request_error", message: contents.get("prompt") };
    const body = { type: "error", error };
    await keep(await relay.message(key, said, { fault: { respond: { status, body } } }));
    for (const { id } of listed.data.accounts) {
      await relay.admin("POST", `/claude-accounts/${id}/reset`);
    }
  }
  for (const body of [`{"model":"${contents.get("prompt")}`, `${contents.get("prompt")}`]) {
    const headers = { "x-api-key": key.apiKey };
    await keep(await fetch(`${relay.url}/v1/messages`, { method: "POST", headers, body }));
  }
  for (const path of ["/api-keys", "/audit", "/session"]) {
    answers.push(JSON.stringify(await relay.admin("GET", path)));
  }
  await keep(
    await fetch(`${relay.url}/admin/login`, {
      method: "POST",
      body: JSON.stringify({ username: "admin", password: `${ADMIN.password}x` }),
    }),
  );
  await keep(await fetch(`${relay.url}/v1/messages?key=${key.apiKey}`, { method: "POST" }));
  await relay.settledUsage(key);
  const expected = [
    ...["request.settled", "request.refused", "request.failover", "admin.acted"],
    ...["account.cooling_down", "account.unusable", "account.credential_rejected"],
  ];
  const events = JSON.stringify(
    await relay.eventsUntil((all) =>
      expected.every((name) => all.some(({ event }) => event === name)),
    ),
  );
  const log = relay.log;
  for (const event of expected) expect(log).toContain(`"event":"${event}"`);
  await relay.restart();

  const files = filesBelow(relay.stateDir);
  expect(files.length).toBeGreaterThan(5);
  for (const [name, secret] of secrets) {
    expect(log.includes(secret), `${name} in the log`).toBe(false);
    expect(events.includes(secret), `${name} in an event`).toBe(false);
    expect(
      answers.some((text) => text.includes(secret)),
      `${name} in an answer`,
    ).toBe(false);
    for (const file of files) {
      expect(readFileSync(file).includes(secret), `${name} in ${file}`).toBe(false);
    }
  }
  for (const [name, content] of contents) {
    expect(log.includes(content), `${name} in the log`).toBe(false);
    expect(events.includes(content), `${name} in an event`).toBe(false);
    for (const file of files) {
      expect(readFileSync(file).includes(content), `${name} in ${file}`).toBe(false);
    }
  }
});

function filesBelow(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? filesBelow(path) : [path];
  });
}
