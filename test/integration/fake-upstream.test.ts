import { createHash, randomBytes } from "node:crypto";
import { type IncomingMessage, request } from "node:http";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { afterAll, beforeEach, expect, test } from "vitest";
import {
  type Fault,
  faults,
  type LedgerEntry,
  requestUsageOf,
  startFakeUpstream,
} from "../fixtures/fake-upstream/index.ts";
import { DEFAULT_CLIENT_ID, DEFAULT_REDIRECT_URI } from "../fixtures/fake-upstream/settings.ts";

const BIG_BYTES = 10 * 1024 * 1024;
const VERSION = { "anthropic-version": "2023-06-01" };
const OAUTH_BETA = { "anthropic-beta": "oauth-2025-04-20" };

const fake = await startFakeUpstream();
const key = fake.accounts.addApiKey({ name: "key" });

beforeEach(() => fake.reset());
afterAll(() => fake.close());

function messageBody(extra: Record<string, unknown> = {}): string {
  return JSON.stringify({
    model: "claude-sonnet-5",
    max_tokens: 100,
    messages: [{ role: "user", content: "Hello" }],
    stream: true,
    ...extra,
  });
}

function keyHeaders(extra: Record<string, string> = {}): Record<string, string> {
  return { "x-api-key": key.apiKey, "content-type": "application/json", ...VERSION, ...extra };
}

async function postMessage(
  extra: Record<string, unknown> = {},
  headers: Record<string, string> = keyHeaders(),
): Promise<Response> {
  return await fetch(`${fake.url}/v1/messages?beta=true`, {
    method: "POST",
    headers,
    body: messageBody(extra),
  });
}

/** Reads an answer byte by byte as the network gave it: nothing is decoded, a break is no error. */
async function readRaw(
  fault: Fault,
  extra: Record<string, unknown> = {},
): Promise<{ body: Buffer; isWhole: boolean; headers: Record<string, unknown> }> {
  const outgoing = request(`${fake.url}/v1/messages`, {
    method: "POST",
    agent: false,
    headers: keyHeaders({ "x-fake-script": JSON.stringify(fault) }),
  });
  const opened = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once("response", resolve);
    outgoing.once("error", reject);
  });
  outgoing.end(messageBody(extra));
  const response = await opened;
  const chunks: Buffer[] = [];
  response.on("data", (chunk: Buffer) => chunks.push(chunk));
  response.on("error", () => {});
  await new Promise((resolve) => response.once("close", resolve));
  return {
    body: Buffer.concat(chunks),
    isWhole: response.complete,
    headers: response.headers,
  };
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function textOf(sse: string): string {
  return sse
    .split(/\r?\n/)
    .filter((line) => line.startsWith("data: ") && line.includes("text_delta"))
    .map((line) => JSON.parse(line.slice("data: ".length)).delta.text)
    .join("");
}

function consentUrl(changes: Record<string, string | null> = {}) {
  const verifier = randomBytes(48).toString("base64url");
  const state = randomBytes(32).toString("base64url");
  const url = new URL("https://claude.com/cai/oauth/authorize");
  const query = {
    code: "true",
    client_id: DEFAULT_CLIENT_ID,
    response_type: "code",
    redirect_uri: DEFAULT_REDIRECT_URI,
    scope: "user:profile user:inference",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    state,
    ...changes,
  };
  for (const [name, value] of Object.entries(query)) {
    if (value !== null) url.searchParams.set(name, value);
  }
  return { url: url.href, verifier, state };
}

async function callToken(body: Record<string, unknown>) {
  const response = await fetch(fake.oauth.tokenUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ client_id: DEFAULT_CLIENT_ID, ...body }),
  });
  return { status: response.status, body: await response.json() };
}

async function exchangeCode(consent: { url: string; verifier: string }, changes = {}) {
  const [code, state] = fake.oauth.authorize(consent.url).split("#");
  return await callToken({
    grant_type: "authorization_code",
    code,
    state,
    redirect_uri: DEFAULT_REDIRECT_URI,
    code_verifier: consent.verifier,
    ...changes,
  });
}

async function refresh(refreshToken: string) {
  return await callToken({ grant_type: "refresh_token", refresh_token: refreshToken });
}

async function profileStatus(accessToken: string): Promise<number> {
  const response = await fetch(`${fake.url}/api/oauth/profile`, {
    headers: { authorization: `Bearer ${accessToken}`, ...OAUTH_BETA },
  });
  await response.arrayBuffer();
  return response.status;
}

test("a stream has Anthropic's events in order and is billed as its usage says", async () => {
  const response = await postMessage();
  const sse = await response.text();
  const names = [...sse.matchAll(/^event: (\w+)$/gm)].map((match) => match[1]);
  expect(names.filter((name, index) => name !== names[index - 1])).toEqual([
    "message_start",
    "ping",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
  ]);
  expect(response.headers.get("request-id")).toMatch(/^req_01/);
  expect(response.headers.get("anthropic-organization-id")).toBe(key.organizationId);
  expect(response.headers.get("anthropic-ratelimit-requests-limit")).toBe("4000");

  await fake.ledger.settled();
  const entry = fake.ledger.last();
  const text = textOf(sse);
  expect(entry).toMatchObject({ account: "key", outcome: "finished", query: "?beta=true" });
  expect(entry.bill.outputTokens * 4).toBe(text.length);
  expect(entry.bill).toMatchObject(requestUsageOf(Buffer.from(messageBody())));
  expect(entry.requestBodySha256).toBe(sha256(Buffer.from(messageBody())));
  expect(entry.violations).toEqual([]);
  expect(JSON.stringify(entry)).not.toContain(key.apiKey);
});

test("bills add up by model, and neither failures nor count_tokens are billed", async () => {
  const cached = { role: "user", content: [{ type: "text", cache_control: { ttl: "1h" } }] };
  await (await postMessage()).text();
  await (await postMessage({ stream: false, messages: [cached] })).text();
  await (
    await postMessage({
      model: "claude-opus-5",
      speed: "fast",
      tools: [{ type: "web_search_20250305", name: "web_search" }],
    })
  ).text();
  fake.script({ model: "claude-opus-5" }, faults.overloaded());
  expect((await postMessage({ model: "claude-opus-5" })).status).toBe(529);
  const counted = await fetch(`${fake.url}/v1/messages/count_tokens`, {
    method: "POST",
    headers: keyHeaders(),
    body: messageBody(),
  });
  expect(await counted.json()).toEqual({ input_tokens: Math.ceil(messageBody().length / 4) });

  await fake.ledger.settled();
  const totals = fake.ledger.totals();
  const entries = fake.ledger.entries();
  const sum = (field: keyof LedgerEntry["bill"]) =>
    entries.reduce((total, entry) => total + entry.bill[field], 0);
  expect(totals.bill).toEqual({
    inputTokens: sum("inputTokens"),
    outputTokens: 3 * 24,
    cacheWrite5mTokens: sum("cacheWrite5mTokens"),
    cacheWrite1hTokens: sum("cacheWrite1hTokens"),
    cacheReadTokens: sum("cacheReadTokens"),
    webSearches: 1,
  });
  expect(totals.bill.cacheWrite1hTokens).toBeGreaterThan(0);
  expect(totals.billByModel["claude-opus-5"]?.outputTokens).toBe(24);
  expect(totals.billByModel["claude-sonnet-5"]?.outputTokens).toBe(48);
  expect(entries[2]?.billLines[0]?.speed).toBe("fast");
  expect(entries.slice(3).every((entry) => entry.billLines.length === 0)).toBe(true);
  expect(totals).toMatchObject({ requests: 5, inFlight: 0, violations: 0 });
});

const ODD_ANSWERS: [string, Fault][] = [
  ["one byte a write", faults.oneByteWrites()],
  ["given sizes", faults.splitAt(7, 1, 300)],
  ["random sizes", faults.randomSplit(42)],
  ["a single write", faults.singleWrite()],
  ["cuts inside UTF-8", faults.splitUtf8()],
  ["CRLF and noise", { ...faults.crlf(), ...faults.noise(), ...faults.randomSplit(7) }],
  ["10 MB", faults.bigAnswer(BIG_BYTES)],
];

test.each(ODD_ANSWERS)("the ledger's hash is that of the bytes received: %s", async (_, fault) => {
  const { body, isWhole } = await readRaw(fault);
  await fake.ledger.settled();
  const entry = fake.ledger.last();
  expect(isWhole).toBe(true);
  expect(entry.responseBodyBytes).toBe(body.length);
  expect(entry.responseBodySha256).toBe(sha256(body));
  expect(entry.identityBodySha256).toBe(entry.responseBodySha256);
  expect(textOf(body.toString()).length).toBe(entry.bill.outputTokens * 4);
  expect(body.includes("\r\n")).toBe(fault.crlf === true);
});

test("compressed answers are booked both as sent and as they were before", async () => {
  for (const encoding of ["gzip", "br"] as const) {
    for (const stream of [true, false]) {
      const { body, headers } = await readRaw({ encoding, ...faults.randomSplit(3) }, { stream });
      await fake.ledger.settled();
      const entry = fake.ledger.last();
      const identity = encoding === "gzip" ? gunzipSync(body) : brotliDecompressSync(body);
      expect(headers["content-encoding"]).toBe(encoding);
      expect(entry.responseBodySha256).toBe(sha256(body));
      expect(entry.identityBodySha256).toBe(sha256(identity));
      expect(entry.identityBodyBytes).toBe(identity.length);
      expect(entry.bill.outputTokens).toBe(24);
    }
  }
  expect((await readRaw(faults.gzip(true))).headers["content-encoding"]).toBeUndefined();
});

test("a caller that leaves is noticed and billed for what was streamed", async () => {
  const caller = new AbortController();
  const response = await fetch(`${fake.url}/v1/messages`, {
    method: "POST",
    headers: keyHeaders({ "x-fake-script": JSON.stringify(faults.stallAfterEvents(6)) }),
    body: messageBody(),
    signal: caller.signal,
  });
  await fake.ledger.waitFor((entry) => entry.eventsSent === 6);
  expect(fake.ledger.totals()).toMatchObject({ inFlight: 1, maxInFlight: 1 });
  caller.abort();
  await expect(response.text()).rejects.toThrow();
  await fake.ledger.settled();
  const entry = fake.ledger.last();
  // message_start, ping, content_block_start and three deltas of four tokens
  expect(entry).toMatchObject({ outcome: "client_closed", eventsSent: 6 });
  expect(entry.bill).toMatchObject({ outputTokens: 12, webSearches: 0 });
  expect(entry.bill.inputTokens).toBeGreaterThan(0);
  expect(entry.endedAfterMs).toBeGreaterThan(0);
});

test("streams break at the event or byte that was asked for", async () => {
  const atByte = await readRaw(faults.destroyAfterBytes(500));
  expect(atByte).toMatchObject({ isWhole: false });
  expect(atByte.body.length).toBe(500);
  const atEvent = await readRaw(faults.resetAfterEvents(4));
  expect(atEvent.isWhole).toBe(false);
  const ended = await readRaw(faults.endAfterEvents(4));
  expect(ended.isWhole).toBe(true);
  expect(ended.body.includes("message_stop")).toBe(false);
  const failed = await readRaw({ ...faults.errorEventAfter(4), ...faults.gzip() });
  expect(gunzipSync(failed.body).toString()).toContain('"type":"overloaded_error"');
  const short = await readRaw(faults.tooLongLength(), { stream: false });
  expect(short.isWhole).toBe(false);
  expect(Number(short.headers["content-length"])).toBe(short.body.length + 1000);
  await expect(readRaw(faults.resetBeforeHead())).rejects.toThrow();

  await fake.ledger.settled();
  expect(fake.ledger.entries().map((entry) => [entry.outcome, entry.eventsSent])).toEqual([
    ["reset", expect.any(Number)],
    ["reset", 4],
    ["finished", 4],
    ["finished", 5],
    ["reset", 1],
    ["reset", 0],
  ]);
});

test("everything that an honest gateway never sends is a violation", async () => {
  const relayKey = `cr_${"0a".repeat(32)}`;
  await postMessage(
    {},
    {
      ...keyHeaders(),
      authorization: `Bearer ${relayKey}`,
      cookie: "a=b",
      "cf-connecting-ip": "192.0.2.1",
      "x-forwarded-for": "192.0.2.1",
      "x-real-ip": "192.0.2.1",
      forwarded: "for=192.0.2.1",
      origin: "https://example.com",
      "proxy-authorization": "Basic x",
      "x-note": relayKey,
    },
  );
  const entry = fake.ledger.last();
  expect(entry.status).toBe(401);
  expect([...entry.violations].sort()).toEqual([
    "both_credentials",
    "browser_header:cookie",
    "browser_header:origin",
    "client_network_header:forwarded",
    "client_network_header:x-forwarded-for",
    "client_network_header:x-real-ip",
    "edge_header:cf-connecting-ip",
    "hop_by_hop:proxy-authorization",
    "missing_oauth_beta",
    "relay_key:authorization",
    "relay_key:x-note",
  ]);
  expect(JSON.stringify(entry)).not.toContain(relayKey);

  fake.configure({ toleratedHeaders: ["cf-worker"] });
  const tolerated = keyHeaders({ "cf-worker": "example.com" });
  delete tolerated["anthropic-version"];
  expect((await postMessage({}, tolerated)).status).toBe(400);
  expect(fake.ledger.last().violations).toEqual(["missing_version"]);
});

test("a request must be valid to be answered", async () => {
  const missing = await postMessage({ max_tokens: undefined });
  expect(missing.status).toBe(400);
  expect(await missing.json()).toEqual({
    type: "error",
    error: { type: "invalid_request_error", message: "max_tokens: Field required" },
    request_id: missing.headers.get("request-id"),
  });
  expect((await postMessage({ messages: [] })).status).toBe(400);
  expect((await postMessage({ model: "claude-unknown-9" })).status).toBe(404);
  expect((await postMessage({}, keyHeaders({ "x-api-key": "sk-ant-api03-x" }))).status).toBe(401);
  expect((await postMessage({}, keyHeaders({ "content-type": "text/plain" }))).status).toBe(400);
  expect((await fetch(`${fake.url}/v1//messages`, { method: "POST" })).status).toBe(404);
  expect((await fetch(fake.url, { method: "HEAD" })).status).toBe(200);
});

test("tools are answered with tool_use, their results with text", async () => {
  const tools = [
    {
      name: "weather",
      input_schema: {
        type: "object",
        properties: { city: { type: "string" }, days: { type: "integer" } },
        required: ["city", "days"],
      },
    },
  ];
  const sse = await (await postMessage({ tools })).text();
  const json = [...sse.matchAll(/"partial_json":("(?:[^"\\]|\\.)*")/g)]
    .map((match) => JSON.parse(match[1] ?? '""'))
    .join("");
  expect(JSON.parse(json)).toEqual({ city: "fake value", days: 1 });
  expect(sse).toContain('"stop_reason":"tool_use"');
  expect(fake.ledger.last().bill.outputTokens * 4).toBe(json.length);
  const result = { type: "tool_result", tool_use_id: "toolu_1", content: "sunny" };
  const messages = [{ role: "user", content: [result] }];
  const answer = await (await postMessage({ tools, messages, stream: false })).json();
  expect(answer.stop_reason).toBe("end_turn");
});

test("a thread lives in the account that made its message", async () => {
  const other = fake.accounts.addApiKey();
  const first = await (await postMessage({ stream: false })).json();
  const thread = { type: "continue", previous_message_id: first.id };
  expect((await postMessage({ thread })).status).toBe(200);
  const strange = await postMessage({ thread }, keyHeaders({ "x-api-key": other.apiKey }));
  expect(strange.status).toBe(404);
  expect((await strange.json()).error.details.error_code).toBe("thread_not_found");
});

test("scripted faults strike in order, as often as asked, and only where they match", async () => {
  fake.script({ account: "key", times: 2 }, faults.rateLimited({ retryAfterSeconds: 9 }));
  fake.script({}, faults.bareRateLimit());
  const limited = await postMessage();
  expect(limited.status).toBe(429);
  expect(limited.headers.get("retry-after")).toBe("9");
  expect(limited.headers.get("anthropic-ratelimit-unified-status")).toBe("rejected");
  await postMessage();
  const bare = await postMessage();
  const names = [...bare.headers.keys()];
  expect(bare.headers.get("x-should-retry")).toBe("true");
  expect(names.filter((name) => name.startsWith("anthropic-ratelimit"))).toEqual([]);
  expect((await postMessage()).status).toBe(200);
  expect(fake.ledger.entries().map((entry) => entry.fault)).toEqual([
    "rate_limited",
    "rate_limited",
    "bare_rate_limit",
    null,
  ]);
});

test("a fault can last until a time, or strike each so-manieth request only", async () => {
  let nowMs = 1_000_000;
  const timed = await startFakeUpstream({ now: () => nowMs });
  try {
    const { apiKey } = timed.accounts.addApiKey({ name: "timed" });
    const statuses = async (count: number) => {
      const seen: number[] = [];
      for (let index = 0; index < count; index += 1) {
        const answer = await fetch(`${timed.url}/v1/messages`, {
          method: "POST",
          headers: keyHeaders({ "x-api-key": apiKey }),
          body: messageBody(),
        });
        await answer.arrayBuffer();
        seen.push(answer.status);
      }
      return seen;
    };
    timed.script({ untilMs: nowMs + 1_000 }, faults.overloaded());
    expect(await statuses(3)).toEqual([529, 529, 529]);
    nowMs += 1_000;
    expect(await statuses(1)).toEqual([200]);
    const everyThird = timed.script({ every: 3, times: 2 }, faults.internalError());
    expect(await statuses(8)).toEqual([200, 200, 500, 200, 200, 500, 200, 200]);
    expect(everyThird.remaining()).toBe(0);
  } finally {
    await timed.close();
  }
});

test("an API key is told its limits, full or used up; a fault can forbid to try again", async () => {
  const told = (headers: Headers, name: string) =>
    ["limit", "remaining", "reset"].map((field) =>
      headers.get(`anthropic-ratelimit-${name}-${field}`),
    );
  const resetAtMs = Date.UTC(2099, 0, 1);
  fake.accounts.setLimits("key", {
    keyLimits: { requests: { limit: 50, remaining: 5, resetAtMs } },
  });
  const served = await postMessage();
  await served.arrayBuffer();
  expect(told(served.headers, "requests")).toEqual(["50", "5", "2099-01-01T00:00:00Z"]);
  expect(told(served.headers, "tokens").slice(0, 2)).toEqual(["2400000", "2400000"]);
  fake.accounts.setLimits("key", {});

  fake.script({}, faults.keyRateLimited({ limit: "output-tokens", retryAfterSeconds: 7 }));
  const refused = await postMessage();
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("7");
  expect(told(refused.headers, "output-tokens").slice(0, 2)).toEqual(["1000", "0"]);
  await refused.arrayBuffer();

  fake.script({}, { ...faults.internalError(), ...faults.shouldRetry(false) });
  const final = await postMessage();
  expect(final.status).toBe(500);
  expect(final.headers.get("x-should-retry")).toBe("false");
  await final.arrayBuffer();
});

test("a usage override shows on the wire; only sound counts are billed", async () => {
  const scripted = (fault: Fault) => keyHeaders({ "x-fake-script": JSON.stringify(fault) });
  const odd = faults.usage({ input_tokens: -5, output_tokens: "many" }, ["service_tier"]);
  const answer = await (await postMessage({ stream: false }, scripted(odd))).json();
  expect(answer.usage).toMatchObject({ input_tokens: -5, output_tokens: "many" });
  expect(answer.usage.service_tier).toBeUndefined();
  expect(fake.ledger.last().bill).toMatchObject({ outputTokens: 24 });
  const sound = faults.usage({ input_tokens: 1_000_000, output_tokens: 5 });
  await (await postMessage({}, scripted(sound))).text();
  expect(fake.ledger.last().bill).toMatchObject({ inputTokens: 1_000_000, outputTokens: 5 });
  const iterated = faults.answer({
    iterations: [
      { type: "advisor_message", model: "claude-opus-5", inputTokens: 70, outputTokens: 7 },
    ],
  });
  await (await postMessage({}, scripted(iterated))).text();
  expect(fake.ledger.last().billLines.map((line) => line.model)).toEqual([
    "claude-sonnet-5",
    "claude-opus-5",
  ]);
});

test("an authorization URL must be exactly right", () => {
  const [code, state] = fake.oauth.authorize(consentUrl().url).split("#");
  expect(code?.length).toBeGreaterThan(40);
  expect(state?.length).toBe(43);
  const wrong: Record<string, string | null>[] = [
    { client_id: "other" },
    { redirect_uri: "https://example.com/" },
    { response_type: "token" },
    { code_challenge: "short" },
    { code_challenge_method: "plain" },
    { state: "0123456789" },
    { scope: "" },
    { scope: "user:profile user:everything" },
    { state: null },
  ];
  for (const changes of wrong) {
    expect(() => fake.oauth.authorize(consentUrl(changes).url)).toThrow("refused");
  }
});

test("a code is exchanged once, and only with its state and verifier", async () => {
  const refusals = [
    await exchangeCode(consentUrl(), { code_verifier: randomBytes(48).toString("base64url") }),
    await exchangeCode(consentUrl(), { state: undefined }),
    await exchangeCode(consentUrl(), { state: randomBytes(32).toString("base64url") }),
    await exchangeCode(consentUrl(), { redirect_uri: "https://example.com/" }),
  ];
  for (const refusal of refusals) {
    expect(refusal.status).toBe(400);
    expect(refusal.body.error_description).toBe("Invalid 'code' in request.");
  }
  const consent = consentUrl();
  const [code, state] = fake.oauth.authorize(consent.url, { account: "alice" }).split("#");
  const proof = {
    grant_type: "authorization_code",
    code,
    state,
    redirect_uri: DEFAULT_REDIRECT_URI,
    code_verifier: consent.verifier,
  };
  const good = await callToken(proof);
  expect(good).toMatchObject({
    status: 200,
    body: {
      access_token: expect.stringMatching(/^sk-ant-oat01-/),
      refresh_token: expect.stringMatching(/^sk-ant-ort01-/),
      expires_in: 28_800,
      scope: "user:profile user:inference",
      account: { email_address: "alice@example.com" },
    },
  });
  expect(await profileStatus(good.body.access_token)).toBe(200);
  expect((await callToken(proof)).status).toBe(400);
  expect(fake.ledger.tokenCalls().map((call) => call.outcome)).toEqual([
    "invalid_code",
    "invalid_code",
    "invalid_code",
    "invalid_code",
    "granted",
    "invalid_code",
  ]);
});

test("a refresh token works once; its second use kills the whole family", async () => {
  const login = fake.accounts.addOAuth({ name: "bob" });
  const first = await refresh(login.refreshToken ?? "");
  expect(first.status).toBe(200);
  const second = await refresh(first.body.refresh_token);
  expect(second.status).toBe(200);
  expect(await profileStatus(second.body.access_token)).toBe(200);

  const reuse = await refresh(first.body.refresh_token);
  expect(reuse).toMatchObject({ status: 400, body: { error: "invalid_grant" } });
  expect(await profileStatus(second.body.access_token)).toBe(401);
  expect(await profileStatus(login.accessToken)).toBe(401);
  expect((await refresh(second.body.refresh_token)).status).toBe(400);
  expect(fake.ledger.totals().familiesRevoked).toBe(1);
  expect(fake.accounts.state("bob")).toMatchObject({ liveAccessTokens: 0, liveRefreshTokens: 0 });
  expect(fake.ledger.tokenCalls().map((call) => call.outcome)).toEqual([
    "granted",
    "granted",
    "family_revoked",
    "invalid_refresh_token",
  ]);
});

test("a lost answer has rotated all the same", async () => {
  const login = fake.accounts.addOAuth();
  fake.script({ grantType: "refresh_token" }, faults.loseResponse());
  await expect(refresh(login.refreshToken ?? "")).rejects.toThrow();
  expect((await refresh(login.refreshToken ?? "")).status).toBe(400);
  expect(fake.ledger.tokenCalls().map((call) => call.outcome)).toEqual([
    "granted_response_lost",
    "family_revoked",
  ]);
});

test("setup tokens, kept refresh tokens and expiry follow the settings", async () => {
  const setup = consentUrl({ scope: "user:inference" });
  const year = { expires_in: 31_536_000 };
  const token = await exchangeCode(setup, year);
  expect(token.body).toMatchObject({ ...year, scope: "user:inference" });
  expect(token.body.refresh_token).toBeUndefined();
  expect(await profileStatus(token.body.access_token)).toBe(403);
  fake.configure({ rejectSetupTokens: true, omitRefreshToken: true });
  expect((await exchangeCode(consentUrl({ scope: "user:inference" }), year)).status).toBe(400);

  const login = fake.accounts.addOAuth({ name: "carol" });
  const kept = await refresh(login.refreshToken ?? "");
  expect(kept.body.refresh_token).toBeUndefined();
  expect((await refresh(login.refreshToken ?? "")).status).toBe(200);
  fake.accounts.expireAccessTokens("carol");
  expect(await profileStatus(login.accessToken)).toBe(401);
});

test("an OAuth account needs the beta and is told its windows", async () => {
  const login = fake.accounts.addOAuth({
    name: "dave",
    limits: { windows: { "5h": { utilization: 0.86 }, "7d_oi": { utilization: 1.02 } } },
  });
  const headers = {
    authorization: `Bearer ${login.accessToken}`,
    "content-type": "application/json",
    ...VERSION,
  };
  expect((await postMessage({}, headers)).status).toBe(401);
  expect(fake.ledger.last().violations).toEqual(["missing_oauth_beta"]);
  const response = await postMessage({}, { ...headers, "anthropic-beta": "a-1,oauth-2025-04-20" });
  expect(response.headers.get("anthropic-ratelimit-unified-5h-utilization")).toBe("0.86");
  expect(response.headers.get("anthropic-ratelimit-unified-7d_oi-utilization")).toBe("1.02");
  const usage = await fetch(`${fake.url}/api/oauth/usage`, {
    headers: { authorization: headers.authorization, ...OAUTH_BETA },
  });
  expect((await usage.json()).five_hour.utilization).toBe(86);
});

test("the same can be done over HTTP, and leaves no trace in the ledger", async () => {
  const control = async (path: string, body: unknown) =>
    await fetch(`${fake.url}/__fake/${path}`, { method: "POST", body: JSON.stringify(body) });
  const added = await (await control("accounts/add-api-key", { name: "remote" })).json();
  await control("script", { match: { account: "remote" }, fault: faults.unavailable() });
  const headers = keyHeaders({ "x-api-key": added.apiKey });
  expect((await postMessage({}, headers)).status).toBe(503);
  const { code } = await (await control("authorize", { url: consentUrl().url })).json();
  expect(code).toContain("#");
  expect((await control("authorize", { url: "https://example.com/" })).status).toBe(400);
  const dump = await (await fetch(`${fake.url}/__fake/ledger`)).json();
  expect(dump.entries).toHaveLength(1);
  expect(dump.totals).toMatchObject({ requestsByAccount: { remote: 1 } });
  await control("reset", {});
  expect(fake.ledger.entries()).toEqual([]);
});
