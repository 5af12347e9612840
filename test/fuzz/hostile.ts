import * as fc from "fast-check";

/** What has broken parsers, logs, headers and objects elsewhere. */
const TEXTS = [
  "",
  " ",
  "\0",
  "a\0b",
  "\r\nx-injected: 1",
  '\n{"level":"error","event":"injected"}',
  "\u001b[2J\u001b]0;title\u0007",
  "\u009b31m\u0085",
  "\u2028\u2029\u202e",
  "\ud800",
  "\udfff\ud800",
  "\ufeff",
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "../../../etc/passwd",
  "%00%0d%0a%2e%2e%2f%",
  "%E0%A4%A",
  "' OR 1=1 --",
  '"; DROP TABLE requests; --',
  '=HYPERLINK("http://127.0.0.1/")',
  "+1+1",
  "-1",
  "@SUM(A1)",
  '","',
  "<script>alert(1)</script>",
  "{{7*7}}",
  "NaN",
  "Infinity",
  "1e999",
  "-0",
  "9007199254740993",
  "99999999999999999999999999",
  "0x10",
  "2000-02-30",
  "0000-00-00",
  "1899-12-31T23:59:59Z",
  "+275760-09-13T00:00:00.001Z",
  "9999-12-31T23:59:60Z",
  "-000001-01-01T00:00:00Z",
  "2027-01-31",
  "2026-01-01T00:00:00Z",
];
const LONG = [1_000, 9_000, 70_000, 300_000];

export const longText: fc.Arbitrary<string> = fc
  .tuple(fc.constantFrom(...LONG), fc.constantFrom("a", "é", "\u0000", "😀", "(", "["))
  .map(([length, unit]) => unit.repeat(length / unit.length));

/** Any text: mostly short, sometimes of a kind that has broken something before. */
export const text: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...TEXTS) },
  { weight: 3, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
  { weight: 2, arbitrary: fc.string({ maxLength: 40 }) },
);

export const number: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(
    ...[0, -0, -1, 1, 0.1, 1e-320, 1e308, -1e308, 2 ** 31, 2 ** 53, 2 ** 53 + 2, 2 ** 63, 1e21],
  ),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);

/** Any value of JSON. */
export const value: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: text },
  { weight: 3, arbitrary: number },
  { weight: 2, arbitrary: fc.constantFrom<unknown>(null, true, false, [], {}, [[]], [null], "") },
  { weight: 1, arbitrary: longText },
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 3, stringUnit: "binary" }) },
  { weight: 1, arbitrary: fc.array(text, { maxLength: 60 }) },
);

/** Text of JSON whose parsing would change `Object.prototype`, were it merged without care. */
export const POLLUTION = [
  '"__proto__":{"name":"polluted","enabled":false,"polluted":true}',
  '"constructor":{"prototype":{"name":"polluted","polluted":true}}',
  '"__proto__":null',
  '"__proto__":[]',
];

/** The same bytes, cut, doubled, turned or replaced in a few places. */
export function bent(bytes: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({
    at: fc.nat(),
    drop: fc.nat({ max: 8 }),
    put: fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc
        .constantFrom('"', "{", "}", "[", "]", ",", ":", "\\", "\\u", "\r\n", "\n\n", "1e999", "-")
        .map((piece) => new TextEncoder().encode(piece)),
    ),
  });
  return fc.tuple(bytes, fc.array(edit, { maxLength: 4 })).map(([whole, edits]) => {
    let out = whole;
    for (const { at, drop, put } of edits) {
      const from = at % (out.length + 1);
      const rest = out.subarray(Math.min(out.length, from + drop));
      const next = new Uint8Array(from + put.length + rest.length);
      next.set(out.subarray(0, from));
      next.set(put, from);
      next.set(rest, from + put.length);
      out = next;
    }
    return out;
  });
}
