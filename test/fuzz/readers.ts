import * as fc from "fast-check";
import { conversationOf } from "../../src/relay/conversation.ts";
import { parseSlice, scanObject } from "../../src/relay/json-scan.ts";
import { readMessageFields } from "../../src/relay/message-fields.ts";
import { readMessageJson } from "../../src/upstream/message-json.ts";
import { MessageStreamReader } from "../../src/upstream/message-stream.ts";
import type { UsageReading } from "../../src/upstream/usage.ts";
import { bent, number, text, value } from "./hostile.ts";
import { messageBody } from "./json-text.ts";
import { must, type Target } from "./target.ts";

/** The readers of the hot path, in this process. */

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();
const NAMES = ["model", "stream", "metadata", "thread"];
const MAX_DEPTH = 512;
const ownNames = Object.getOwnPropertyNames(Object.prototype).join();

const parsed = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
};

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** Containers in containers, the outermost not counted. Of the text: parsing drops what stands twice. */
function depthOf(bytes: Uint8Array): number {
  const brackets = decoder.decode(bytes).replace(/"(?:[^"\\]|\\.)*"/gs, "");
  let depth = 0;
  let deepest = 0;
  for (const character of brackets) {
    if (character === "[" || character === "{") depth += 1;
    else if (character === "]" || character === "}") depth -= 1;
    deepest = Math.max(deepest, depth);
  }
  return deepest - 1;
}

const jsonScan: Target<void> = {
  name: "JSON scan, against JSON.parse",
  runs: 2_000,
  property: () =>
    fc.asyncProperty(messageBody, async (bytes) => {
      const scan = scanObject(bytes, new Set(NAMES));
      const json = parsed(bytes);
      if (scan.kind === "object") {
        must(isObject(json), "it took for an object what JSON.parse does not");
        for (const name of NAMES) {
          const slice = scan.found.get(name);
          const isThere = Object.hasOwn(json, name);
          must((slice !== undefined) === isThere, `${name} was found on one side only`);
          const same =
            slice === undefined ||
            JSON.stringify(parseSlice(bytes, slice)) === JSON.stringify(json[name]);
          must(same, `another value was found for ${name}`);
        }
      } else if (scan.kind === "not_json") {
        must(!isObject(json), `it refused at ${scan.atByte} what JSON.parse takes`);
      } else if (scan.kind === "too_deep" && json !== undefined) {
        must(depthOf(bytes) > MAX_DEPTH, "it called too deep what is not");
      }
    }),
};

const messageFields: Target<void> = {
  name: "message fields and conversation",
  runs: 2_000,
  property: () =>
    fc.asyncProperty(messageBody, async (bytes) => {
      const before = bytes.slice();
      const read = readMessageFields(bytes);
      if (read.ok) {
        const name = conversationOf(bytes, read.value.opening);
        must(name === null || /^conversation:[0-9a-f]{16}$/.test(name), `named ${name}`);
        const again = conversationOf(bytes, read.value.opening);
        must(name === again, "the same bytes were named in two ways");
      }
      must(Buffer.compare(before, bytes) === 0, "the body was changed");
      must(Object.getOwnPropertyNames(Object.prototype).join() === ownNames, "it pollutes objects");
    }),
};

const usage = fc.dictionary(
  fc.constantFrom(
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "server_tool_use",
    "iterations",
    "__proto__",
  ),
  fc.oneof(number, value),
);
const messageObject = fc.record({
  type: fc.oneof(fc.constant("message"), value),
  id: fc.oneof(fc.constant("msg_1"), value),
  model: fc.oneof(fc.constant("claude-sonnet-5"), value),
  content: value,
  stop_reason: value,
  usage: fc.oneof({ weight: 3, arbitrary: usage }, value),
});
const event: fc.Arbitrary<string> = fc.oneof(
  messageObject.map((message) => JSON.stringify({ type: "message_start", message })),
  usage.map((all) => JSON.stringify({ type: "message_delta", delta: {}, usage: all })),
  fc
    .tuple(
      fc.constantFrom(
        ["text_delta", "text"],
        ["thinking_delta", "thinking"],
        ["input_json_delta", "partial_json"],
      ),
      text,
    )
    .map(([[type = "", name = ""], words]) => {
      const delta = { type, [name]: words };
      return JSON.stringify({ type: "content_block_delta", index: 0, delta });
    }),
  fc.constantFrom('{"type":"message_stop"}', '{"type":"ping"}', "{", "null", "[]", '"text"', ""),
  value.map((error) => JSON.stringify({ type: "error", error })),
  value.map((block) => JSON.stringify({ type: "content_block_start", content_block: block })),
  value.map((any) => JSON.stringify(any)),
);
const line = fc.tuple(
  event,
  fc.constantFrom("data: ", "data:", "data:  ", "event: x\ndata: ", ": "),
);
const stream = fc
  .tuple(
    fc.array(line, { maxLength: 8 }),
    fc.constantFrom("\n\n", "\r\n\r\n", "\r\r", "\n", "\r\n"),
  )
  .map(([lines, end]) => encoder.encode(lines.map(([data, head]) => head + data + end).join("")));

function readStream(chunks: readonly Uint8Array[]): UsageReading {
  const reader = new MessageStreamReader();
  for (const chunk of chunks) reader.push(chunk);
  return reader.finish();
}

function mustBeSound(reading: UsageReading): void {
  for (const [name, count] of Object.entries(reading.tokens)) {
    const isCount = Number.isSafeInteger(count) && count >= 0;
    must(isCount, `${name} is ${count}`);
  }
  must(Object.getOwnPropertyNames(Object.prototype).join() === ownNames, "it pollutes objects");
}

const messageStream: Target<void> = {
  name: "SSE reader, in any chunks",
  runs: 1_000,
  property: () =>
    fc.asyncProperty(
      fc.oneof(stream, bent(stream)),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
      async (bytes, sizes) => {
        const whole = readStream([bytes]);
        mustBeSound(whole);
        const chunks: Uint8Array[] = [];
        // Long streams in a thousand pieces or so: each size is a part of the whole then.
        const unit = Math.max(1, Math.floor(bytes.length / 20_000));
        for (let at = 0, nth = 0; at < bytes.length; nth += 1) {
          const size = (sizes[nth % sizes.length] ?? 1) * unit;
          chunks.push(bytes.slice(at, at + size));
          at += size;
        }
        const inChunks = readStream(chunks);
        const [one, other] = [JSON.stringify(whole), JSON.stringify(inChunks)];
        must(one === other, `whole ${one}, in chunks ${other}`);
      },
    ),
};

const messageJson: Target<void> = {
  name: "reader of whole answers",
  runs: 1_000,
  property: () => {
    const whole = messageObject.map((message) => encoder.encode(JSON.stringify(message)));
    return fc.asyncProperty(fc.oneof(whole, bent(whole), messageBody), async (bytes) =>
      mustBeSound(readMessageJson(bytes)),
    );
  },
};

export const READER_TARGETS = [jsonScan, messageFields, messageStream, messageJson];
