import { createAnthropic } from "@ai-sdk/anthropic";
import { APICallError, generateText, isStepCount, jsonSchema, streamText, tool } from "ai";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { faults } from "../fixtures/fake-upstream/index.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";

const MODEL = "claude-sonnet-5";

let relay: TestRelay;
let key: RelayKey;

beforeAll(async () => {
  relay = await TestRelay.start();
  await relay.addApiKeyAccount("console");
  await relay.addOAuthAccount("plan");
  key = await relay.createKey();
});
beforeEach(() => relay.fake.reset());
afterAll(() => relay.stop());

type Credential = { apiKey: string } | { authToken: string };

function weather(cities: string[]) {
  return tool({
    description: "The weather of a city",
    inputSchema: jsonSchema<{ city: string }>({
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
    }),
    execute: ({ city }) => {
      cities.push(city);
      return { sky: "clear" };
    },
  });
}

describe.each([
  ["apiKey", (apiKey: string): Credential => ({ apiKey })],
  ["authToken", (apiKey: string): Credential => ({ authToken: apiKey })],
])("the AI SDK with its key as %s", (_style, credentialOf) => {
  // Both base URLs that people configure.
  describe.each(["/v1", "/api/v1"])("below %s", (path) => {
    const model = (apiKey = key.apiKey) =>
      createAnthropic({ baseURL: relay.url + path, ...credentialOf(apiKey) })(MODEL);

    test("generateText gives upstream's text and usage", async () => {
      const text = "Grüße, 你好, 👋";
      relay.fake.configure({ answer: { text } });
      const result = await generateText({ model: model(), prompt: "Hello" });
      const entry = relay.fake.ledger.last();
      expect(result.text).toBe(text);
      expect(result.usage).toMatchObject({
        inputTokens: entry.bill.inputTokens,
        outputTokens: entry.bill.outputTokens,
      });
      expect(entry.path).toBe("/v1/messages");
      expect(entry.requestHeaders["user-agent"]).toMatch(/^ai\/7\./);
      expect(entry.violations).toEqual([]);
    });

    test("streamText gives upstream's text", async () => {
      const text = 'Grüße: "你好" 👩🏽‍💻\n'.repeat(40);
      relay.fake.configure({ answer: { text } });
      relay.fake.script({}, { ...faults.randomSplit(5, 23), noise: true });
      const result = streamText({ model: model(), prompt: "Hello" });
      let heard = "";
      for await (const delta of result.textStream) heard += delta;
      const entry = relay.fake.ledger.last();
      expect(heard).toBe(text);
      expect(await result.finishReason).toBe("stop");
      expect((await result.usage).outputTokens).toBe(entry.bill.outputTokens);
      expect(entry).toMatchObject({ outcome: "finished", violations: [] });
    });

    test.each(["generateText", "streamText"])("%s runs a tool and goes on", async (how) => {
      const cities: string[] = [];
      const asked = {
        model: model(),
        prompt: "How is the weather?",
        tools: { get_weather: weather(cities) },
        stopWhen: isStepCount(3),
      };
      const result = how === "streamText" ? streamText(asked) : await generateText(asked);
      const steps = await result.steps;
      expect(cities).toEqual(["fake value"]);
      expect(steps.map(({ finishReason }) => finishReason)).toEqual(["tool-calls", "stop"]);
      expect(await result.text).not.toBe("");
      expect(relay.fake.ledger.entries().map(({ status }) => status)).toEqual([200, 200]);
      expect(relay.fake.ledger.violations()).toEqual([]);
    });
  });

  test("upstream's refusal comes with its own words", async () => {
    relay.fake.script({}, faults.status(400, "prompt is too long: 7 tokens > 6 maximum"));
    const provider = createAnthropic({ baseURL: `${relay.url}/v1`, ...credentialOf(key.apiKey) });
    const asked = generateText({ model: provider(MODEL), prompt: "Hello" });
    const error = await asked.catch((reason: unknown) => reason);
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({
      statusCode: 400,
      message: "prompt is too long: 7 tokens > 6 maximum",
    });
    expect(relay.fake.ledger.entries()).toHaveLength(1);
  });

  test("an unknown key is refused with 401, and upstream hears nothing", async () => {
    const unknown = `cr_${"0".repeat(64)}`;
    const provider = createAnthropic({ baseURL: `${relay.url}/v1`, ...credentialOf(unknown) });
    const asked = generateText({ model: provider(MODEL), prompt: "Hello" });
    await expect(asked).rejects.toMatchObject({ statusCode: 401 });
    expect(relay.fake.ledger.entries()).toEqual([]);
  });

  test("a stream that upstream broke off is an error", async () => {
    relay.fake.script({}, faults.resetAfterEvents(6));
    const provider = createAnthropic({ baseURL: `${relay.url}/v1`, ...credentialOf(key.apiKey) });
    const errors: unknown[] = [];
    const result = streamText({
      model: provider(MODEL),
      prompt: "Hello",
      maxRetries: 0,
      onError: ({ error }) => {
        errors.push(error);
      },
    });
    await result.consumeStream();
    expect(JSON.stringify(errors)).toContain("broke off before its end");
  });
});
