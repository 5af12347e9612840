import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  FAULT_HEADER,
  type Fault,
  faults,
  inputTokensOf,
} from "../fixtures/fake-upstream/index.ts";
import { DEFAULT_MODELS } from "../fixtures/fake-upstream/settings.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";
import { sha256 } from "./raw-client.ts";

const MODEL = "claude-sonnet-5";
/** Each side of a connection makes these for itself, and the credential is swapped. */
const NOT_COMPARED = new Set([
  "authorization",
  "x-api-key",
  "connection",
  "host",
  "content-length",
  "accept-encoding",
]);
const UNKNOWN_KEY = `cr_${"0".repeat(64)}`;

let relay: TestRelay;
let key: RelayKey;

beforeAll(async () => {
  relay = await TestRelay.start();
  await relay.addApiKeyAccount("console one");
  await relay.addApiKeyAccount("console two");
  await relay.addOAuthAccount("plan");
  key = await relay.createKey();
});
beforeEach(() => relay.fake.reset());
afterAll(() => relay.stop());

/** What the SDK put on the wire. */
interface Call {
  url: string;
  headers: Headers;
  body: string;
}

type Credential = Pick<
  NonNullable<ConstructorParameters<typeof Anthropic>[0]>,
  "apiKey" | "authToken" | "defaultHeaders"
>;

/** The three ways in which SDKs of different versions present a key. */
const credentials: [string, (apiKey: string) => Credential][] = [
  ["apiKey", (apiKey) => ({ apiKey })],
  ["authToken", (apiKey) => ({ authToken: apiKey })],
  [
    "x-api-key",
    (apiKey) => ({ apiKey, defaultHeaders: { "x-api-key": apiKey, authorization: null } }),
  ],
];

/** The SDK as it is, in front of the relay; `calls` is what it sent. */
function sdk(credential: Credential): { client: Anthropic; calls: Call[] } {
  const calls: Call[] = [];
  const client = new Anthropic({
    baseURL: relay.url,
    ...credential,
    fetch: (input, init) => {
      const headers = new Headers(init?.headers);
      calls.push({ url: String(input), headers, body: String(init?.body ?? "") });
      return fetch(input, init);
    },
  });
  return { client, calls };
}

function scripted(fault: Fault): { headers: Record<string, string> } {
  return { headers: { [FAULT_HEADER]: JSON.stringify(fault) } };
}

const hello = {
  model: MODEL,
  max_tokens: 256,
  messages: [{ role: "user" as const, content: "Hello" }],
};

describe.each(credentials)("the Anthropic SDK with its key as %s", (_style, credentialOf) => {
  const connect = () => sdk(credentialOf(key.apiKey));

  test("messages.create gives the message, and upstream gets what the SDK sent", async () => {
    const { client, calls } = connect();
    relay.fake.configure({ answer: { text: "Grüße, 你好, 👋" } });
    const message = await client.messages.create(hello);
    const entry = relay.fake.ledger.last();
    expect(message.content).toMatchObject([{ type: "text", text: "Grüße, 你好, 👋" }]);
    expect(message.id).toBe(entry.messageId);
    expect(message._request_id).toBe(entry.requestId);
    expect(message.usage).toMatchObject({
      input_tokens: entry.bill.inputTokens,
      output_tokens: entry.bill.outputTokens,
    });

    expect(calls).toHaveLength(1);
    const [call] = calls;
    expect(call?.url).toBe(`${relay.url}/v1/messages`);
    expect(entry.path + entry.query).toBe("/v1/messages");
    expect(entry.requestBodySha256).toBe(sha256(call?.body ?? ""));
    for (const [name, value] of call?.headers ?? []) {
      if (!NOT_COMPARED.has(name)) expect(entry.requestHeaders[name], name).toBe(value);
    }
    expect(entry.requestHeaders["anthropic-version"]).toBe("2026-10-21");
    expect(entry.requestHeaders["user-agent"]).toContain("Anthropic");
    expect(entry.violations).toEqual([]);
  });

  test("messages.stream gives the text that upstream generated", async () => {
    const { client } = connect();
    const text = 'Grüße: "你好" 👩🏽‍💻\n'.repeat(40);
    relay.fake.configure({ answer: { text } });
    const stream = client.messages.stream(hello, scripted(faults.randomSplit(3, 17)));
    let heard = "";
    stream.on("text", (delta) => {
      heard += delta;
    });
    const message = await stream.finalMessage();
    // The scripted fault lies over the settings, which hold the text.
    expect(heard).toBe(text);
    expect(await stream.finalText()).toBe(text);
    const entry = relay.fake.ledger.last();
    expect(message.usage.output_tokens).toBe(entry.bill.outputTokens);
    expect(stream.request_id).toBe(entry.requestId);
    expect(entry).toMatchObject({ outcome: "finished", violations: [] });
  });

  test("a tool is called and its result is answered", async () => {
    const { client } = connect();
    const tools = [
      {
        name: "get_weather",
        description: "The weather of a city",
        input_schema: {
          type: "object" as const,
          properties: { city: { type: "string", const: "Zürich" } },
          required: ["city"],
        },
      },
    ];
    const asked = await client.messages.stream({ ...hello, tools }).finalMessage();
    const call = asked.content.find((block) => block.type === "tool_use");
    expect(asked.stop_reason).toBe("tool_use");
    expect(call).toMatchObject({ name: "get_weather", input: { city: "Zürich" } });
    const answered = await client.messages.create({
      ...hello,
      tools,
      messages: [
        ...hello.messages,
        { role: "assistant", content: asked.content },
        {
          role: "user",
          content: [{ type: "tool_result", tool_use_id: call?.id ?? "", content: "sunny" }],
        },
      ],
    });
    expect(answered.stop_reason).toBe("end_turn");
    expect(answered.content).toMatchObject([{ type: "text" }]);
  });

  test("count_tokens counts, and nothing is billed for it", async () => {
    const { client } = connect();
    const before = (await relay.settledUsage(key)).usage.total;
    const counted = await client.messages.countTokens({
      model: MODEL,
      messages: hello.messages,
    });
    const entry = relay.fake.ledger.last();
    expect(entry.path).toBe("/v1/messages/count_tokens");
    expect(counted.input_tokens).toBe(inputTokensOf(entry.requestBodyBytes));
    expect((await relay.settledUsage(key)).usage.total).toEqual(before);
  });

  test("models.list and models.retrieve give upstream's models", async () => {
    const { client } = connect();
    const ids: string[] = [];
    for await (const model of client.models.list({ limit: 3 })) ids.push(model.id);
    expect(ids).toEqual(DEFAULT_MODELS);
    const model = await client.models.retrieve(MODEL);
    expect(model).toMatchObject({ id: MODEL, type: "model", display_name: "Claude Sonnet 5" });
    await expect(client.models.retrieve("claude-none")).rejects.toBeInstanceOf(
      Anthropic.NotFoundError,
    );
  });

  test("an unknown key is an AuthenticationError at once, and upstream hears nothing", async () => {
    const { client, calls } = sdk(credentialOf(UNKNOWN_KEY));
    const error = await client.messages.create(hello).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Anthropic.AuthenticationError);
    expect(error).toMatchObject({
      status: 401,
      type: "authentication_error",
      message: expect.stringContaining("Relay: this relay key is not known here"),
    });
    // The SDK tries again by itself where an answer lets it.
    expect(calls).toHaveLength(1);
    expect(relay.fake.ledger.entries()).toEqual([]);
  });
});

describe("the Anthropic SDK", () => {
  test("gets upstream's error as its own typed error, with upstream's words and request id", async () => {
    const { client, calls } = sdk({ apiKey: key.apiKey });
    const fault = faults.status(400, "thinking.signature: Invalid signature");
    for (const stream of [false, true]) {
      const asked = client.messages.create({ ...hello, stream }, scripted(fault));
      const error = await asked.catch((reason: unknown) => reason);
      const entry = relay.fake.ledger.last();
      expect(error).toBeInstanceOf(Anthropic.BadRequestError);
      expect(error).toMatchObject({
        status: 400,
        type: "invalid_request_error",
        requestID: entry.requestId,
        error: {
          type: "error",
          error: {
            type: "invalid_request_error",
            message: "thinking.signature: Invalid signature",
          },
          request_id: entry.requestId,
        },
      });
    }
    expect(calls).toHaveLength(2);
    expect(relay.fake.ledger.entries()).toHaveLength(2);
  });

  test("does not notice that an account failed and another one answered", async () => {
    const { client, calls } = sdk({ apiKey: key.apiKey });
    relay.fake.script({ path: "/v1/messages", times: 1 }, faults.internalError());
    const message = await client.messages.create(hello);
    expect(message.stop_reason).toBe("end_turn");
    expect(calls).toHaveLength(1);
    const accounts = relay.fake.ledger.entries().map(({ account }) => account);
    expect(new Set(accounts).size).toBe(2);
  });

  test("sees a stream that upstream broke off as an error, not as an answer", async () => {
    const { client } = sdk({ apiKey: key.apiKey });
    const stream = client.messages.stream(hello, scripted(faults.destroyAfterEvents(6)));
    const error = await stream.finalMessage().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Anthropic.APIError);
    expect(String(error)).toContain("broke off before its end");
  });

  test.each(["stream.abort()", "an AbortSignal", "leaving the loop"])(
    "stops upstream in mid-stream by %s, and the rest is estimated",
    async (how) => {
      const own = await relay.createKey();
      const { client } = sdk({ apiKey: own.apiKey });
      const abort = new AbortController();
      // A minute of events, if nobody stops it.
      const options = { ...scripted(faults.paced(1_200, 50)), signal: abort.signal };
      if (how === "leaving the loop") {
        const events = await client.messages.create({ ...hello, stream: true }, options);
        for await (const event of events) if (event.type === "content_block_delta") break;
      } else {
        const stream = client.messages.stream(hello, options);
        stream.once("text", () => {
          if (how === "stream.abort()") stream.abort();
          else abort.abort();
        });
        await expect(stream.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIUserAbortError);
      }
      const entry = await relay.fake.ledger.waitFor(({ outcome }) => outcome === "client_closed");
      expect(entry.eventsSent).toBeLessThan(600);
      const { total } = (await relay.settledUsage(own)).usage;
      expect(total).toMatchObject({
        requests: 1,
        estimatedRequests: 1,
        inputTokens: entry.bill.inputTokens,
      });
      expect(total.outputTokens).toBeGreaterThan(0);
    },
  );
});

describe("message threads", () => {
  const conversations = Array.from({ length: 9 }, (_, index) => index);

  test.each([false, true])(
    "every turn goes to the account that made the one before (stream: %s)",
    async (isStream) => {
      const { client } = sdk({ apiKey: key.apiKey });
      const turns = await Promise.all(
        conversations.map(async (index) => {
          const thread = client.beta.messages.thread({ model: MODEL, max_tokens: 64 });
          const ids: string[] = [];
          for (const content of ["Hello", "And then?", "Why?", "Really?"]) {
            const input = { role: "user" as const, content: `${index}: ${content}` };
            const reply = isStream
              ? await thread.stream(input).finalMessage()
              : await thread.send(input);
            ids.push(reply.id);
          }
          return ids;
        }),
      );
      const entries = relay.fake.ledger.byPath("/v1/messages");
      // No turn was answered 404 and replayed.
      expect(entries.map(({ status }) => status)).toEqual(entries.map(() => 200));
      expect(entries).toHaveLength(conversations.length * 4);
      const accountOf = new Map(entries.map(({ messageId, account }) => [messageId, account]));
      for (const ids of turns) {
        expect(new Set(ids.map((id) => accountOf.get(id))).size).toBe(1);
      }
      // With a single account in use every choice would have been right.
      expect(new Set(accountOf.values()).size).toBeGreaterThan(1);
      expect(relay.fake.ledger.violations()).toEqual([]);
    },
  );

  test.each([false, true])("toolRunner runs a tool to the end (stream: %s)", async (stream) => {
    const { client, calls } = sdk({ apiKey: key.apiKey });
    const runs = await Promise.all(
      conversations.map(async (index) => {
        const cities: string[] = [];
        const weather = betaTool({
          name: "get_weather",
          description: "The weather of a city",
          inputSchema: {
            type: "object",
            properties: { city: { type: "string" } },
            required: ["city"],
          },
          run: ({ city }) => {
            cities.push(city);
            return `sunny ${index}`;
          },
        });
        const runner = client.beta.messages.toolRunner({
          model: MODEL,
          max_tokens: 256,
          messages: [{ role: "user", content: `Weather ${index}?` }],
          tools: [weather],
          stream,
        });
        return { cities, last: await runner.runUntilDone() };
      }),
    );
    for (const { cities, last } of runs) {
      expect(cities).toEqual(["fake value"]);
      expect(last.stop_reason).toBe("end_turn");
    }
    // Two turns each; the second one continues the first and sends only what is new.
    expect(calls).toHaveLength(conversations.length * 2);
    const continued = calls.map(({ body }) => JSON.parse(body)).filter(isContinue);
    expect(continued).toHaveLength(conversations.length);
    for (const { messages } of continued) expect(messages).toHaveLength(1);
    const entries = relay.fake.ledger.byPath("/v1/messages");
    expect(entries.map(({ status }) => status)).toEqual(entries.map(() => 200));
  });

  test("a thread that upstream has lost is replayed by the SDK", async () => {
    const { client, calls } = sdk({ apiKey: key.apiKey });
    const thread = client.beta.messages.thread({ model: MODEL, max_tokens: 64 });
    await thread.send({ role: "user", content: "Hello" });
    // The fake forgets which account made which message.
    relay.fake.reset();
    const reply = await thread.send({ role: "user", content: "Still there?" });
    expect(reply.stop_reason).toBe("end_turn");
    expect(relay.fake.ledger.entries().map(({ status }) => status)).toEqual([404, 200]);
    expect(calls).toHaveLength(3);
  });
});

function isContinue(body: unknown): body is { messages: unknown[] } {
  return JSON.stringify(body).includes('"thread":{"type":"continue"');
}
