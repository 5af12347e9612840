import { describe, expect, test, vi } from "vitest";
import { CredentialCache } from "../../src/accounts/credential-cache.ts";
import { AccountLoad } from "../../src/accounts/load.ts";
import { Pool } from "../../src/accounts/pool.ts";
import type { CoolDownKind } from "../../src/accounts/roster-row.ts";
import type { RelayConfig } from "../../src/config.ts";
import { EgressFailed } from "../../src/egress/fault.ts";
import { FailedKeys } from "../../src/keys/failed-keys.ts";
import { ImportedKeys } from "../../src/keys/imported-keys.ts";
import type { KeyLookup } from "../../src/keys/key-cache.ts";
import { KeyCache } from "../../src/keys/key-cache.ts";
import { hashKey } from "../../src/keys/key-format.ts";
import type { KeyRecord } from "../../src/keys/key-record.ts";
import { type KeyStore, KeyStoreUnavailable } from "../../src/keys/key-store.ts";
import { canonicalPath } from "../../src/relay/client-api.ts";
import { conversationOf } from "../../src/relay/conversation.ts";
import { identify } from "../../src/relay/identify.ts";
import { scanObject } from "../../src/relay/json-scan.ts";
import { readMessageFields } from "../../src/relay/message-fields.ts";
import { MAX_BODY_BYTES, readBody } from "../../src/relay/read-body.ts";
import { type Refusal, refuse } from "../../src/relay/refusal.ts";
import { relay } from "../../src/relay/relay.ts";
import type { RelayCall } from "../../src/relay/relay-call.ts";
import { Reported } from "../../src/relay/report.ts";
import { Sender, type SendResult } from "../../src/relay/send.ts";
import type { Services } from "../../src/relay/services.ts";
import { settle } from "../../src/relay/settle.ts";
import type { Outcome, Settlement } from "../../src/relay/settlement.ts";
import { firstIdOf, newRequestId } from "../../src/request-id.ts";
import { fail, ok } from "../../src/result.ts";
import { downstreamHeaders, upstreamHeaders } from "../../src/upstream/headers.ts";
import { LISTED_PRICES } from "../../src/upstream/price-list.ts";
import { emptyReading } from "../../src/upstream/usage.ts";
import { rowOf } from "./roster-rows.ts";

const encoder = new TextEncoder();
const bytesOf = (text: string) => encoder.encode(text);
const NOTHING = new Set<string>();

describe("a body is accepted exactly where it is one JSON object", () => {
  const accepted = [
    "{}",
    ' \t\r\n{ "a" : 1 } \n',
    '{"a":[],"b":{},"c":[{}],"d":[[],[1,2,{"x":null}]]}',
    '{"n":[0,-0,1,-1,10.5,1e5,1E+5,1e-5,-0.0e0,123456789012345678901234567890]}',
    '{"s":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00","t":"é 漢 😀"}',
    '{"true":true,"false":false,"null":null}',
    '{"a":1,"a":2}',
    '{"":""}',
  ];
  const rejected = [
    "",
    " ",
    "[]",
    '"text"',
    "1",
    "null",
    "{",
    "}",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    "{,}",
    "{a:1}",
    "{'a':1}",
    '{"a":1}}',
    '{"a":1} x',
    '{"a":01}',
    '{"a":1.}',
    '{"a":.5}',
    '{"a":+1}',
    '{"a":1e}',
    '{"a":-}',
    '{"a":tru}',
    '{"a":True}',
    '{"a":[1,]}',
    '{"a":[1 2]}',
    '{"a":[1}',
    '{"a":{"b":1]}',
    '{"a":"\n"}',
    '{"a":"\\x"}',
    '{"a":"\\u12g4"}',
    '{"a":"unterminated}',
    '{"a":1"b":2}',
    "\uFEFF{}",
    "{\u00a0}",
  ];
  const scans = (text: string) => scanObject(bytesOf(text), NOTHING).kind === "object";

  test.each(accepted)("accepted: %j", (text) => {
    expect(scans(text)).toBe(true);
    JSON.parse(text);
  });

  test.each(rejected)("refused: %j", (text) => {
    expect(scans(text)).toBe(false);
  });

  test("it agrees with JSON.parse on 20,000 damaged and undamaged bodies", () => {
    let state = 42;
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % below;
    };
    const alphabet = '{}[]",:\\ntrue0-1.eE+ u\u00e9\n';
    for (let round = 0; round < 20_000; round += 1) {
      const characters = [...(accepted[random(accepted.length)] ?? "{}")];
      for (let damage = random(3); damage > 0; damage -= 1) {
        const at = random(characters.length + 1);
        const replaced = random(2);
        const inserted = [...alphabet][random(alphabet.length)] ?? "";
        characters.splice(at, replaced, ...(random(3) === 0 ? [] : [inserted]));
      }
      const text = characters.join("");
      let valid = false;
      try {
        const parsed: unknown = JSON.parse(text);
        valid = typeof parsed === "object" && parsed !== null && !Array.isArray(parsed);
      } catch {}
      expect(scans(text), text).toBe(valid);
    }
  });

  test("nesting is bounded, and said to be the reason", () => {
    const nested = (depth: number) => `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
    expect(scanObject(bytesOf(nested(500)), NOTHING).kind).toBe("object");
    expect(scanObject(bytesOf(nested(100_000)), NOTHING).kind).toBe("too_deep");
  });

  test("a value's place is found behind strings that look like JSON", () => {
    const text = '{"x":"\\"model\\":\\"no\\"","y":{"model":"inner"},"model" : "yes" }';
    const scan = scanObject(bytesOf(text), new Set(["model"]));
    const slice = scan.kind === "object" ? scan.found.get("model") : undefined;
    expect(text.slice(slice?.start, slice?.end)).toBe('"yes"');
  });

  test("a name that is only noted may stand twice, and the last one counts", () => {
    const text = '{"a":1,"model":2,"a":3}';
    const scan = scanObject(bytesOf(text), new Set(["model"]), new Set(["a"]));
    const slice = scan.kind === "object" ? scan.found.get("a") : undefined;
    expect(text.slice(slice?.start, slice?.end)).toBe("3");
  });

  test("a name written with escapes is the same name", () => {
    const scan = scanObject(bytesOf('{"mod\\u0065l":"x"}'), new Set(["model"]));
    expect(scan.kind === "object" && scan.found.has("model")).toBe(true);
  });
});

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

describe("the body is read whole, or refused", () => {
  const post = (body: BodyInit | null, headers: Record<string, string> = {}) =>
    new Request("http://relay/v1/messages", { method: "POST", body, headers });
  const kindOf = async (request: Request) => {
    const result = await readBody(request);
    return result.ok ? "ok" : result.error.kind;
  };
  const streamOf = (chunks: number, bytesEach: number) => {
    let left = chunks;
    return new ReadableStream<Uint8Array>({
      pull(controller) {
        if (left === 0) return controller.close();
        left -= 1;
        controller.enqueue(new Uint8Array(bytesEach).fill(0x20));
      },
    });
  };

  test("nothing at all", async () => {
    expect(await kindOf(post(null))).toBe("body_empty");
    expect(await kindOf(post(""))).toBe("body_empty");
  });

  test("a body that declares more than 32 MiB is refused", async () => {
    const declared = { "content-length": String(MAX_BODY_BYTES + 1) };
    expect(await kindOf(post(streamOf(1, 1), declared))).toBe("body_too_large");
  });

  test("a body that declares nothing is counted: 32 MiB pass, one byte more does not", async () => {
    const mebibyte = 1024 * 1024;
    expect(await kindOf(post(streamOf(32, mebibyte)))).toBe("ok");
    expect(await kindOf(post(streamOf(33, mebibyte)))).toBe("body_too_large");
  });

  test("a compressed body is refused in words, since it could not be read", async () => {
    expect(await kindOf(post("{}", { "content-encoding": "gzip" }))).toBe("body_compressed");
  });
});

describe("only the credential is swapped", () => {
  const client = new Headers({
    "x-api-key": "cr_x",
    authorization: "Bearer cr_x",
    "api-key": "cr_x",
    cookie: "a=b",
    origin: "https://evil.example",
    "cf-connecting-ip": "192.0.2.1",
    "cf-ray": "1",
    "x-forwarded-for": "192.0.2.1",
    "x-real-ip": "192.0.2.1",
    forwarded: "for=192.0.2.1",
    connection: "keep-alive, x-hop",
    "x-hop": "1",
    te: "trailers",
    "accept-encoding": "gzip, br",
    "user-agent": "claude-cli/2.1.330",
    "anthropic-version": "2026-10-21",
    "anthropic-beta": "a-1,b-2",
    "anthropic-unknown": "kept",
    "x-claude-code-session-id": "s",
    "x-stainless-lang": "js",
    "content-type": "application/json",
  });
  const apiKey = {
    kind: "api_key",
    secret: "sk-1",
    generation: 1,
    usableUntilMs: null,
    proxy: null,
  } as const;
  const oauth = { ...apiKey, kind: "oauth" } as const;

  test("with an API key: one credential, no beta added, everything else as it came", () => {
    expect(Object.fromEntries(upstreamHeaders(client, apiKey))).toEqual({
      "x-api-key": "sk-1",
      "accept-encoding": "identity",
      "user-agent": "claude-cli/2.1.330",
      "anthropic-version": "2026-10-21",
      "anthropic-beta": "a-1,b-2",
      "anthropic-unknown": "kept",
      "x-claude-code-session-id": "s",
      "x-stainless-lang": "js",
      "content-type": "application/json",
    });
  });

  test("with OAuth: a bearer, and the beta appended once", () => {
    const headers = upstreamHeaders(client, oauth);
    expect(headers.get("authorization")).toBe("Bearer sk-1");
    expect(headers.has("x-api-key")).toBe(false);
    expect(headers.get("anthropic-beta")).toBe("a-1,b-2,oauth-2025-04-20");
    expect(upstreamHeaders(headers, oauth).get("anthropic-beta")).toBe("a-1,b-2,oauth-2025-04-20");
    expect(upstreamHeaders(new Headers(), oauth).get("anthropic-beta")).toBe("oauth-2025-04-20");
  });

  test("`Connection` cannot be used to drop a header that upstream must see", () => {
    const tricky = new Headers({ connection: "anthropic-version", "anthropic-version": "v" });
    expect(upstreamHeaders(tricky, apiKey).get("anthropic-version")).toBe("v");
  });

  test("a user agent is added only where there was none", () => {
    expect(upstreamHeaders(new Headers(), apiKey).get("user-agent")).toMatch(
      /^claude-edge-relay\//,
    );
  });

  test("on the way back, cookies and hop-by-hop headers stay behind; limits on request only", () => {
    const upstream = new Headers({
      "set-cookie": "a=b",
      "strict-transport-security": "max-age=63072000",
      "transfer-encoding": "chunked",
      "request-id": "req_1",
      "retry-after": "7",
      "anthropic-ratelimit-unified-status": "allowed",
      "anthropic-organization-id": "o",
    });
    const passed = downstreamHeaders(upstream, { requestId: "rly_1", stripRateLimits: false });
    expect(Object.fromEntries(passed)).toEqual({
      "request-id": "req_1",
      "retry-after": "7",
      "anthropic-ratelimit-unified-status": "allowed",
      "anthropic-organization-id": "o",
      "x-relay-request-id": "rly_1",
    });
    const stripped = downstreamHeaders(upstream, { requestId: "rly_1", stripRateLimits: true });
    expect(stripped.has("anthropic-ratelimit-unified-status")).toBe(false);
    expect(stripped.get("anthropic-organization-id")).toBe("o");
  });
});

describe("whose request it is", () => {
  const plainKey = `cr_${"0123456789abcdef".repeat(4)}`;
  const record = { id: "k", enabled: true } as KeyRecord;
  const keys = {
    peek: () => null,
    hasSeen: () => false,
    find: async (): Promise<KeyLookup> => ({ kind: "found", record }),
  } as unknown as KeyCache;
  const failedKeys = new FailedKeys({ limit: async () => ({ success: true }) });
  const config = { clientAddressHeader: "" } as RelayConfig;
  const who = async (headers: Record<string, string>) => {
    const result = await identify(new Headers(headers), {
      keys,
      importedKeys: null,
      failedKeys,
      config,
    });
    return result.ok ? result.value.record.id : result.error.kind;
  };

  test.each([
    ["x-api-key", { "x-api-key": plainKey }],
    ["a bearer", { authorization: `Bearer ${plainKey}` }],
    ["a bearer in lower case", { authorization: `bearer  ${plainKey}` }],
    ["api-key", { "api-key": plainKey }],
    [
      "a foreign x-api-key beside a relay key as bearer",
      {
        "x-api-key": "sk-ant-api03-x",
        authorization: `Bearer ${plainKey}`,
      },
    ],
  ])("a key counts in %s", async (_, headers) => {
    expect(await who(headers as unknown as Record<string, string>)).toBe("k");
  });

  test("nothing sent, and something of another shape, are two different answers", async () => {
    expect(await who({})).toBe("key_missing");
    expect(await who({ "x-api-key": "" })).toBe("key_missing");
    expect(await who({ "x-api-key": "sk-ant-api03-x" })).toBe("key_malformed");
    expect(await who({ "x-api-key": plainKey.toUpperCase() })).toBe("key_malformed");
    expect(await who({ "x-api-key": `${plainKey}0` })).toBe("key_malformed");
  });
});

test("a key is looked for by its hash alone: no comparison can tell how much of it is right", async () => {
  const asked: string[] = [];
  const note = <T>(hash: string, answer: T): T => {
    asked.push(hash);
    return answer;
  };
  const keys = {
    peek: (hash: string) => note(hash, null),
    hasSeen: (hash: string) => note(hash, false),
    find: async (hash: string): Promise<KeyLookup> => note(hash, { kind: "unknown" }),
  } as unknown as KeyCache;
  const shown = `cr_${"0123456789abcdef".repeat(4)}`;
  const almost = shown.replace(/.$/, "e");
  for (const key of [shown, almost]) {
    await identify(new Headers({ "x-api-key": key }), {
      keys,
      importedKeys: new ImportedKeys("pepper"),
      failedKeys: new FailedKeys({ limit: async () => ({ success: true }) }),
      config: { clientAddressHeader: "" } as RelayConfig,
    });
  }
  const hashes = [...new Set(asked)];
  // Two keys, each under the relay's own hash and under the other system's.
  expect(hashes).toHaveLength(4);
  for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{64}$/);
  expect(hashes.some((hash) => shown.includes(hash) || almost.includes(hash))).toBe(false);
  // Keys that differ in their last character share no beginning to feel one's way along.
  expect(new Set(hashes.map((hash) => hash.slice(0, 8))).size).toBe(4);
});

describe("keys of another system", () => {
  const plainKey = `cr_${"c".repeat(64)}`;
  const pepper = "the encryption key of the other system";
  const record = { id: "imported" } as KeyRecord;
  /** A cache that knows these hashes, and writes down what it is asked. */
  const cacheOf = (known: Record<string, KeyRecord>, isFresh: () => boolean) => {
    const asked: string[] = [];
    const keys = {
      peek: (hash: string) => (isFresh() ? (known[hash] ?? null) : null),
      hasSeen: (hash: string) => hash in known,
      find: async (hash: string): Promise<KeyLookup> => {
        asked.push(hash);
        const found = known[hash];
        return found === undefined ? { kind: "unknown" } : { kind: "found", record: found };
      },
    } as unknown as KeyCache;
    return { asked, keys };
  };
  const config = { clientAddressHeader: "x-address" } as RelayConfig;
  const headers = new Headers({ "x-api-key": plainKey, "x-address": "192.0.2.1" });
  const open = () => new FailedKeys({ limit: async () => ({ success: true }) });

  test("are found under the hash that they had there, and then at once", async () => {
    const own = await hashKey(plainKey);
    const other = await hashKey(plainKey + pepper);
    let isFresh = false;
    const { asked, keys } = cacheOf({ [other]: record }, () => isFresh);
    const services = { keys, importedKeys: new ImportedKeys(pepper), failedKeys: open(), config };
    const first = await identify(headers, services);
    expect(first).toEqual({ ok: true, value: { record, mark: other.slice(0, 16) } });
    expect(asked).toEqual([own, other]);
    // Known from now on: neither hashed twice nor looked up in vain.
    const hashed = vi.spyOn(services.importedKeys, "hash");
    expect(await identify(headers, services)).toMatchObject({ ok: true });
    expect(asked).toEqual([own, other, other]);
    isFresh = true;
    expect(await identify(headers, services)).toMatchObject({ ok: true });
    expect(asked).toHaveLength(3);
    expect(hashed).not.toHaveBeenCalled();
  });

  test("cost the relay's own keys nothing: neither a hash nor a look-up", async () => {
    const own = await hashKey(plainKey);
    const { asked, keys } = cacheOf({ [own]: record }, () => false);
    const services = { keys, importedKeys: new ImportedKeys(pepper), failedKeys: open(), config };
    const hashed = vi.spyOn(services.importedKeys, "hash");
    expect(await identify(headers, services)).toMatchObject({ ok: true });
    expect(asked).toEqual([own]);
    expect(hashed).not.toHaveBeenCalled();
  });

  test("are unknown without that system's encryption key, and one that is wrong counts as wrong once", async () => {
    const other = await hashKey(plainKey + pepper);
    const noted: string[] = [];
    const failedKeys = new FailedKeys({
      limit: async ({ key }) => {
        noted.push(key);
        return { success: true };
      },
    });
    const { keys } = cacheOf({ [other]: record }, () => false);
    const without = await identify(headers, { keys, importedKeys: null, failedKeys, config });
    expect(without).toEqual({ ok: false, error: { kind: "key_unknown" } });
    const importedKeys = new ImportedKeys("another pepper");
    const wrong = await identify(headers, { keys, importedKeys, failedKeys, config });
    expect(wrong).toEqual({ ok: false, error: { kind: "key_unknown" } });
    expect(noted).toEqual(["192.0.2.1", "192.0.2.1"]);
  });
});

describe("wrong keys", () => {
  const limiterOf = (most: number) => {
    const counts = new Map<string, number>();
    return {
      counts,
      limit: async ({ key }: { key: string }) => {
        counts.set(key, (counts.get(key) ?? 0) + 1);
        return { success: (counts.get(key) ?? 0) <= most };
      },
    };
  };

  test("of one network are slowed, and never stopped for good; others are not touched", async () => {
    let nowMs = 0;
    const failedKeys = new FailedKeys(limiterOf(5), () => nowMs);
    for (let index = 0; index < 5; index += 1) await failedKeys.note("a");
    expect(failedKeys.mayLookUp("a")).toBe(true);
    await failedKeys.note("a");
    const tries = () => Array.from({ length: 100 }, () => failedKeys.mayLookUp("a"));
    expect(tries().filter(Boolean)).toHaveLength(3);
    expect(failedKeys.mayLookUp("b")).toBe(true);
    nowMs += 1_000;
    expect(tries().filter(Boolean)).toHaveLength(3);
    nowMs += 10_000;
    expect(tries().filter(Boolean)).toHaveLength(100);
  });

  test("a key that is known here passes although its network is slowed", async () => {
    const limiter = limiterOf(0);
    const failedKeys = new FailedKeys(limiter, () => 0);
    const config = { clientAddressHeader: "x-address" } as RelayConfig;
    const known = `cr_${"a".repeat(64)}`;
    const knownHash = await hashKey(known);
    const record = { id: "known" } as KeyRecord;
    // Seen a while ago: the record has to be read anew, and the store is asked for it.
    const keys = {
      peek: () => null,
      hasSeen: (hash: string) => hash === knownHash,
      find: async (hash: string): Promise<KeyLookup> =>
        hash === knownHash ? { kind: "found", record } : { kind: "unknown" },
    } as unknown as KeyCache;
    const kinds: string[] = [];
    for (let index = 0; index < 10; index += 1) {
      const wrong = `cr_${index.toString().padStart(64, "0")}`;
      const headers = new Headers({ "x-api-key": wrong, "x-address": "192.0.2.1" });
      const result = await identify(headers, { keys, importedKeys: null, failedKeys, config });
      kinds.push(result.ok ? "ok" : result.error.kind);
    }
    expect(kinds.slice(0, 4)).toEqual(kinds.slice(0, 4).map(() => "key_unknown"));
    expect(kinds.slice(4)).toEqual(kinds.slice(4).map(() => "too_many_wrong_keys"));
    expect([...limiter.counts.keys()]).toEqual(["192.0.2.1"]);
    const headers = new Headers({ "x-api-key": known, "x-address": "192.0.2.1" });
    expect((await identify(headers, { keys, importedKeys: null, failedKeys, config })).ok).toBe(
      true,
    );
  });
});

describe("a relay at which too many wait", () => {
  const services = (isFull: boolean) =>
    ({
      keys: { peek: () => ({ id: "k" }) },
      failedKeys: null,
      importedKeys: null,
      config: { clientAddressHeader: "" },
      meterLink: { isFull },
      log: () => {},
    }) as unknown as Services;
  const ask = async (isFull: boolean, key = `cr_${"0123456789abcdef".repeat(4)}`) => {
    const request = new Request("https://relay.example/v1/messages", {
      method: "POST",
      headers: { "x-api-key": key },
      body: "[]",
    });
    const ctx = { waitUntil: () => {} } as unknown as ExecutionContext;
    const answer = await relay(request, services(isFull), ctx, "/v1/messages", true);
    return { status: answer.status, read: request.bodyUsed, text: await answer.text() };
  };

  test("says so at once, and reads on so that the client sees it", async () => {
    expect(await ask(true)).toMatchObject({
      status: 503,
      read: true,
      text: expect.stringContaining("more requests are waiting here"),
    });
  });

  test("still tells a wrong key from a right one, and with room goes on to the body", async () => {
    expect((await ask(true, "cr_no")).status).toBe(401);
    expect((await ask(false)).status).toBe(400);
  });
});

describe("a request whose admission was not heard of", () => {
  test("is settled as refused: it may have been let in, and would count as running", async () => {
    const settled: Settlement[] = [];
    const background: Promise<unknown>[] = [];
    const services = {
      keys: { peek: () => ({ id: "k", version: 1, limits: {}, boundTo: null }) },
      failedKeys: null,
      importedKeys: null,
      config: { clientAddressHeader: "" },
      pins: new Map(),
      threads: new Map(),
      roster: { peek: () => null, pool: async () => null, isLedgerWatched: false },
      meterLink: {
        isFull: false,
        admit: async () => {
          throw new Error("the answer was lost");
        },
        settle: async (_: string, settlement: Settlement) => void settled.push(settlement),
      },
      log: () => {},
    } as unknown as Services;
    const request = new Request("https://relay.example/v1/messages", {
      method: "POST",
      headers: { "x-api-key": `cr_${"0123456789abcdef".repeat(4)}` },
      body: JSON.stringify({ model: "claude-sonnet-5", max_tokens: 1, messages: [] }),
    });
    const ctx = {
      waitUntil: (work: Promise<unknown>) => background.push(work),
    } as unknown as ExecutionContext;
    const answer = await relay(request, services, ctx, "/v1/messages", true);
    await Promise.all(background);
    expect(answer.status).toBe(503);
    expect(settled).toMatchObject([{ outcome: "refused", status: 503, accountId: null }]);
  });
});

describe("an answer of which nothing was read", () => {
  async function billed(
    outcome: Outcome,
    isServed: boolean,
    mayBeBilled = false,
  ): Promise<boolean> {
    const settled: Settlement[] = [];
    const call = {
      services: {
        roster: { isLedgerWatched: false, prices: LISTED_PRICES },
        meterLink: { settle: async (_: string, one: Settlement) => void settled.push(one) },
        log: () => {},
      },
      key: { id: "k" },
      fields: { model: "claude-sonnet-5" },
      startedAtMs: 0,
    } as unknown as RelayCall;
    const served = { row: { id: "a" }, chosenBy: "hash" };
    const outcomeOf = isServed ? ok(served) : fail({ kind: "internal" });
    const sent = { outcome: outcomeOf, attempts: [], mayBeBilled } as unknown as SendResult;
    await settle(call, sent, { outcome, reading: emptyReading() }, 200, null);
    return settled[0]?.bill.estimated ?? false;
  }

  test("is an estimate where the client left: upstream had begun it, and bills it", async () => {
    expect(await billed("client_closed", true)).toBe(true);
  });

  test("is an estimate where an attempt may have reached upstream, and nobody heard its answer", async () => {
    expect(await billed("refused", false, true)).toBe(true);
    expect(await billed("completed", true, true)).toBe(true);
  });

  test("is no estimate where upstream refused, or none was asked", async () => {
    expect(await billed("upstream_error", true)).toBe(false);
    expect(await billed("client_closed", false)).toBe(false);
  });
});

describe("a request to which no answer came", () => {
  test.each([
    // Refused, or broken off with the request on its way: it cannot be told apart.
    { code: "forward_proxy_unreachable", mayBeBilled: true },
    { code: "upstream_broke", mayBeBilled: true },
    { code: "proxy_unreachable", mayBeBilled: false },
    { code: "token_refused", mayBeBilled: false },
  ] as const)("$code: may be billed: $mayBeBilled", async ({ code, mayBeBilled }) => {
    const pool = new Pool([rowOf("a")], { canReachProxies: true, nearLimit: 1 });
    const fetchFails = async () => {
      throw new EgressFailed(code, null);
    };
    const request = new Request("https://relay.example/");
    const sender = new Sender({
      services: {
        roster: { pool: async () => pool, newerPool: async () => null, patch: () => {} },
        credentials: { peek: () => ({ kind: "api_key", access: "sk", generation: 1 }) },
        load: new AccountLoad(),
        egress: { of: () => ({ fetch: fetchFails }) },
        reported: new Reported(),
        account: () => ({ report: async () => null }),
        config: { failover: { maxAccounts: 1, budgetMs: 1 }, anthropicApiUrl: "https://a.example" },
        log: () => {},
      } as unknown as Services,
      ctx: { waitUntil: () => {} },
      request,
      key: { id: "k", boundTo: null },
      fields: { stream: false },
      startedAtMs: 0,
      family: "sonnet",
      session: null,
      pinnedTo: null,
    } as unknown as RelayCall);
    expect(await sender.send(null)).toMatchObject({ outcome: { ok: false }, mayBeBilled });
  });
});

describe("a place of an account that takes only so many at once", () => {
  const row = rowOf("a", { maxConcurrency: 1 });

  /** @param heard whether each call to give it back is heard */
  async function send(heard: boolean[]) {
    vi.spyOn(scheduler, "wait").mockResolvedValue(undefined);
    const released: string[] = [];
    const background: Promise<unknown>[] = [];
    const account = {
      // Given, and its answer lost.
      acquirePlace: async () => {
        throw new Error("the answer was lost");
      },
      releasePlace: async (requestId: string) => {
        if (heard.shift() === false) throw new Error("not heard");
        released.push(requestId);
      },
    };
    const pool = new Pool([row], { canReachProxies: false, nearLimit: 1 });
    const sender = new Sender({
      services: {
        roster: { pool: async () => pool, newerPool: async () => null },
        credentials: new CredentialCache(() => account as never),
        load: new AccountLoad(),
        account: () => account,
        config: { failover: { maxAccounts: 1, budgetMs: 1 } },
        log: () => {},
      } as unknown as Services,
      ctx: { waitUntil: (work: Promise<unknown>) => background.push(work) },
      request: new Request("https://relay.example/"),
      requestId: "rly_1",
      key: { id: "k", boundTo: null },
      startedAtMs: 0,
      family: "sonnet",
      session: null,
      pinnedTo: null,
    } as unknown as RelayCall);
    const { outcome } = await sender.send(null);
    await Promise.all(background);
    vi.restoreAllMocks();
    return { served: outcome.ok, released };
  }

  test("is given back where it may have been given, and nobody heard of it", async () => {
    expect(await send([true])).toEqual({ served: false, released: ["rly_1"] });
  });

  test("is given back until it is heard: it would be missed for a quarter of an hour", async () => {
    expect(await send([false, false, true])).toEqual({ served: false, released: ["rly_1"] });
  });
});

describe("the key cache", () => {
  const record = { id: "k", version: 1 } as KeyRecord;
  const storeOf = (answers: (KeyRecord | null | "down")[]) => {
    const reads = { count: 0 };
    const findByHash = async () => {
      const answer = answers[Math.min(reads.count, answers.length - 1)];
      reads.count += 1;
      if (answer === "down") throw new KeyStoreUnavailable("down");
      return answer ?? null;
    };
    const marks = { read: 0, mark: null as string | null | "down" };
    const changeMark = async () => {
      marks.read += 1;
      if (marks.mark === "down") throw new KeyStoreUnavailable("down");
      return marks.mark;
    };
    return { reads, marks, store: { findByHash, changeMark } as unknown as KeyStore };
  };
  const MINUTE_MS = 60_000;

  test("a known key keeps working for a quarter of an hour of an outage; an unknown one is not judged", async () => {
    let nowMs = 0;
    const { store, marks } = storeOf([record, "down"]);
    const cache = new KeyCache(store, () => nowMs);
    expect(await cache.find("h")).toEqual({ kind: "found", record });
    marks.mark = "down";
    nowMs = 14 * MINUTE_MS;
    expect(await cache.find("h")).toEqual({ kind: "found", record });
    expect(await cache.find("other")).toEqual({ kind: "unavailable" });
    nowMs = 16 * MINUTE_MS;
    expect(await cache.find("h")).toEqual({ kind: "unavailable" });
  });

  test("while the store is down, known keys ask it once in five seconds, not with every request", async () => {
    let nowMs = 0;
    const { store, marks } = storeOf([record, "down"]);
    const cache = new KeyCache(store, () => nowMs);
    await cache.find("h");
    marks.mark = "down";
    nowMs = MINUTE_MS;
    for (let times = 0; times < 100; times += 1) await cache.find("h");
    expect(marks.read).toBe(1);
    nowMs += 5_000;
    await cache.find("h");
    expect(marks.read).toBe(2);
  });

  test("an unknown key is remembered for seconds, so that it cannot load the store", async () => {
    let nowMs = 0;
    const { store, reads } = storeOf([null, record]);
    const cache = new KeyCache(store, () => nowMs);
    for (let times = 0; times < 100; times += 1) {
      expect(await cache.find("h")).toEqual({ kind: "unknown" });
    }
    expect(reads.count).toBe(1);
    nowMs = 6_000;
    expect(await cache.find("h")).toEqual({ kind: "found", record });
  });

  test("a record is fresh for half a minute, and as long as no key was changed past the relay", async () => {
    let nowMs = 0;
    const { store, reads, marks } = storeOf([record]);
    const cache = new KeyCache(store, () => nowMs);
    await cache.find("h");
    nowMs = 29_000;
    expect(cache.peek("h")).toBe(record);
    nowMs = 31_000;
    expect(cache.peek("h")).toBeNull();
    // The first record was read before any mark was known: it is read once more.
    await cache.find("h");
    expect(reads.count).toBe(2);
    for (nowMs = 60_000; nowMs < 15 * MINUTE_MS; nowMs += 10_000) {
      if (cache.peek("h") === null) await cache.find("h");
      expect(cache.peek("h")).toBe(record);
    }
    expect(reads.count).toBe(2);
    expect(marks.read).toBeLessThan(32);
    nowMs = 16 * MINUTE_MS;
    expect(cache.peek("h")).toBeNull();
    await cache.find("h");
    expect(reads.count).toBe(3);
  });

  test("one read of the mark in half a minute serves all keys", async () => {
    let nowMs = 0;
    const { store, reads, marks } = storeOf([record]);
    const cache = new KeyCache(store, () => nowMs);
    const hashes = Array.from({ length: 200 }, (_, index) => `h${index}`);
    for (const hash of hashes) await cache.find(hash);
    for (nowMs = MINUTE_MS; nowMs < 13 * MINUTE_MS; nowMs += MINUTE_MS) {
      for (const hash of hashes) if (cache.peek(hash) === null) await cache.find(hash);
    }
    expect(reads.count).toBe(2 * hashes.length);
    expect(marks.read).toBe(12);
  });

  test("a change past the relay holds for every key within half a minute of its mark, late as it may come", async () => {
    let nowMs = 0;
    const changed = { ...record, version: 2 };
    // The store shows the mark before it shows the change.
    const { store, marks } = storeOf([record, record, record, changed]);
    const cache = new KeyCache(store, () => nowMs);
    await cache.find("h");
    nowMs = MINUTE_MS;
    await cache.find("h");
    marks.mark = "changed";
    nowMs = 2 * MINUTE_MS;
    expect(cache.peek("h")).toBeNull();
    expect(await cache.find("h")).toEqual({ kind: "found", record });
    nowMs += 31_000;
    expect(cache.peek("h")).toBeNull();
    expect(await cache.find("h")).toEqual({ kind: "found", record: changed });
  });
});

describe("the relay's own errors", () => {
  const NOW_MS = Date.UTC(2026, 10, 23, 12, 0, 0);
  const none = { standings: [] };
  const cases: [Refusal, number, string, string | null, boolean][] = [
    [{ kind: "key_missing" }, 401, "authentication_error", null, true],
    [{ kind: "key_malformed" }, 401, "authentication_error", null, true],
    [{ kind: "key_unknown" }, 401, "authentication_error", null, true],
    [{ kind: "key_disabled" }, 403, "permission_error", null, true],
    [{ kind: "key_revoked" }, 403, "permission_error", null, true],
    [{ kind: "key_expired", expiredAtMs: NOW_MS }, 403, "permission_error", null, true],
    [{ kind: "body_empty" }, 400, "invalid_request_error", null, true],
    [{ kind: "body_not_json", atByte: 3 }, 400, "invalid_request_error", null, true],
    [{ kind: "model_missing" }, 400, "invalid_request_error", null, true],
    [{ kind: "address_unreadable" }, 400, "invalid_request_error", null, true],
    [{ kind: "headers_too_large" }, 431, "invalid_request_error", null, true],
    [{ kind: "body_too_large" }, 413, "request_too_large", null, true],
    [{ kind: "route_unknown", path: "/x" }, 404, "not_found_error", null, true],
    [{ kind: "method_not_allowed", allow: "POST" }, 405, "invalid_request_error", null, true],
    [{ kind: "no_account" }, 503, "api_error", "60", true],
    [
      { kind: "no_account_free", none, causes: [], allRuledOut: true, boundTo: null },
      503,
      "api_error",
      "60",
      true,
    ],
    [
      {
        kind: "no_account_free",
        none,
        causes: [{ words: "w", needsPerson: false }],
        allRuledOut: true,
        boundTo: null,
      },
      503,
      "api_error",
      "10",
      false,
    ],
    [{ kind: "key_store_unavailable" }, 503, "api_error", "5", false],
    [{ kind: "meter_unavailable" }, 503, "api_error", "5", false],
    [{ kind: "relay_overloaded" }, 503, "api_error", "2", false],
    [{ kind: "upstream_unreachable", timedOut: false }, 503, "api_error", "10", false],
    [{ kind: "not_configured", problems: ["X is missing."] }, 503, "api_error", "60", true],
  ];

  test.each(cases)("%j", async (refusal, status, type, retryAfter, final) => {
    const answer = refuse(refusal, "rly_1", NOW_MS);
    const body = (await answer.json()) as { error: { message: string } };
    expect(answer.status).toBe(status);
    expect(answer.headers.get("retry-after")).toBe(retryAfter);
    expect(answer.headers.get("x-should-retry")).toBe(final ? "false" : null);
    expect(answer.headers.get("request-id")).toBe("rly_1");
    expect(body).toEqual({
      type: "error",
      error: { type, message: expect.stringMatching(/^Relay: .+[.]$/) },
      request_id: "rly_1",
    });
  });

  test.each([
    ["for a limit", "rate_limited", 429, "rate_limit_error"],
    ["since upstream is overloaded", "overloaded", 503, "api_error"],
    ["since its way fails", "failing", 503, "api_error"],
  ] as const)(
    "where every account rests, the first %s, its return is told and true",
    async (_, kind, status, type) => {
      const row = { name: "a" } as never;
      const rest = (untilMs: number, why: CoolDownKind) => ({
        row,
        standing: { kind: "cooling_down", untilMs, rest: why, reason: "the reason" } as const,
      });
      const standings = [rest(NOW_MS + 90_500, "rate_limited"), rest(NOW_MS + 30_200, kind)];
      const refusal: Refusal = {
        kind: "no_account_free",
        none: { standings },
        causes: [],
        allRuledOut: true,
        boundTo: null,
      };
      const answer = refuse(refusal, "rly_1", NOW_MS);
      const body = (await answer.json()) as { error: { type: string; message: string } };
      expect(answer.status).toBe(status);
      expect(body.error.type).toBe(type);
      expect(body.error.message).toContain("the reason");
      expect(answer.headers.get("x-should-retry")).toBeNull();
      expect(answer.headers.get("retry-after")).toBe("31");
      expect(body.error.message).toContain("2026-11-23 12:00:30 UTC");
    },
  );
});

test("request ids sort by time", () => {
  const early = newRequestId(1_000);
  const late = newRequestId(2_000);
  expect(early < late).toBe(true);
  expect(firstIdOf(1_000) < early && early < firstIdOf(1_001)).toBe(true);
  expect(newRequestId(1_000)).not.toBe(early);
});

test.each([
  ["/v1/messages", "/v1/messages"],
  ["/api/v1/messages", "/v1/messages"],
  ["/claude/v1/messages", "/v1/messages"],
  ["/v1//messages", "/v1/messages"],
  ["//api//v1///messages/", "/v1/messages"],
  ["/api/v1/key-info", "/v1/key-info"],
  ["/", "/"],
  ["/health/", "/health"],
  ["/api/hello", "/api/hello"],
])("the path %s is %s", (path, canonical) => {
  expect(canonicalPath(path)).toBe(canonical);
});
