import { describe, expect, test } from "vitest";
import { conversationOf } from "../../src/relay/conversation.ts";
import { readMessageFields } from "../../src/relay/message-fields.ts";

const encoder = new TextEncoder();
const bytesOf = (text: string) => encoder.encode(text);

describe("what the relay reads of a message", () => {
  const read = (body: unknown) =>
    readMessageFields(bytesOf(typeof body === "string" ? body : JSON.stringify(body)));
  const fields = (body: unknown) => {
    const result = read(body);
    if (!result.ok) throw new Error(result.error.kind);
    return result.value;
  };
  const SESSION = "123e4567-e89b-42d3-a456-426614174000";

  test("the session stands in either form of metadata.user_id", () => {
    const old = `user_${"a".repeat(64)}_account__session_${SESSION}`;
    const now = JSON.stringify({ device_id: "d", account_uuid: "", session_id: SESSION });
    expect(fields({ model: "m", metadata: { user_id: old } }).userSession).toBe(SESSION);
    expect(fields({ model: "m", metadata: { user_id: now } }).userSession).toBe(SESSION);
  });

  test.each([
    ["a number", 7],
    ["free text", "alice"],
    ["cut JSON", '{"session_id":'],
    ["a session that is no text", '{"session_id":{"a":1}}'],
    ["a session of 10 kB", JSON.stringify({ session_id: "s".repeat(10_000) })],
  ])("%s as user_id gives no session, and no error", (_, userId) => {
    expect(fields({ model: "m", metadata: { user_id: userId } }).userSession).toBeNull();
  });

  test("a thread's message names the one it continues", () => {
    const thread = { type: "continue", previous_message_id: "msg_1" };
    expect(fields({ model: "m", thread })).toMatchObject({
      thread: true,
      previousMessageId: "msg_1",
    });
    expect(fields({ model: "m" })).toMatchObject({ thread: false, previousMessageId: null });
  });

  test.each([
    ["no model", { messages: [] }, "model_missing"],
    ["an empty model", { model: "" }, "model_missing"],
    ["a model that is no text", { model: 5 }, "model_missing"],
    ["two models", '{"model":"a","model":"b"}', "field_repeated"],
    ["no JSON", "model=x", "body_not_json"],
  ])("%s is refused as %s", (_, body, kind) => {
    const result = read(body);
    expect(result.ok ? "ok" : result.error.kind).toBe(kind);
  });

  test("a model's name of 10 kB is bounded", () => {
    expect(fields({ model: "m".repeat(10_000) }).model).toHaveLength(200);
  });
});

describe("a conversation without a session is known by its beginning", () => {
  const nameOf = (body: unknown) => {
    const bytes = bytesOf(typeof body === "string" ? body : JSON.stringify(body));
    const read = readMessageFields(bytes);
    if (!read.ok) throw new Error(read.error.kind);
    return conversationOf(bytes, read.value.opening);
  };
  const mark = { cache_control: { type: "ephemeral", ttl: "1h" } };
  const text = (words: string, more: object = {}) => ({ type: "text", text: words, ...more });
  const user = (content: unknown) => ({ role: "user", content });
  const assistant = (content: unknown) => ({ role: "assistant", content });
  const first = { model: "m", system: "You are kind.", messages: [user("Hello")] };
  const named = nameOf(first);

  test("it has a name, short and the same each time", () => {
    expect(named).toMatch(/^conversation:[0-9a-f]{16}$/);
    expect(nameOf(first)).toBe(named);
  });

  const laterTurns: [string, unknown][] = [
    [
      "messages are added",
      { ...first, messages: [user("Hello"), assistant("Hi"), user("How are you?")] },
    ],
    ["the model and other fields change", { ...first, model: "n", stream: true, max_tokens: 9 }],
    [
      "a mark is hung on the beginning",
      { ...first, system: [text("You are kind.", mark)], messages: [user([text("Hello", mark)])] },
    ],
    [
      "the marks have moved on",
      {
        ...first,
        system: [text("You are kind.")],
        messages: [user([text("Hello")]), assistant("Hi"), user([text("Bye", mark)])],
      },
    ],
    [
      "members stand in another order",
      '{"messages":[{"content":[{"text":"Hello","cache_control":{"a":["}",{}]},"type":"text"}],"role":"user"}],"system":"You are kind.","model":"m"}',
    ],
    [
      "there is white space",
      '{ "model": "m", "system" : "You are kind." , "messages": [ { "role" : "user" , "content" : "Hello" } ] }',
    ],
    [
      "something else stands before the user's first message",
      { ...first, messages: [{ role: "system", content: [text("x")] }, user("Hello")] },
    ],
  ];
  test.each(laterTurns)("it keeps its name when %s", (_, body) => {
    expect(nameOf(body)).toBe(named);
  });

  const others: [string, unknown][] = [
    ["another system prompt", { ...first, system: "You are unkind." }],
    ["no system prompt", { model: "m", messages: [user("Hello")] }],
    ["another first message", { ...first, messages: [user("Hello!")] }],
    ["one more block", { ...first, messages: [user([text("Hello"), text("you")])] }],
    ["a block of another kind", { ...first, messages: [user([{ type: "x", text: "Hello" }])] }],
    ["texts that swapped places", { ...first, system: "Hello", messages: [user("You are kind.")] }],
  ];
  test.each(others)("%s makes another name", (_, body) => {
    expect(nameOf(body)).not.toBe(named);
  });

  test.each([
    ["no messages", { model: "m" }],
    ["an empty list", { model: "m", messages: [] }],
    ["messages that are no list", { model: "m", messages: { role: "user" } }],
    ["messages that are no objects", { model: "m", messages: ["user", 1, null] }],
    ["no message of the user", { model: "m", messages: [assistant("Hi"), { content: "x" }] }],
    ["a role that is no text", { model: "m", messages: [{ role: ["user"], content: "x" }] }],
    [
      "a thread's next message, which does not hold the beginning",
      { ...first, thread: { type: "continue", previous_message_id: "msg_1" } },
    ],
  ])("%s gives no name, and no error", (_, body) => {
    expect(nameOf(body)).toBeNull();
  });

  test("quotes and backslashes inside a text do not end it", () => {
    const run = "r".repeat(1_000);
    const odd = ['a"b', 'a\\"', "a\\", '\\\\"}],"role":"x"', "{[", "\\u0022"].flatMap((words) => [
      words,
      `${run}${words}`,
      `${run}"${run}${words}`,
    ]);
    const names = odd.map((words) => nameOf({ ...first, messages: [user(words), user("z")] }));
    expect(new Set(names).size).toBe(odd.length);
    const marked = odd.map((words) => nameOf({ ...first, messages: [user([text(words, mark)])] }));
    expect(marked).toEqual(names);
  });

  test("ten thousand conversations have ten thousand names", () => {
    const names = new Set<string | null>();
    for (let index = 0; index < 10_000; index += 1) {
      names.add(nameOf({ ...first, messages: [user(`question ${index}`)] }));
    }
    expect(names.size).toBe(10_000);
  });

  test("a picture of 10 MB and a hundred thousand blocks cost no more than their beginning", () => {
    const picture = (data: string) => ({
      type: "image",
      source: { type: "base64", media_type: "image/png", data },
    });
    const big = "A".repeat(10 * 1024 * 1024);
    const pictured = (data: string) => nameOf({ ...first, messages: [user([picture(data)])] });
    expect(pictured(big)).toBe(pictured(big));
    expect(pictured(`${big}A`)).not.toBe(pictured(big));
    expect(pictured(`B${big}`)).not.toBe(pictured(`A${big}`));
    const many = Array.from({ length: 100_000 }, () => text("x"));
    const bytes = bytesOf(JSON.stringify({ ...first, messages: [user(many)] }));
    const read = readMessageFields(bytes);
    const { opening } = (read.ok && read.value) || { opening: null };
    let looked = 0;
    const counting = new Proxy(bytes, {
      get: (target, name) => {
        looked += 1;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    expect(conversationOf(counting, opening)).toMatch(/^conversation:/);
    expect(looked).toBeLessThan(200_000);
  });
});
