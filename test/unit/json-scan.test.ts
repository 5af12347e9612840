import { describe, expect, test } from "vitest";
import { scanObject } from "../../src/relay/json-scan.ts";

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
