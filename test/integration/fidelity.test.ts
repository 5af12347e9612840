import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  type Leaving,
  openRaw,
  type RawAnswer,
  type RawRequest,
  sendRaw,
  sha256,
  startRaw,
} from "../clients/raw-client.ts";
import {
  FAULT_HEADER,
  type Fault,
  faults,
  type LedgerEntry,
} from "../fixtures/fake-upstream/index.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";

const OAUTH_BETA = "oauth-2025-04-20";
const BIG_BYTES = 10 * 1024 * 1024;
/** Headers of one connection, which each side makes for itself. */
const HOP_HEADERS = ["connection", "keep-alive", "transfer-encoding", "date"];

/** Behind it: an account with an API key. */
let relay: TestRelay;
let key: RelayKey;
/** Behind it: an OAuth account. Hides rate limits from clients. */
let planRelay: TestRelay;
let planKey: RelayKey;
let planAccount: string;
let consoleAccount: string;

beforeAll(async () => {
  [relay, planRelay] = await Promise.all([
    TestRelay.start(),
    TestRelay.start({ vars: { RATE_LIMIT_HEADERS: "strip" } }),
  ]);
  [planAccount, consoleAccount] = await Promise.all([
    planRelay.addOAuthAccount("plan"),
    relay.addApiKeyAccount("console"),
  ]);
  [key, planKey] = await Promise.all([relay.createKey(), planRelay.createKey()]);
});
beforeEach(async () => {
  relay.fake.reset();
  planRelay.fake.reset();
  // An error event rests an account for its model's family, as an error in its place would.
  await relay.admin("POST", `/claude-accounts/${consoleAccount}/reset`);
});
afterAll(() => Promise.all([relay.stop(), planRelay.stop()]));

function messageBody(fields: Record<string, unknown> = {}): string {
  return JSON.stringify({
    model: "claude-sonnet-5",
    max_tokens: 256,
    messages: [{ role: "user", content: "Hello" }],
    stream: true,
    ...fields,
  });
}

function requestOf(
  fault: Fault,
  fields: Record<string, unknown> = {},
  headers: Record<string, string> = {},
  sender: RelayKey = key,
): RawRequest {
  return {
    headers: {
      "x-api-key": sender.apiKey,
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
      [FAULT_HEADER]: JSON.stringify(fault),
      ...headers,
    },
    body: messageBody(fields),
  };
}

/** What the fake did for an answer, found by the id that it gave. */
async function entryOf(
  { headers }: Pick<RawAnswer, "headers">,
  through: TestRelay = relay,
): Promise<LedgerEntry> {
  return through.fake.ledger.waitFor(
    ({ requestId, outcome }) => requestId === headers["request-id"] && outcome !== "pending",
  );
}

/** Every header of upstream's but those of its own connection, and none more but the relay's id. */
function expectHeadersOf(entry: LedgerEntry, { headers }: RawAnswer): void {
  const expected: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(entry.responseHeaders)) {
    if (!HOP_HEADERS.includes(name)) expected[name] = value;
  }
  const came = { ...headers };
  for (const name of HOP_HEADERS) delete came[name];
  expect(came["x-relay-request-id"]).toMatch(/^rly_/);
  delete came["x-relay-request-id"];
  // A length that upstream did not declare is no change of the answer.
  if (expected["content-length"] === undefined) delete came["content-length"];
  expect(came).toEqual(expected);
}

function expectSameBytes(answer: RawAnswer, entry: LedgerEntry): void {
  expect(answer.isWhole).toBe(true);
  expect(answer.body.length).toBe(entry.responseBodyBytes);
  expect(sha256(answer.body)).toBe(entry.responseBodySha256);
}

describe("an answer reaches the client as upstream sent it", () => {
  const seeds = [1, 2, 3, 4, 5];
  const streams: [string, Fault][] = [
    ["one write an event", {}],
    ["one byte a write", faults.oneByteWrites()],
    [
      "one byte a write, with noise and CRLF",
      { ...faults.oneByteWrites(), noise: true, crlf: true },
    ],
    ...seeds.map((seed): [string, Fault] => [
      `writes of random sizes, seed ${seed}`,
      { ...faults.randomSplit(seed, 200), answer: { multibyte: true, outputTokens: 300 } },
    ]),
    ["odd sizes in turn", faults.splitAt(7, 1, 900, 3, 64)],
    ["characters split over writes", faults.splitUtf8()],
    ["one single write", faults.singleWrite()],
    ["CRLF line ends", faults.crlf()],
    ["pings, unknown events and comments in between", faults.noise()],
    ["noise, cut at random", { ...faults.noise(), ...faults.randomSplit(9, 40) }],
    ["multi-byte text", faults.answer({ multibyte: true, outputTokens: 2_000 })],
    ["thinking first", faults.answer({ thinkingTokens: 64 })],
    ["a declared length", { length: "exact" }],
    ["gzip, though nobody asked for it", faults.gzip()],
    ["gzip, cut at random", { ...faults.gzip(), ...faults.randomSplit(4, 30) }],
    ["brotli, though nobody asked for it", faults.brotli()],
    ["an error event that ends it", faults.errorEventAfter(5)],
    ["10 MB", faults.bigAnswer(BIG_BYTES)],
  ];
  test.each(streams)("stream: %s", async (_name, fault) => {
    const answer = await sendRaw(relay.url, requestOf(fault));
    const entry = await entryOf(answer);
    expect(answer.status).toBe(200);
    expectSameBytes(answer, entry);
    expectHeadersOf(entry, answer);
    expect(entry.outcome).toBe("finished");
    expect(entry.violations).toEqual([]);
  });

  const wholes: [string, Fault][] = [
    ["with a declared length", {}],
    ["chunked", { length: "chunked" }],
    ["chunked, one byte a write", { length: "chunked", ...faults.oneByteWrites() }],
    ["characters split over writes", { ...faults.splitUtf8(), length: "chunked" }],
    ["multi-byte text", faults.answer({ multibyte: true, outputTokens: 2_000 })],
    ["gzip", faults.gzip()],
    ["gzip, chunked", { ...faults.gzip(), length: "chunked" }],
    ["brotli", faults.brotli()],
    ["10 MB with a declared length", faults.bigAnswer(BIG_BYTES)],
    ["10 MB chunked", { ...faults.bigAnswer(BIG_BYTES), length: "chunked" }],
    [
      "10 MB chunked and gzip",
      { ...faults.bigAnswer(BIG_BYTES), ...faults.gzip(), length: "chunked" },
    ],
  ];
  test.each(wholes)("JSON: %s", async (_name, fault) => {
    const answer = await sendRaw(relay.url, requestOf(fault, { stream: false }));
    const entry = await entryOf(answer);
    expect(answer.status).toBe(200);
    expectSameBytes(answer, entry);
    expectHeadersOf(entry, answer);
    expect(entry.violations).toEqual([]);
  });

  const hints = {
    "retry-after": "7",
    "x-should-retry": "false",
    "anthropic-fast-requests-remaining": "3",
    "anthropic-something-new": 'a, b;c="d"',
    "x-envoy-upstream-service-time": "12",
    server: "fake",
  };
  const refusals: [string, Fault][] = [
    ["400", faults.status(400, 'messages: "odd" text – mit Ümlaut, 你好')],
    ["403", faults.status(403, "Your account does not have access to this feature.")],
    ["404", faults.notFound("model: claude-nothing")],
    ["409", faults.status(409)],
    ["413", faults.tooLarge()],
    ["422 of plain text", { respond: { status: 422, body: "no JSON at all\r\n" } }],
    ["429 of long context", faults.extraUsageRequired()],
    ["400 without a body", { respond: { status: 400, body: "" } }],
    ["400 in gzip", { ...faults.status(400, "compressed"), ...faults.gzip() }],
    ["418 chunked", { ...faults.status(418, "tea"), length: "chunked" }],
  ];
  test.each(refusals)("error: %s", async (name, fault) => {
    const ascii = JSON.stringify({ ...fault, headers: hints }).replace(
      /[\u0080-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
    const answer = await sendRaw(relay.url, requestOf({}, {}, { [FAULT_HEADER]: ascii }));
    const entry = await entryOf(answer);
    expect(answer.status).toBe(Number.parseInt(name, 10));
    expectSameBytes(answer, entry);
    expectHeadersOf(entry, answer);
    expect(answer.headers).toMatchObject(hints);
    // Passed on, not tried again.
    expect(relay.fake.ledger.entries()).toHaveLength(1);
  });

  test("a 429 that no other account can take over comes with its retry-after and limits", async () => {
    const answer = await sendRaw(
      planRelay.url,
      requestOf(faults.rateLimited({ retryAfterSeconds: 33 }), {}, {}, planKey),
    );
    const entry = await entryOf(answer, planRelay);
    expect(answer.status).toBe(429);
    expectSameBytes(answer, entry);
    expect(answer.headers["retry-after"]).toBe("33");
    await planRelay.admin("POST", `/claude-accounts/${planAccount}/reset`);
  });

  test("a redirect is passed on and not followed", async () => {
    const location = `${relay.fake.url}/v1/elsewhere`;
    const answer = await sendRaw(relay.url, requestOf(faults.redirect(location)));
    expect(answer.status).toBe(307);
    expect(answer.headers.location).toBe(location);
    expect(relay.fake.ledger.entries().map(({ path }) => path)).toEqual(["/v1/messages"]);
    expectSameBytes(answer, await entryOf(answer));
  });

  test.each([true, false])(
    "upstream's cookies stay with the relay (stream: %s)",
    async (stream) => {
      const answer = await sendRaw(relay.url, requestOf(faults.setCookie(), { stream }));
      expect((await entryOf(answer)).responseHeaders["set-cookie"]).toBeDefined();
      expect(answer.status).toBe(200);
      expect(answer.headers["set-cookie"]).toBeUndefined();
    },
  );

  test.each([1, 3, 4, 7])(
    "event %i reaches the client while upstream is silent",
    async (events) => {
      const exchange = await openRaw(relay.url, requestOf(faults.stallAfterEvents(events)));
      const received = await exchange.until((bytes) => countEvents(bytes) === events);
      const entry = relay.fake.ledger.last();
      expect(entry.eventsSent).toBe(events);
      expect(entry.outcome).toBe("pending");
      expect(received.length).toBe(entry.responseBodyBytes);
      exchange.leave();
    },
  );

  test.each([
    ["pass", () => relay, () => key],
    ["strip", () => planRelay, () => planKey],
  ] as const)("RATE_LIMIT_HEADERS=%s", async (mode, through, sender) => {
    const extra = {
      "anthropic-ratelimit-something-new": "1",
      "anthropic-priority-input-tokens-remaining": "2",
      "retry-after": "3",
    };
    for (const stream of [true, false]) {
      const answer = await sendRaw(
        through().url,
        requestOf({ headers: extra }, { stream }, {}, sender()),
      );
      const entry = await entryOf(answer, through());
      const limits = Object.keys(entry.responseHeaders).filter((name) =>
        name.startsWith("anthropic-ratelimit-"),
      );
      expect(limits.length).toBeGreaterThan(2);
      if (mode === "strip") for (const name of limits) delete entry.responseHeaders[name];
      expectHeadersOf(entry, answer);
      expectSameBytes(answer, entry);
    }
  });
});

describe("a request reaches upstream as the client sent it", () => {
  const message = '"messages":[{"role":"user","content":"Hi"}]';
  const bodies: [string, string | Uint8Array[]][] = [
    [
      "odd whitespace",
      `\r\n\t {  "model" :\t"claude-sonnet-5" ,\n\n"max_tokens":\r\n 5,"messages" : [ {"role":"user" , "content":"Hi" } ] }\n\n  `,
    ],
    [
      "unknown keys, twice",
      `{"x_new":1,"model":"claude-sonnet-5","x_new":{"a":[1,2,{"b":null}],"a":2},"max_tokens":5,${message},"max_tokens":6}`,
    ],
    [
      "escapes that no serialiser would write",
      `{"mod\\u0065l":"claude\\u002dsonnet-5","max_tokens":5,"messages":[{"role":"\\u0075ser","content":"\\ud83d\\ude00 \\ud800 \\/ \\u00e9 \u00e9 \u{1f600}"}]}`,
    ],
    [
      "numbers in odd forms",
      `{"model":"claude-sonnet-5","max_tokens":1e2,"temperature":1.0000000000000000001,"top_k":-0,"x":1E400,${message}}`,
    ],
    [
      "5 MB",
      messageBody({ stream: false, messages: [{ role: "user", content: "é".repeat(2_500_000) }] }),
    ],
    ["chunked, without a length", pieces(messageBody({ stream: false }), [1, 9, 30])],
    [
      "chunked, 5 MB",
      pieces(
        messageBody({
          stream: false,
          messages: [{ role: "user", content: "x".repeat(5_000_000) }],
        }),
        [1, 70_000, 1_000_000, 2_500_000],
      ),
    ],
  ];
  test.each(bodies)("body: %s", async (_name, body) => {
    const answer = await sendRaw(relay.url, { ...requestOf({}), body });
    const bytes = typeof body === "string" ? Buffer.from(body) : Buffer.concat(body);
    const entry = relay.fake.ledger.last();
    expect(answer.status, answer.body.toString().slice(0, 500)).toBe(200);
    expect(entry.requestBodyBytes).toBe(bytes.length);
    expect(entry.requestBodySha256).toBe(sha256(bytes));
    expect(entry.violations).toEqual([]);
  });

  test("the query string arrives as it was written", async () => {
    const query = "?beta=true&x=%2F%c3%A9+a%20b&&=&beta=true&q=a/b//c";
    await sendRaw(relay.url, { ...requestOf({}), path: `/v1/messages${query}` });
    expect(relay.fake.ledger.last()).toMatchObject({ path: "/v1/messages", query });
  });

  const ownHeaders = {
    "user-agent": "claude-cli/2.1.330 (external, cli)",
    "anthropic-version": "2031-01-02",
    "anthropic-beta": "claude-code-20250219,  interleaved-thinking-2025-05-14,future-1",
    "anthropic-something-new": "yes; q=1",
    "anthropic-usage-limit": "slow",
    "x-claude-code-session-id": "11111111-2222-3333-4444-555555555555",
    "x-claude-code-agent-id": "agent-7",
    "x-claude-code-brand-new": "1",
    "x-app": "cli",
    "x-stainless-lang": "js",
    "x-stainless-retry-count": "0",
    accept: "application/json, text/event-stream;q=0.5",
    "accept-language": "*",
    "content-type": "application/json; charset=utf-8",
    "idempotency-key": "a-b-c",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  };

  test.each([
    ["API key", () => relay, () => key, ownHeaders["anthropic-beta"]],
    ["OAuth", () => planRelay, () => planKey, `${ownHeaders["anthropic-beta"]},${OAUTH_BETA}`],
  ] as const)(
    "the client's own headers arrive unchanged (%s)",
    async (_kind, through, sender, beta) => {
      const answer = await sendRaw(through().url, requestOf({}, {}, ownHeaders, sender()));
      expect(answer.status).toBe(200);
      const { requestHeaders, violations } = through().fake.ledger.last();
      expect(requestHeaders).toMatchObject({ ...ownHeaders, "anthropic-beta": beta });
      expect(violations).toEqual([]);
    },
  );

  const privateHeaders = {
    authorization: "Bearer sk-ant-api03-a-key-of-the-clients-own",
    "api-key": "a third credential",
    "proxy-authorization": "Basic c2VjcmV0",
    cookie: "session=secret; other=1",
    origin: "https://example.com",
    "cf-connecting-ip": "203.0.113.7",
    "cf-ray": "0123456789abcdef-TST",
    "cf-ipcountry": "DE",
    "cf-visitor": '{"scheme":"https"}',
    "cf-ew-via": "15",
    "cdn-loop": "cloudflare",
    "x-forwarded-for": "203.0.113.7, 198.51.100.1",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "relay.example.com",
    "x-real-ip": "203.0.113.7",
    "true-client-ip": "203.0.113.7",
    forwarded: "for=203.0.113.7",
    via: "1.1 proxy",
    te: "trailers",
    "keep-alive": "timeout=5",
    "proxy-connection": "keep-alive",
    connection: "keep-alive, x-hop",
    "x-hop": "of this connection",
  };
  test.each([
    ["API key", () => relay, () => key, "api_key"],
    ["OAuth", () => planRelay, () => planKey, "oauth"],
  ] as const)(
    "no client credential and nothing of the client's network goes upstream (%s)",
    async (_kind, through, sender, credential) => {
      const answer = await sendRaw(through().url, requestOf({}, {}, privateHeaders, sender()));
      expect(answer.status, answer.body.toString()).toBe(200);
      const entry = through().fake.ledger.last();
      expect(entry.violations).toEqual([]);
      expect(entry.credential).toBe(credential);
      const own = credential === "oauth" ? "authorization" : "x-api-key";
      for (const name of Object.keys(privateHeaders)) {
        if (name !== own && name !== "connection") {
          expect(entry.requestHeaders, name).not.toHaveProperty([name]);
        }
      }
      const sent = JSON.stringify(entry.requestHeaders);
      for (const secret of ["clients-own", "secret", "203.0.113.7", sender().apiKey]) {
        expect(sent).not.toContain(secret);
      }
    },
  );

  test.each(["x-client-ip", "x-cluster-client-ip", "cookie2"])(
    "%s tells of the client, so it stays here",
    async (name) => {
      await sendRaw(relay.url, requestOf({}, {}, { [name]: "203.0.113.7" }));
      expect(relay.fake.ledger.last().violations).toEqual([]);
    },
  );

  test.each([
    ["none", undefined, OAUTH_BETA, undefined],
    ["an empty one", "", OAUTH_BETA, ""],
    ["one", "a-1", `a-1,${OAUTH_BETA}`, "a-1"],
    ["a list", "a-1, b-2", `a-1, b-2,${OAUTH_BETA}`, "a-1, b-2"],
    ["it already", `a-1,${OAUTH_BETA}`, `a-1,${OAUTH_BETA}`, `a-1,${OAUTH_BETA}`],
    ["it already, first", `${OAUTH_BETA}, z`, `${OAUTH_BETA}, z`, `${OAUTH_BETA}, z`],
    ["a longer name", `${OAUTH_BETA}-x`, `${OAUTH_BETA}-x,${OAUTH_BETA}`, `${OAUTH_BETA}-x`],
  ])(
    "the OAuth beta is added once for OAuth and never for an API key: client sends %s",
    async (_name, sent, withOAuth, withApiKey) => {
      const headers: Record<string, string> = sent === undefined ? {} : { "anthropic-beta": sent };
      await sendRaw(planRelay.url, requestOf({}, {}, headers, planKey));
      await sendRaw(relay.url, requestOf({}, {}, headers));
      expect(planRelay.fake.ledger.last().requestHeaders["anthropic-beta"]).toBe(withOAuth);
      expect(relay.fake.ledger.last().requestHeaders["anthropic-beta"]).toBe(withApiKey);
    },
  );
});

describe("an answer that broke off never looks whole", () => {
  const long = { answer: { outputTokens: 400 } };
  const breaks: [string, Fault][] = [
    ["reset after 6 events", faults.resetAfterEvents(6)],
    ["closed after 6 events", faults.destroyAfterEvents(6)],
    ["ended cleanly after 6 events", faults.endAfterEvents(6)],
    ["reset inside an event", faults.resetAfterBytes(901)],
    ["closed inside an event", faults.destroyAfterBytes(901)],
    ["ended cleanly inside an event", { breakAt: { afterBytes: 901, action: "end" } }],
    ["ended cleanly before message_stop", faults.endAfterEvents(105)],
    ["ended cleanly after the head", faults.endAfterEvents(0)],
    ["closed after the first event", faults.destroyAfterEvents(1)],
    ["no events that can be read", faults.malformedSse()],
  ];
  test.each(breaks)("stream: %s", async (_name, fault) => {
    const sender = await relay.createKey();
    const answer = await sendRaw(relay.url, requestOf({ ...long, ...fault }, {}, {}, sender));
    const entry = await entryOf(answer);
    expect(answer.status).toBe(200);
    // What upstream sent comes first, to the byte.
    const prefix = answer.body.subarray(0, entry.responseBodyBytes);
    expect(prefix.length).toBe(entry.responseBodyBytes);
    expect(sha256(prefix)).toBe(entry.responseBodySha256);
    // Then, as an event of its own, the relay's word that this was not all.
    const tail = answer.body.subarray(entry.responseBodyBytes).toString();
    expect(tail).toMatch(/^\n\nevent: error\ndata: \{.*\}\n\n$/);
    expect(JSON.parse(tail.slice(tail.indexOf("{")))).toMatchObject({
      type: "error",
      error: { type: "api_error", message: expect.stringContaining("Relay: ") },
    });

    const { total } = (await relay.settledUsage(sender)).usage;
    expect(total).toMatchObject({
      requests: 1,
      failedRequests: 1,
      inputTokens: entry.bill.inputTokens,
      outputTokens: entry.bill.outputTokens,
    });
    // With the final counts in hand nothing has to be estimated, though the end is missing.
    const isCounted = prefix.includes("event: message_delta") || entry.bill.inputTokens === 0;
    expect(total.estimatedRequests).toBe(isCounted ? 0 : 1);
  });

  const cuts: [string, Fault, boolean][] = [
    ["a gzip stream", { ...faults.gzip(), ...faults.destroyAfterEvents(6) }, true],
    ["a gzip stream that ends cleanly", { ...faults.gzip(), ...faults.endAfterEvents(6) }, true],
    ["a stream of declared length", { length: "exact", ...faults.destroyAfterBytes(700) }, true],
    ["a stream longer than it is", { length: "too_long" }, true],
    ["small JSON, cut", faults.destroyAfterBytes(200), false],
    ["small JSON, reset", faults.resetAfterBytes(200), false],
    ["small JSON, longer than it is", faults.tooLongLength(), false],
    ["JSON of unknown length, cut", { length: "chunked", ...faults.destroyAfterBytes(200) }, false],
    ["JSON of unknown length, reset", { length: "chunked", ...faults.resetAfterBytes(200) }, false],
    [
      "JSON of unknown length, ended cleanly",
      { length: "chunked", breakAt: { afterBytes: 200, action: "end" } },
      false,
    ],
    [
      "large JSON, cut",
      { ...faults.bigAnswer(BIG_BYTES), ...faults.destroyAfterBytes(6_000_000) },
      false,
    ],
    [
      "large JSON, longer than it is",
      { ...faults.bigAnswer(BIG_BYTES), length: "too_long" },
      false,
    ],
    [
      "gzip JSON, cut",
      { ...faults.gzip(), length: "chunked", ...faults.destroyAfterBytes(90) },
      false,
    ],
  ];
  test.each(cuts)("%s", async (_name, fault, stream) => {
    const sender = await relay.createKey();
    const answer = await sendRaw(
      relay.url,
      requestOf({ ...long, ...fault }, { stream }, {}, sender),
    );
    if (answer.isWhole) {
      // Nothing had been passed on yet, so the relay could still say so in a status.
      expect(answer.status).toBeGreaterThanOrEqual(500);
      expect(JSON.parse(answer.body.toString())).toMatchObject({
        type: "error",
        error: { message: expect.stringContaining("Relay: ") },
      });
    } else {
      const entry = await entryOf(answer);
      expect(answer.body.length).toBeLessThanOrEqual(entry.responseBodyBytes);
    }
    const { total } = (await relay.settledUsage(sender)).usage;
    expect(total).toMatchObject({ requests: 1, failedRequests: 1 });
    // Upstream's own count, where it came; else an estimate that says so.
    if (total.estimatedRequests === 0) {
      expect(total.outputTokens).toBe(relay.fake.ledger.last().bill.outputTokens);
    }
  });
});

describe("when the client leaves, upstream is let go", () => {
  const pacedMs = 50;
  /** A minute of events, if nobody stops it. */
  const minute = faults.paced(1_200, pacedMs);

  test("in mid-stream: soon, and what was streamed is billed as an estimate", async () => {
    const sender = await relay.createKey();
    const exchange = await openRaw(relay.url, requestOf(minute, {}, {}, sender));
    const received = await exchange.until((bytes) => countEvents(bytes) >= 8);
    const seenTokens = Math.ceil(streamedChars(received) / 4);
    const sentBefore = relay.fake.ledger.last().eventsSent;
    exchange.leave();
    const entry = await entryOf(exchange);
    expect(entry.outcome).toBe("client_closed");
    // Told in events, not by a clock: one second of this stream.
    expect(entry.eventsSent - sentBefore).toBeLessThanOrEqual(1_000 / pacedMs);
    const { total } = (await relay.settledUsage(sender)).usage;
    expect(total).toMatchObject({
      requests: 1,
      failedRequests: 1,
      estimatedRequests: 1,
      unsettledRequests: 0,
      inputTokens: entry.bill.inputTokens,
    });
    expect(total.outputTokens).toBeGreaterThan(0);
    expect(total.outputTokens).toBeLessThanOrEqual(entry.bill.outputTokens);
    expect(seenTokens).toBeGreaterThan(0);
  });

  test.each([
    ["of a compressed stream", { ...minute, ...faults.gzip() }, "close"],
    ["of a compressed stream, abruptly", { ...minute, ...faults.gzip() }, "reset"],
  ] as [string, Fault, Leaving][])("in mid-stream, %s", async (_name, fault, how) => {
    const sender = await relay.createKey();
    const exchange = await openRaw(relay.url, requestOf(fault, {}, {}, sender));
    await exchange.until((bytes) => bytes.length > 300);
    exchange.leave(how);
    const entry = await entryOf(exchange);
    expect(entry.outcome).toBe("client_closed");
    const { total } = (await relay.settledUsage(sender)).usage;
    expect(total).toMatchObject({ requests: 1, estimatedRequests: 1 });
    expect(total.inputTokens).toBe(entry.bill.inputTokens);
  });

  test("in mid-stream, while upstream is silent", async () => {
    const sender = await relay.createKey();
    const exchange = await openRaw(
      relay.url,
      requestOf(faults.stallAfterEvents(5), {}, {}, sender),
    );
    // All is delivered: no further write can fail and so tell that the client has gone.
    await exchange.until((bytes) => countEvents(bytes) === 5);
    exchange.leave("reset");
    const entry = await entryOf(exchange);
    expect(entry.outcome).toBe("client_closed");
    const { total } = (await relay.settledUsage(sender)).usage;
    expect(total).toMatchObject({ requests: 1, estimatedRequests: 1 });
    expect(total.inputTokens).toBe(entry.bill.inputTokens);
  });

  test.each([true, false])("before the answer has begun (stream: %s)", async (stream) => {
    const sender = await relay.createKey();
    const started = startRaw(relay.url, requestOf(faults.hang(), { stream }, {}, sender));
    started.opened.catch(() => {});
    await relay.fake.ledger.waitFor(({ fault }) => fault !== null);
    started.leave("reset");
    const entry = await relay.fake.ledger.waitFor(({ outcome }) => outcome === "client_closed");
    expect(entry.bill.inputTokens).toBe(0);
    // Nobody was left to try again for.
    expect(relay.fake.ledger.entries()).toHaveLength(1);
    const { total } = (await relay.settledUsage(sender)).usage;
    expect(total).toMatchObject({ requests: 1, unsettledRequests: 0, allTokens: 0, cost: 0 });
  });
});

function countEvents(bytes: Buffer): number {
  return bytes.toString("latin1").split("\n\n").length - 1;
}

function streamedChars(bytes: Buffer): number {
  let chars = 0;
  for (const [, text] of bytes.toString().matchAll(/"text_delta","text":("(?:[^"\\]|\\.)*")/g)) {
    chars += String(JSON.parse(text ?? '""')).length;
  }
  return chars;
}

function pieces(text: string, cuts: readonly number[]): Uint8Array[] {
  const bytes = Buffer.from(text);
  return [0, ...cuts].map((from, index) => bytes.subarray(from, cuts[index] ?? bytes.length));
}
