import { describe, expect, test } from "vitest";
import { readMessageJson } from "../../src/upstream/message-json.ts";
import { MessageStreamReader } from "../../src/upstream/message-stream.ts";
import type { UsageReading } from "../../src/upstream/usage.ts";

const encoder = new TextEncoder();

function event(data: unknown, name = (data as { type: string }).type): string {
  return `event: ${name}\ndata: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
}

function delta(fields: object): string {
  return event({ type: "content_block_delta", index: 0, delta: fields });
}

const startUsage = {
  input_tokens: 12,
  cache_creation_input_tokens: 300,
  cache_read_input_tokens: 4000,
  cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
  output_tokens: 3,
  service_tier: "standard",
  inference_geo: "us",
  speed: "fast",
};

function messageStart(usage: unknown = startUsage): string {
  const message = { id: "msg_01", type: "message", model: "claude-opus-5", usage };
  return event({ type: "message_start", message });
}

const messageStop = event({ type: "message_stop" });

function messageDelta(usage: unknown, stopReason: string | null = "end_turn"): string {
  return event({ type: "message_delta", delta: { stop_reason: stopReason }, usage });
}

// 4 characters: two of them are escaped in JSON, one takes three bytes.
const sampleText = 'a"\n—';
const sample =
  messageStart() +
  event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }) +
  'event: ping\ndata: {"type": "ping"}\n\n' +
  delta({ type: "text_delta", text: "Hello, wörld — 你好 👋" }) +
  delta({ type: "text_delta", text: sampleText }) +
  ": a comment\n\n" +
  delta({ type: "input_json_delta", partial_json: '{"path":"C:\\\\x"}' }) +
  event({ type: "content_block_stop", index: 0 }) +
  messageDelta({ output_tokens: 77, server_tool_use: { web_search_requests: 2 } }) +
  messageStop;

function readChunks(chunks: Iterable<Uint8Array>): UsageReading {
  const reader = new MessageStreamReader();
  for (const chunk of chunks) reader.push(chunk);
  return reader.finish();
}

function read(stream: string): UsageReading {
  return readChunks([encoder.encode(stream)]);
}

function* chunksOf(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

const expected: UsageReading = {
  messageId: "msg_01",
  model: "claude-opus-5",
  tokens: {
    inputTokens: 12,
    outputTokens: 77,
    cacheWrite5mTokens: 100,
    cacheWrite1hTokens: 200,
    cacheReadTokens: 4000,
  },
  webSearchRequests: 2,
  webFetchRequests: 0,
  serviceTier: "standard",
  speed: "fast",
  inferenceGeo: "us",
  iterations: [],
  stopReason: "end_turn",
  end: "complete",
  errorType: null,
  estimated: false,
  hasUsage: true,
};

describe("every chunking of a stream gives the same reading", () => {
  const endings = { LF: "\n", CRLF: "\r\n", CR: "\r" };
  for (const [name, lineEnd] of Object.entries(endings)) {
    const whole = sample.replaceAll("\n", lineEnd);
    // Cut before the final count, so that the reading shows the characters counted.
    const cut = whole.slice(0, whole.indexOf("event: message_delta"));

    test(`with ${name}, whole, byte by byte, and split in two anywhere`, () => {
      const bytes = encoder.encode(whole);
      expect(readChunks([bytes])).toEqual(expected);
      for (const size of [1, 2, 3, 7, 64]) {
        expect(readChunks(chunksOf(bytes, size)), `chunks of ${size}`).toEqual(expected);
      }
      for (let at = 1; at < bytes.length; at++) {
        expect(readChunks([bytes.slice(0, at), bytes.slice(at)]), `split at ${at}`).toEqual(
          expected,
        );
      }
    });

    test(`with ${name}, the characters streamed before a cut`, () => {
      const bytes = encoder.encode(cut);
      const reading = readChunks([bytes]);
      // 20 + 4 + 16 UTF-16 units, at four a token.
      expect(reading.tokens.outputTokens).toBe(10);
      for (const size of [1, 5, 100]) expect(readChunks(chunksOf(bytes, size))).toEqual(reading);
      for (let at = 1; at < bytes.length; at++) {
        expect(readChunks([bytes.slice(0, at), bytes.slice(at)])).toEqual(reading);
      }
    });
  }

  test("empty chunks change nothing", () => {
    const none = new Uint8Array();
    expect(readChunks([none, encoder.encode(sample), none])).toEqual(expected);
  });
});

describe("the wire is read as the event stream format says", () => {
  test("a byte order mark before the first event", () => {
    expect(read(`\uFEFF${sample}`)).toEqual(expected);
    const unnamed = encoder.encode(`\uFEFF${sample.replace(/^event: .*\n/gm, "")}`);
    for (const size of [1, 2, 1000]) expect(readChunks(chunksOf(unnamed, size))).toEqual(expected);
  });

  test("the type in the data decides where event lines are missing or wrong", () => {
    expect(read(sample.replace(/^event: .*\n/gm, ""))).toEqual(expected);
    expect(read(sample.replace(/^event: .*$/gm, "event: nonsense"))).toEqual(expected);
  });

  test("no space after the colon", () => {
    expect(read(sample.replaceAll("data: ", "data:"))).toEqual(expected);
  });

  test("data spread over several lines", () => {
    const spread = sample
      .replaceAll('"usage":', '\ndata: "usage":')
      .replaceAll("}}\n", "}\ndata: }\n");
    expect(read(spread)).toEqual(expected);
    // A CRLF that falls apart must not look like the blank line that ends an event.
    const crlf = encoder.encode(spread.replaceAll("\n", "\r\n"));
    expect(readChunks(chunksOf(crlf, 1))).toEqual(expected);
  });

  test("unknown events, unknown fields and ids pass", () => {
    const odd = `${event({ type: "sparkle", usage: { output_tokens: 9999 } })}id: 7\nretry: 5\nfoo\n\n`;
    expect(read(odd + sample.replace("event: ping", "id: 3\nevent: ping"))).toEqual(expected);
  });

  test("spaces before the closing brace, as upstream pads its deltas", () => {
    const padded = sample.replace(/("content_block_delta".*)\}$/gm, "$1          }");
    expect(read(padded)).toEqual(expected);
  });

  test("one malformed event costs only itself", () => {
    const broken = 'event: message_delta\ndata: {"type":"message_delta","usage":{"output_to\n\n';
    expect(read(broken + sample.replace(messageStop, broken + messageStop))).toEqual(expected);
    expect(read(`data: null\n\ndata: [1]\n\ndata: 3\n\ndata:\n\n${sample}`)).toEqual(expected);
  });

  test("bytes that are not UTF-8 do not stop the reading", () => {
    const bytes = encoder.encode(sample);
    const spoiled = new Uint8Array([...encoder.encode("data: "), 0xff, 0xc3, 10, 10, ...bytes]);
    expect(readChunks([spoiled])).toEqual(expected);
    expect(readChunks(chunksOf(spoiled, 1))).toEqual(expected);
  });

  test("an event of 300 KB is read, one of 2 MiB or 8 MiB is skipped without harm", () => {
    const large = messageStart({ ...startUsage, note: "x".repeat(300_000) });
    const body = sample.slice(messageStart().length);
    for (const size of [1000, 65_536, 20_000_000]) {
      expect(readChunks(chunksOf(encoder.encode(large + body), size))).toEqual(expected);
    }
    for (const mebibytes of [2, 8]) {
      const giant = event({
        type: "message_delta",
        x: "y".repeat(mebibytes * 2 ** 20),
        usage: { output_tokens: 1 },
      });
      const bytes = encoder.encode(sample.replace(messageStop, giant + messageStop));
      for (const size of [4099, 65_536, 20_000_000]) {
        expect(readChunks(chunksOf(bytes, size)), `${mebibytes} MiB, ${size}`).toEqual(expected);
      }
    }
  });

  test("an event that goes on behind a giant line is skipped whole", () => {
    const rest = '\ndata: {"type":"message_delta","usage":{"output_tokens":1}}\n\n';
    for (const mebibytes of [2, 8]) {
      const giant = `data: ${"y".repeat(mebibytes * 2 ** 20)}${rest}`;
      const bytes = encoder.encode(sample.replace(messageStop, giant + messageStop));
      for (const size of [65_536, 20_000_000]) {
        expect(readChunks(chunksOf(bytes, size))).toEqual(expected);
      }
    }
  });
});

describe("usage", () => {
  test("is cumulative: the last non-null value of everything wins, nothing is added up", () => {
    const reading = read(
      messageStart() +
        messageDelta({ output_tokens: 10, input_tokens: 20, cache_read_input_tokens: null }, null) +
        messageDelta({ output_tokens: 50, input_tokens: null, cache_read_input_tokens: 4100 }) +
        messageStop,
    );
    expect(reading.tokens).toEqual({
      ...expected.tokens,
      inputTokens: 20,
      outputTokens: 50,
      cacheReadTokens: 4100,
    });
  });

  test("a message_delta with nothing but output_tokens leaves the rest", () => {
    const reading = read(messageStart() + messageDelta({ output_tokens: 5 }) + messageStop);
    expect(reading.tokens).toEqual({ ...expected.tokens, outputTokens: 5 });
    expect(reading.estimated).toBe(false);
  });

  test("a later total of cache writes is shared as the start's split was", () => {
    const grown = messageDelta({ output_tokens: 5, cache_creation_input_tokens: 600 });
    expect(read(messageStart() + grown + messageStop).tokens).toMatchObject({
      cacheWrite5mTokens: 200,
      cacheWrite1hTokens: 400,
    });
    const odd = messageDelta({ output_tokens: 5, cache_creation_input_tokens: 301 });
    expect(read(messageStart() + odd + messageStop).tokens).toMatchObject({
      cacheWrite5mTokens: 101,
      cacheWrite1hTokens: 200,
    });
  });

  test("cache writes without a split count as five minutes", () => {
    const usage = { input_tokens: 1, cache_creation_input_tokens: 300, output_tokens: 1 };
    const reading = read(messageStart(usage) + messageDelta({ output_tokens: 5 }) + messageStop);
    expect(reading.tokens).toMatchObject({ cacheWrite5mTokens: 300, cacheWrite1hTokens: 0 });
  });

  test("a split that only the iterations know is used", () => {
    const iteration = {
      type: "message",
      model: null,
      input_tokens: 1,
      output_tokens: 5,
      cache_creation_input_tokens: 300,
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 300 },
    };
    const usage = { input_tokens: 1, cache_creation_input_tokens: 300, output_tokens: 1 };
    const end = messageDelta({ output_tokens: 5, iterations: [iteration, "junk"] });
    const reading = read(messageStart(usage) + end + messageStop);
    expect(reading.tokens).toMatchObject({ cacheWrite5mTokens: 0, cacheWrite1hTokens: 300 });
    expect(reading.iterations).toEqual([
      {
        type: "message",
        model: null,
        inputTokens: 1,
        outputTokens: 5,
        cacheWrite5mTokens: 0,
        cacheWrite1hTokens: 300,
        cacheReadTokens: 0,
      },
    ]);
  });

  test("the model that a fallback handed over to is the one that answered", () => {
    const to = { model: "claude-opus-4-8" };
    const block = { type: "fallback", from: { model: "claude-opus-5" }, to };
    const handover = event({ type: "content_block_start", index: 1, content_block: block });
    expect(read(messageStart() + handover).model).toBe("claude-opus-4-8");
    const iterations = [{ type: "fallback_message", model: "claude-opus-4-7", output_tokens: 5 }];
    expect(read(messageStart() + messageDelta({ output_tokens: 5, iterations })).model).toBe(
      "claude-opus-4-7",
    );
  });

  test.each([-1, 1.5, 1e13, Number.NaN, "7", null, undefined, {}, true])(
    "%s as a count is dropped alone",
    (bad) => {
      const usage = { output_tokens: 5, input_tokens: bad, cache_read_input_tokens: 9 };
      const reading = read(messageStart() + messageDelta(usage) + messageStop);
      expect(reading.tokens).toEqual({ ...expected.tokens, outputTokens: 5, cacheReadTokens: 9 });
    },
  );

  test("names are bounded and iterations counted", () => {
    const message = { id: "m".repeat(999), model: "x".repeat(999), usage: startUsage };
    const iterations = Array.from({ length: 2000 }, () => ({ type: "message" }));
    const reading = read(
      event({ type: "message_start", message }) + messageDelta({ output_tokens: 1, iterations }),
    );
    expect(reading.model?.length).toBe(200);
    expect(reading.messageId?.length).toBe(200);
    expect(reading.iterations.length).toBe(256);
  });
});

describe("a stream that breaks off", () => {
  const text = delta({ type: "text_delta", text: "x".repeat(41) });

  test("is billed by what was streamed, and says that this is an estimate", () => {
    const reading = read(messageStart() + text);
    expect(reading).toMatchObject({ end: "truncated", estimated: true, hasUsage: true });
    expect(reading.tokens).toEqual({ ...expected.tokens, outputTokens: 11 });
  });

  test("never counts less than upstream had already told", () => {
    expect(read(messageStart({ output_tokens: 50 }) + text).tokens.outputTokens).toBe(50);
  });

  test("counts text, thinking and tool input, but no signature or citation", () => {
    const stream =
      messageStart() +
      delta({ type: "text_delta", text: "x".repeat(100) }) +
      delta({ type: "thinking_delta", thinking: "x".repeat(100), estimated_tokens: null }) +
      delta({ type: "input_json_delta", partial_json: '"'.repeat(100) }) +
      delta({ type: "signature_delta", signature: "x".repeat(1000) }) +
      delta({ type: "citations_delta", citation: { cited_text: "x".repeat(1000) } });
    expect(read(stream).tokens.outputTokens).toBe(75);
  });

  test("counts a delta of unfamiliar shape too", () => {
    const odd = {
      index: 0,
      delta: { text: "x".repeat(40), type: "text_delta" },
      type: "content_block_delta",
    };
    expect(read(messageStart() + event(odd)).tokens.outputTokens).toBe(10);
  });

  test("counts escaped text by its characters, not by its bytes on the wire", () => {
    const escaped = '\\u4f60\\"\\\\\\n\\u0022'.repeat(8); // 40 characters
    const raw = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"${escaped}"}}`;
    expect(read(messageStart() + event(raw, "content_block_delta")).tokens.outputTokens).toBe(10);
  });

  test("after the final count keeps that count and is still not complete", () => {
    const reading = read(messageStart() + text + messageDelta({ output_tokens: 9 }));
    expect(reading).toMatchObject({ end: "truncated", estimated: false });
    expect(reading.tokens.outputTokens).toBe(9);
  });

  test("right behind the final count, before its line end, still has that count", () => {
    const reading = read(messageStart() + text + messageDelta({ output_tokens: 9 }).trimEnd());
    expect(reading).toMatchObject({ end: "truncated", estimated: false });
    expect(reading.tokens.outputTokens).toBe(9);
  });

  test("within message_stop is not a clean end", () => {
    const reader = new MessageStreamReader();
    reader.push(encoder.encode(sample.slice(0, -1)));
    expect(reader.finish()).toMatchObject({ end: "truncated", estimated: false });
    expect(reader.sawStop).toBe(false);
    expect(reader.endsCleanly).toBe(false);
  });

  test("before anything came has no usage", () => {
    for (const stream of ["", "\n\n", "<html>oops</html>", ": ping\n\n"]) {
      expect(read(stream)).toMatchObject({ end: "truncated", hasUsage: false, estimated: false });
    }
  });
});

describe("an error event", () => {
  const error = event({
    type: "error",
    error: { type: "overloaded_error", message: "Overloaded" },
  });

  test("in mid-stream ends the message with an error and an estimate", () => {
    const reader = new MessageStreamReader();
    const text = delta({ type: "text_delta", text: "x".repeat(400) });
    reader.push(encoder.encode(messageStart() + text + error + messageStop));
    expect(reader.sawError).toBe(true);
    expect(reader.endsCleanly).toBe(false);
    const reading = reader.finish();
    expect(reading).toMatchObject({ end: "error", errorType: "overloaded_error" });
  });

  test("alone tells its type and no usage", () => {
    expect(read(error)).toMatchObject({
      end: "error",
      errorType: "overloaded_error",
      hasUsage: false,
      estimated: false,
    });
  });
});

describe("what a reader knows on the way", () => {
  test.each(["\n", "\r\n", "\r"])(
    "with line end %j: the id as soon as message_start is read, the stop as soon as it came",
    (lineEnd) => {
      const push = (text: string) => reader.push(encoder.encode(text.replaceAll("\n", lineEnd)));
      const reader = new MessageStreamReader();
      expect(reader.messageId).toBe(null);
      push(messageStart());
      expect(reader.messageId).toBe("msg_01");
      expect(reader.sawStop).toBe(false);
      push(sample.slice(messageStart().length));
      expect(reader.sawStop).toBe(true);
      expect(reader.endsCleanly).toBe(true);
    },
  );
});

describe("an answer that is not streamed", () => {
  const message = {
    id: "msg_01",
    type: "message",
    model: "claude-opus-5",
    content: [{ type: "text", text: "Hello" }],
    stop_reason: "end_turn",
    usage: { ...startUsage, output_tokens: 77, server_tool_use: { web_search_requests: 2 } },
  };
  const json = JSON.stringify(message);

  test("gives the same reading as its stream, as text and as bytes", () => {
    expect(readMessageJson(json)).toEqual(expected);
    expect(readMessageJson(encoder.encode(json))).toEqual(expected);
  });

  test("that is an error tells its type and has no usage", () => {
    const body = { type: "error", error: { type: "rate_limit_error", message: "Error" } };
    expect(readMessageJson(JSON.stringify(body))).toMatchObject({
      end: "error",
      errorType: "rate_limit_error",
      hasUsage: false,
    });
  });

  test.each(["", "<html></html>", "null", "[]", '"x"', '{"input_tokens":12}'])(
    "%j has no usage and is whole",
    (body) => {
      expect(readMessageJson(body)).toMatchObject({ end: "complete", hasUsage: false });
    },
  );

  test("cut short anywhere never throws, never looks whole, and tells what is known", () => {
    for (let end = 1; end < json.length; end++) {
      expect(readMessageJson(json.slice(0, end)).end).toBe("truncated");
    }
    const inContent = readMessageJson(json.slice(0, json.indexOf('"stop_reason"')));
    expect(inContent).toMatchObject({
      messageId: "msg_01",
      model: "claude-opus-5",
      estimated: true,
    });
    expect(inContent.tokens.outputTokens).toBeGreaterThan(0);
    const afterUsage = readMessageJson(json.slice(0, -1));
    expect(afterUsage).toMatchObject({ estimated: false, tokens: expected.tokens });
  });
});
