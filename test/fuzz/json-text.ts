import * as fc from "fast-check";
import { bent, POLLUTION, value } from "./hostile.ts";

/** Text of JSON as no serialiser writes it: names twice, escapes, depth, numbers of any size. */

const encoder = new TextEncoder();
const MODEL = '"model":"claude-sonnet-5"';
const REST = '"max_tokens":16,"messages":[{"role":"user","content":"Hello"}]';
/** Around the relay's bound of 512, and far beyond it. */
const DEPTHS = [1, 100, 510, 511, 512, 513, 514, 5_000, 100_000];

const nested = fc
  .tuple(fc.constantFrom(...DEPTHS), fc.constantFrom(["[", "]"], ['{"a":', "}"]), fc.boolean())
  .map(([depth, [open = "", close = ""], isWhole]) => {
    const inner = open === "[" ? "" : "1";
    return `"deep":${open.repeat(depth)}${inner}${isWhole ? close.repeat(depth) : ""}`;
  });

const member: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    MODEL,
    '"model":"claude-opus-5"',
    '"m\\u006fdel":"claude-opus-5"',
    '"model":null',
    '"model":["claude-sonnet-5"]',
    '"model":"\\ud800"',
    '"model":"a\\u0000\\r\\nx-injected: 1"',
    `"model":"${"m".repeat(5_000)}"`,
    '"model":"__proto__"',
    '"stream":false',
    '"stream":"true"',
    '"stream":1e999',
    '"metadata":{"user_id":"{\\"session_id\\":\\"__proto__\\"}"}',
    '"metadata":{"user_id":"{\\"session_id\\":"}',
    '"metadata":{"user_id":"user__session_00000000-0000-0000-0000-000000000000"}',
    '"metadata":[]',
    '"thread":{"previous_message_id":"msg_\\u0000"}',
    '"thread":null',
    '"system":"\\ud83d"',
    '"system":{"a":[{}]}',
    '"messages":[]',
    '"messages":[{"role":"user"},{"role":"user","role":"assistant"}]',
    '"messages":[[[{"role":"user"}]]]',
    '"number":1e999',
    '"number":-0.0e-0',
    `"number":${"9".repeat(400)}`,
    '"text":"\u0000"',
    '"text":"\u0001\u007f"',
    '"":0',
    ...POLLUTION,
  ),
  nested,
  fc
    .tuple(fc.jsonValue({ maxDepth: 2, stringUnit: "binary" }), value)
    // An object may have a `toString` of its own that is none.
    .map(([name, held]) => `${JSON.stringify(nameOf(name))}:${JSON.stringify(held)}`),
);

function nameOf(any: unknown): string {
  return typeof any === "string" ? any : JSON.stringify(any);
}

const blank = fc.constantFrom("", "", " ", "\t\r\n", "\u000b", "\u00a0", "\ufeff", "/**/");

/** An object whose members may be any, in any order, as often as they like. */
const object = fc
  .tuple(fc.array(member, { maxLength: 4 }), fc.boolean(), blank, blank)
  .map(([members, isPlain, before, after]) => {
    const all = isPlain ? [MODEL, ...members, REST] : members;
    return `${before}{${all.join(",")}}${after}`;
  });

const other = fc.constantFrom("", "null", "[]", '"text"', "1", "{", "{}", "}{", "{,}", '{"model"}');

function utf16(plain: string): Uint8Array {
  const bytes = new Uint8Array(2 + 2 * plain.length);
  new DataView(bytes.buffer).setUint16(0, 0xfeff, true);
  for (let at = 0; at < plain.length; at += 1) {
    new DataView(bytes.buffer).setUint16(2 + 2 * at, plain.charCodeAt(at), true);
  }
  return bytes;
}

const plain = object.map((written) => encoder.encode(written));

/** The body of a message, good or not. */
export const messageBody: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 5, arbitrary: plain },
  { weight: 3, arbitrary: bent(plain) },
  { weight: 1, arbitrary: other.map((written) => encoder.encode(written)) },
  { weight: 1, arbitrary: object.map(utf16) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) },
);
