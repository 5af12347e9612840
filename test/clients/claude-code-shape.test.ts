import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_MODELS } from "../fixtures/fake-upstream/settings.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";
import { type RawAnswer, sendRaw, sha256 } from "./raw-client.ts";

const MODEL = "claude-sonnet-5";
const SESSION = "5f0c9e1a-7b1d-4e0e-9a51-0c6f2f9d1b2a";
const DEVICE = "d".repeat(64);
const FOREIGN_KEY = "sk-ant-api03-a-key-of-the-users-own";
const ACCOUNTS = ["one", "two", "three"];

let relay: TestRelay;
let key: RelayKey;

beforeAll(async () => {
  relay = await TestRelay.start();
  for (const name of ACCOUNTS) await relay.addApiKeyAccount(name);
  key = await relay.createKey();
});
beforeEach(() => relay.fake.reset());
afterAll(() => relay.stop());

/** How a version of Claude Code says whose session it is. */
interface Shape {
  name: string;
  userId: (session: string) => string;
  /** Sent by newer versions only. */
  sessionHeader: boolean;
  userAgent: string;
}

const shapes: Shape[] = [
  {
    name: "2.1.330",
    userId: (session) =>
      JSON.stringify({ device_id: DEVICE, account_uuid: "", session_id: session }),
    sessionHeader: true,
    userAgent: "claude-cli/2.1.330 (external, cli)",
  },
  {
    name: "2.0.76",
    userId: (session) => `user_${DEVICE}_account__session_${session}`,
    sessionHeader: false,
    userAgent: "claude-cli/2.0.76 (external, cli)",
  },
];

const betas =
  "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14";

function headersOf(shape: Shape, session: string): Record<string, string> {
  return {
    accept: "application/json",
    "content-type": "application/json",
    "user-agent": shape.userAgent,
    "x-app": "cli",
    "x-stainless-lang": "js",
    "x-stainless-package-version": "0.94.0",
    "x-stainless-retry-count": "0",
    "x-stainless-timeout": "600",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": betas,
    "anthropic-dangerous-direct-browser-access": "true",
    ...(shape.sessionHeader
      ? { "x-claude-code-session-id": session, "x-claude-code-agent-id": "agent-1" }
      : {}),
    "accept-language": "*",
    "sec-fetch-mode": "cors",
  };
}

/** One turn: some 50 kB with twelve tools, as Claude Code writes it. */
function turnOf(shape: Shape, session: string): string {
  return JSON.stringify({
    model: MODEL,
    messages: [
      { role: "user", content: [{ type: "text", text: "<system-reminder>…</system-reminder>" }] },
      { role: "system", content: [{ type: "text", text: "The date has changed." }] },
      {
        role: "user",
        content: [{ type: "text", text: "Fix it — 修复", cache_control: { type: "ephemeral" } }],
      },
    ],
    system: [
      { type: "text", text: "x-anthropic-billing-header: cc_version=2.1.330; cc_entrypoint=cli;" },
      {
        type: "text",
        text: "You are Claude Code.",
        cache_control: { type: "ephemeral", ttl: "1h" },
      },
      { type: "text", text: "Rules. ".repeat(3_000), cache_control: { type: "ephemeral" } },
    ],
    tools: Array.from({ length: 12 }, (_, index) => ({
      name: `Tool${index}`,
      description: "Does things. ".repeat(150),
      input_schema: { type: "object", properties: { path: { type: "string" } } },
    })),
    metadata: { user_id: shape.userId(session) },
    max_tokens: 32_000,
    thinking: { type: "adaptive" },
    context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
    stream: true,
  });
}

const credentials: [string, () => Record<string, string>][] = [
  ["ANTHROPIC_AUTH_TOKEN", () => ({ authorization: `Bearer ${key.apiKey}` })],
  ["ANTHROPIC_API_KEY", () => ({ "x-api-key": key.apiKey })],
  ["both", () => ({ authorization: `Bearer ${key.apiKey}`, "x-api-key": key.apiKey })],
  [
    "a key of their own beside the token",
    () => ({ authorization: `Bearer ${key.apiKey}`, "x-api-key": FOREIGN_KEY }),
  ],
  [
    "a token of their own beside the key",
    () => ({ authorization: "Bearer sk-ant-oat01-their-own", "x-api-key": key.apiKey }),
  ],
];

describe.each(shapes)("Claude Code $name", (shape) => {
  describe.each(["", "/api"])('with the base URL "%s"', (base) => {
    test.each(credentials)("sends a turn with %s", async (_name, credential) => {
      const headers = headersOf(shape, SESSION);
      const body = turnOf(shape, SESSION);
      expect(body.length).toBeGreaterThan(40_000);
      const answer = await sendRaw(relay.url, {
        path: `${base}/v1/messages?beta=true`,
        headers: { ...headers, ...credential() },
        body,
      });
      expect(answer.status).toBe(200);
      expect(relay.fake.ledger.entries()).toHaveLength(1);
      const entry = relay.fake.ledger.last();
      expect(entry.path + entry.query).toBe("/v1/messages?beta=true");
      expect(entry.requestBodySha256).toBe(sha256(body));
      expect(entry.requestHeaders).toMatchObject(headers);
      expect(entry.violations).toEqual([]);
      expect(JSON.stringify(entry.requestHeaders)).not.toContain("their");
      expect(sha256(answer.body)).toBe(entry.responseBodySha256);
    });
  });

  test("stays with one account for a session, and spreads sessions", async () => {
    const accounts = new Set<string | null>();
    // So many that all fall to two of the three accounts once in some millions of runs.
    for (let index = 0; index < 40; index += 1) {
      const session = randomUUID();
      relay.fake.reset();
      for (let turn = 0; turn < 2; turn += 1) {
        const answer = await sendRaw(relay.url, {
          path: "/v1/messages?beta=true",
          headers: { ...headersOf(shape, session), "x-api-key": key.apiKey },
          body: turnOf(shape, session),
        });
        expect(answer.status).toBe(200);
      }
      const used = new Set(relay.fake.ledger.entries().map(({ account }) => account));
      expect(used.size).toBe(1);
      for (const account of used) accounts.add(account);
    }
    expect(accounts).toEqual(new Set(ACCOUNTS));
  });
});

test("one session is one session, however it is written", async () => {
  for (let index = 0; index < 8; index += 1) {
    const session = randomUUID();
    relay.fake.reset();
    for (const shape of shapes) {
      await sendRaw(relay.url, {
        headers: { ...headersOf(shape, session), "x-api-key": key.apiKey },
        body: turnOf(shape, session),
      });
    }
    const used = relay.fake.ledger.entries().map(({ account }) => account);
    expect(used).toHaveLength(2);
    expect(used[0]).toBe(used[1]);
  }
});

test.each(["/", "/api/hello", "/api/api/hello"])("HEAD %s needs no key", async (path) => {
  const answer = await sendRaw(relay.url, { method: "HEAD", path });
  expect(answer.status).toBe(200);
  expect(answer.body.length).toBe(0);
  expect(relay.fake.ledger.entries()).toEqual([]);
});

test("telemetry is answered 404 without asking anyone", async () => {
  const body = JSON.stringify({
    events: [{ event_type: "x", data: randomBytes(9_000).toString("hex") }],
  });
  for (const headers of [{}, { "x-api-key": key.apiKey }, { authorization: "Bearer nothing" }]) {
    for (const path of ["/api/event_logging/batch", "/api/event_logging/v2/batch"]) {
      const answer = await sendRaw(relay.url, {
        path,
        headers: { "content-type": "application/json", ...headers },
        body,
      });
      expect(answer.status, path).toBe(404);
    }
  }
  expect(relay.fake.ledger.entries()).toEqual([]);
});

test("25 counts at once are all answered, and nothing is billed", async () => {
  const own = await relay.createKey();
  const [shape] = shapes;
  if (shape === undefined) throw new Error("no shape");
  const answers: RawAnswer[] = await Promise.all(
    Array.from({ length: 25 }, (_, index) =>
      sendRaw(relay.url, {
        path: "/v1/messages/count_tokens?beta=true",
        headers: { ...headersOf(shape, SESSION), authorization: `Bearer ${own.apiKey}` },
        body: JSON.stringify({
          model: MODEL,
          messages: [{ role: "user", content: "x".repeat(400 * index) }],
        }),
      }),
    ),
  );
  const counts = answers.map(({ status, body }) => ({ status, ...JSON.parse(body.toString()) }));
  for (const count of counts) {
    expect(count).toMatchObject({ status: 200, input_tokens: expect.any(Number) });
  }
  expect(new Set(counts.map(({ input_tokens: tokens }) => tokens)).size).toBe(25);
  const entries = relay.fake.ledger.byPath("/v1/messages/count_tokens");
  expect(entries).toHaveLength(25);
  expect(entries.every(({ query }) => query === "?beta=true")).toBe(true);
  expect((await relay.settledUsage(own)).usage.total).toMatchObject({ requests: 0, allTokens: 0 });
});

test.each([
  ["an apiKeyHelper's x-api-key alone", () => ({ "x-api-key": key.apiKey })],
  ["a bearer", () => ({ authorization: `Bearer ${key.apiKey}` })],
] as const)("models are discovered with %s, and without a redirect", async (_name, credential) => {
  for (const base of ["", "/api"]) {
    const answer = await sendRaw(relay.url, {
      method: "GET",
      path: `${base}/v1/models?limit=1000`,
      headers: { "anthropic-version": "2023-06-01", ...credential() },
    });
    expect(answer.status).toBe(200);
    const { data } = JSON.parse(answer.body.toString()) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual(DEFAULT_MODELS);
  }
});

test.each([
  "/v1//messages",
  "//v1/messages",
  "/api//v1//messages",
  "/claude/v1/messages",
  "/v1/messages/",
])("SillyTavern finds messages at %s", async (path) => {
  const body = JSON.stringify({
    model: MODEL,
    max_tokens: 50,
    stream: true,
    messages: [{ role: "user", content: "Hi" }],
  });
  const answer = await sendRaw(relay.url, {
    path,
    headers: {
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
      "x-api-key": key.apiKey,
      connection: "close",
    },
    body,
  });
  const entry = relay.fake.ledger.last();
  expect(answer.status).toBe(200);
  expect(answer.isWhole).toBe(true);
  expect(entry.path).toBe("/v1/messages");
  expect(sha256(answer.body)).toBe(entry.responseBodySha256);
  expect(entry.requestBodySha256).toBe(sha256(body));
});
