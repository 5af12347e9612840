import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { longText, text } from "./hostile.ts";
import { messageBody } from "./json-text.ts";
import { type RawAnswer, sendRaw } from "./raw-http.ts";
import type { Stage } from "./stage.ts";
import { must, type Target } from "./target.ts";

/** The door for API clients, and the bytes of HTTP in front of it. */

const encoder = new TextEncoder();
const GOOD_BODY =
  '{"model":"claude-sonnet-5","max_tokens":16,"messages":[{"role":"user","content":"Hello"}]}';
/** Stands for the key that is good, where an input is made before the key is. */
const KEY = "{KEY}";
/** What a request inside another one asks for: upstream must never see it. */
const SMUGGLED = "smuggled";
/** The runtime's own: the bytes are HTTP that it does not speak. */
const RUNTIME_STATUSES = [400, 405, 408, 411, 413, 414, 426, 431, 501, 505];
const PLAIN_HEADERS: [string, string][] = [
  ["host", "relay.test"],
  ["x-api-key", KEY],
  ["anthropic-version", "2023-06-01"],
  ["content-type", "application/json"],
];

interface Sent {
  method: string;
  target: string;
  headers: readonly (readonly [string, string])[];
  body: Uint8Array;
  /** Headers that say how long the body is; the right one, unless given. */
  framing?: readonly string[];
}

function requestBytes({ method, target, headers, body, framing }: Sent, key: string): Uint8Array {
  const lines = headers.map(([name, value]) => `${name}: ${value}`);
  const all = [...lines, ...(framing ?? [`content-length: ${body.length}`])];
  const head = `${method} ${target} HTTP/1.1\r\n${all.join("\r\n")}\r\n\r\n`.replaceAll(KEY, key);
  return Buffer.concat([encoder.encode(head), body]);
}

async function send(stage: Stage, sent: Sent, end: boolean): Promise<RawAnswer | null> {
  const { relay, key } = stage;
  relay.fake.ledger.clear();
  const outcome = await sendRaw(relay.url, requestBytes(sent, key.apiKey), {
    end,
    isHead: sent.method === "HEAD",
  });
  must(outcome.kind !== "hung", "no answer came, and the connection stayed open");
  const leaks = relay.fake.ledger.violations().filter((each) => !each.includes("missing_version"));
  must(leaks.length === 0, `upstream saw ${leaks.join(", ")}`);
  for (const { path, query, requestHeaders } of relay.fake.ledger.entries()) {
    const seen = JSON.stringify([path, query, Object.keys(requestHeaders)]);
    must(!seen.includes(SMUGGLED), `upstream saw ${seen}`);
    must(isOwnHeader(sent) || !seen.includes('"x-injected"'), `upstream saw ${seen}`);
    must(path.startsWith("/v1/"), `upstream was asked for ${path}`);
  }
  if (outcome.kind === "closed") {
    must(end || sent.framing !== undefined || !isPlain(sent), "closed without an answer");
    return null;
  }
  mustBeSound(stage, outcome.answer, sent.method);
  return outcome.answer;
}

/** A line break in a header ends it: what follows is another header of the client's, and goes on as such. */
function isOwnHeader({ headers }: Sent): boolean {
  return headers.some((pair) => pair.join().includes("\r\nx-injected"));
}

/** Of characters that HTTP allows where they stand. */
function isPlain({ target, headers }: Sent): boolean {
  return (
    /^\/[\x21-\x7e]*$/.test(target) &&
    headers.every(([name, value]) => /^[a-z0-9-]+$/i.test(name) && /^[\x20-\x7e]*$/.test(value))
  );
}

function mustBeSound(stage: Stage, { status, headers, body }: RawAnswer, method: string): void {
  stage.mustHoldNoSecret(JSON.stringify(headers) + body);
  must(!("x-injected" in headers), "the answer has a header that the input wrote");
  must(!body.includes(stage.key.apiKey), "the answer holds the key");
  const told = `${status} ${body.slice(0, 300)}`;
  if (headers["x-relay-request-id"] === undefined && RUNTIME_STATUSES.includes(status)) return;
  must(status < 500, told);
  if (status < 400 || method === "HEAD" || body === "") return;
  const { type, error } = JSON.parse(body) as {
    type: unknown;
    error: { type?: unknown; message?: unknown };
  };
  const hasShape =
    type === "error" && typeof error?.type === "string" && typeof error.message === "string";
  must(hasShape, `no error of the documented shape: ${told}`);
}

const messages: Target<Stage> = {
  name: "message bodies",
  runs: 250,
  property: (stage) =>
    fc.asyncProperty(
      messageBody,
      fc.constantFrom("application/json", "text/plain", "application/json; charset=utf-16", "\tx"),
      fc.constantFrom(null, null, null, null, "gzip", "identity", "br, gzip", "\ud800"),
      fc.constantFrom("/v1/messages", "/v1/messages/count_tokens", "/v1/messages?beta=true"),
      async (body, contentType, encoding, target) => {
        const headers: [string, string][] = [
          ...PLAIN_HEADERS.slice(0, -1),
          ["content-type", contentType],
          ...(encoding === null ? [] : [["content-encoding", encoding] satisfies [string, string]]),
        ];
        const answer = await send(stage, { method: "POST", target, headers, body }, false);
        const sha256 = createHash("sha256").update(body).digest("hex");
        const entries = stage.relay.fake.ledger.entries();
        const same = entries.every(({ requestBodySha256 }) => requestBodySha256 === sha256);
        must(same, "upstream got other bytes");
        const isGood = entries.length > 0 || (answer !== null && answer.status >= 400);
        must(isGood, `upstream saw nothing, and the client is told ${answer?.status}`);
      },
    ),
};

const headerName = fc.oneof(
  fc.constantFrom(
    ...[
      "x-api-key",
      "authorization",
      "api-key",
      "cookie",
      "Cookie2",
      "X-API-Key",
      "proxy-authorization",
    ],
    ...["connection", "te", "trailer", "upgrade", "expect", "keep-alive", "via", "forwarded"],
    ...["x-forwarded-for", "x-forwarded-host", "cf-connecting-ip", "cf-ray", "x-real-ip", "origin"],
    ...["accept-encoding", "anthropic-beta", "anthropic-version", "user-agent", "accept", "host"],
    ...[
      "x-relay-request-id",
      "x-http-method-override",
      "range",
      "if-none-match",
      "__proto__",
      "x-a",
    ],
  ),
  fc.stringMatching(/^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,30}$/),
  text,
);
const headerValue = fc.oneof(
  fc.constantFrom(
    ...[KEY, `Bearer ${KEY}`, `bearer  ${KEY}`, `Basic ${KEY}`, `${KEY}, ${KEY}`, `session=${KEY}`],
    ...[
      "x-api-key, content-length",
      "close, x-api-key, anthropic-version",
      "content-type,authorization",
    ],
    ...["keep-alive", "transfer-encoding", "host", "trailers", "websocket", "h2c", "100-continue"],
    ...[
      "127.0.0.1",
      "for=127.0.0.1",
      "evil.test",
      "evil.test:99999",
      "a b",
      "oauth-2025-04-20",
      ",",
    ],
    ...["identity;q=0", "gzip, br, zstd", "bytes=0-0", "DELETE", "*"],
  ),
  text,
  longText,
);
/** Slots that are no credential's: what a client puts there of its own will goes on as it is. */
const holdsKeyElsewhere = ([name, value]: readonly [string, string]): boolean =>
  value.includes(KEY) &&
  !/^(?:x-api-key|authorization|api-key|cookie2?|proxy-.*|forwarded|via|x-forwarded-.*|cf-.*)$/i.test(
    name,
  );
const header = fc
  .tuple(headerName, headerValue)
  .map((pair): [string, string] => (holdsKeyElsewhere(pair) ? ["x-api-key", pair[1]] : pair))
  // These say how long the body is: they have a target of their own.
  .filter(([name]) => !/^(?:content-length|transfer-encoding)/i.test(name.trim()));
const manyHeaders = fc
  .tuple(fc.constantFrom(50, 300, 2_000), fc.constantFrom("x-many", "x-api-key", "connection"))
  .map(([count, name]) => Array.from({ length: count }, (): [string, string] => [name, "x-a"]));

const headers: Target<Stage> = {
  name: "headers and credentials",
  runs: 250,
  property: (stage) =>
    fc.asyncProperty(
      fc.oneof({ weight: 12, arbitrary: fc.array(header, { maxLength: 5 }) }, manyHeaders),
      fc.boolean(),
      async (more, isLast) => {
        const all = isLast ? [...PLAIN_HEADERS, ...more] : [...more, ...PLAIN_HEADERS];
        const body = encoder.encode(GOOD_BODY);
        const sent = { method: "POST", target: "/v1/messages", headers: all, body };
        // A line that is cut in two is another message: nothing more comes for it.
        await send(stage, sent, !isPlain(sent));
        for (const { requestBodyBytes } of stage.relay.fake.ledger.entries()) {
          must(requestBodyBytes === body.length, "upstream got another body");
        }
      },
    ),
};

const segment = fc.constantFrom(
  ...["v1", "messages", "models", "usage", "admin", "api", "claude", "health", "metrics", "web"],
  ...[
    "..",
    ".",
    "%2e%2e",
    "%2E",
    "%2f",
    "%5c",
    "\\",
    "",
    "%00",
    "%ff",
    "%",
    "%zz",
    ";a=b",
    "@evil",
  ],
  ...["api-keys", "claude-accounts", "key-info", "count_tokens", "x".repeat(9_000), "__proto__"],
);
const target = fc.oneof(
  fc.array(segment, { maxLength: 6 }).map((segments) => `/${segments.join("/")}`),
  fc.constantFrom(
    ...[
      "*",
      "http://evil.test/v1/messages",
      "https://127.0.0.1/v1/models",
      "//evil.test/v1/messages",
    ],
    ...["evil.test:443", "/v1/messages#x", "/v1/models/%E0%A4%A", "/v1/models/..%2fmessages", "?"],
    ...["/\\evil.test/web", "//evil.test/..", "/web/../admin/session", "/v1/messages?%00=%ff&&=&?"],
  ),
  text.map((any) => `/v1/models/${any}`),
  text.map((any) => `/v1/messages?${any}`),
);

const paths: Target<Stage> = {
  name: "targets and queries",
  runs: 300,
  property: (stage) =>
    fc.asyncProperty(
      // Not CONNECT: the runtime answers it by itself, before the Worker, and the edge lets none in.
      fc.constantFrom("GET", "POST", "HEAD", "DELETE", "OPTIONS", "TRACE", "get", "X"),
      target,
      async (method, asked) => {
        const body = encoder.encode(method === "POST" ? GOOD_BODY : "");
        const sent = { method, target: asked, headers: PLAIN_HEADERS, body };
        const answer = await sendAnywhere(stage, sent, !isPlain(sent));
        const led = answer?.headers.location;
        must(led === undefined || /^\/(?![/\\])/.test(led), `led to ${led}`);
      },
    ),
};

/** The doors beside the client API answer in other shapes; none answers with a fault or a secret. */
async function sendAnywhere(stage: Stage, sent: Sent, end: boolean): Promise<RawAnswer | null> {
  const { relay, key } = stage;
  const outcome = await sendRaw(relay.url, requestBytes(sent, key.apiKey), {
    end,
    isHead: sent.method === "HEAD",
  });
  must(outcome.kind !== "hung", "no answer came, and the connection stayed open");
  if (outcome.kind === "closed") return null;
  const { status, body, headers: answered } = outcome.answer;
  stage.mustHoldNoSecret(JSON.stringify(answered) + body);
  const isRuntimes = answered["x-relay-request-id"] === undefined;
  must(status < 500 || (isRuntimes && RUNTIME_STATUSES.includes(status)), `${status} ${body}`);
  return outcome.answer;
}

const inner = `GET /v1/models?${SMUGGLED} HTTP/1.1\r\nhost: a\r\n\r\n`;
const chunked = (body: string, size = body.length.toString(16)) =>
  `${size}\r\n${body}\r\n0\r\n\r\n`;
const framingLine = fc.oneof(
  fc.constantFrom(
    ...["transfer-encoding: chunked", "Transfer-Encoding : chunked", "transfer-encoding:\tchunked"],
    ...[
      "transfer-encoding: xchunked",
      "transfer-encoding: chunked, identity",
      "transfer-encoding: gzip",
    ],
    ...[
      "transfer-encoding:\u000bchunked",
      " transfer-encoding: chunked",
      "x: y\n transfer-encoding: chunked",
    ],
    ...["transfer-encoding: chunked\r\ntransfer-encoding: cow", "TRANSFER-ENCODING: CHUNKED"],
    ...["content-length: 0", "content-length: 5", "content-length: -1", "content-length: +90"],
    ...[
      "content-length: 1e2",
      "content-length: 0x5a",
      "content-length: 90, 90",
      "content-length: 90 ",
    ],
    ...[
      "content-length: 99999999999999999999",
      "content-length: ",
      "Content_Length: 3",
      "expect: 100-continue",
    ],
  ),
  fc.nat({ max: 400 }).map((length) => `content-length: ${length}`),
);
const framedBody = fc.oneof(
  fc.constantFrom(
    ...[GOOD_BODY, chunked(GOOD_BODY), chunked(GOOD_BODY) + inner, GOOD_BODY + inner, inner],
    ...[`0\r\n\r\n${inner}`, chunked(GOOD_BODY, "FFFFFFFFFFFFFFFFF"), chunked(GOOD_BODY, "-1")],
    ...[
      chunked(GOOD_BODY, `5a;${"x".repeat(5_000)}`),
      `5a\n${GOOD_BODY}\n0\n\n${inner}`,
      "5a\r\n{",
    ],
  ),
  text,
);

const smuggling: Target<Stage> = {
  name: "lengths and chunks over a raw socket",
  runs: 250,
  property: (stage) =>
    fc.asyncProperty(fc.array(framingLine, { maxLength: 3 }), framedBody, async (framing, body) => {
      const sent = { method: "POST", target: "/v1/messages", headers: PLAIN_HEADERS, framing };
      await send(stage, { ...sent, body: encoder.encode(body) }, true);
    }),
};

const rawKey = fc.oneof(
  text,
  longText,
  fc.stringMatching(/^cr_[0-9a-fA-F]{60,68}$/),
  fc.constantFrom(`${KEY} `, ` ${KEY}`, `${KEY}\0`, `${KEY},`, KEY.toUpperCase(), "cr_", "Bearer"),
);

const keys: Target<Stage> = {
  name: "relay keys",
  runs: 150,
  property: (stage) =>
    fc.asyncProperty(
      rawKey,
      fc.constantFrom("x-api-key", "authorization", "api-key"),
      async (shown, slot) => {
        const headers: [string, string][] = [
          ["host", "a"],
          [slot, shown],
        ];
        const sent = { method: "GET", target: "/v1/usage", headers, body: encoder.encode("") };
        const answer = await send(stage, sent, !isPlain(sent));
        const isGood = shown.replaceAll(/[\s\0]/g, "") === KEY;
        must(isGood || (answer?.status ?? 401) !== 200, "a key that is none was let in");
      },
    ),
};

const wellAfterwards = (target: Target<Stage>): Target<Stage> => ({
  ...target,
  afterwards: (stage) => stage.mustBeWell(),
});

export const CLIENT_TARGETS = [messages, headers, paths, smuggling, keys].map(wellAfterwards);
