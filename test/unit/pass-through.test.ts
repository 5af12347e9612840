import { describe, expect, test } from "vitest";
import { type PassThrough, passThrough } from "../../src/relay/pass-through.ts";

const encoder = new TextEncoder();
const START =
  'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","model":"claude-sonnet-5","usage":{"input_tokens":7,"output_tokens":1}}}\n\n';
const DELTA =
  'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"12345678"}}\n\n';
const END =
  'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":9}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n';

/** An upstream body that the test feeds; `aborted` says whether the relay cancelled it. */
function upstream() {
  let controller: ReadableByteStreamController | undefined;
  const state = { aborted: false };
  const body = new ReadableStream({
    type: "bytes",
    start(made) {
      controller = made;
    },
    cancel() {
      state.aborted = true;
    },
  });
  return {
    body,
    state,
    send: (text: string) => controller?.enqueue(encoder.encode(text)),
    end: () => controller?.close(),
    fail: () => controller?.error(new Error("connection lost")),
  };
}

function run(source: ReturnType<typeof upstream>, patch: Partial<PassThrough> = {}) {
  const messageIds: string[] = [];
  const delivery = passThrough({
    body: source.body,
    respond: (body) => new Response(body),
    isEventStream: true,
    isJson: false,
    length: null,
    decoding: { kind: "none" },
    abort: () => {
      source.state.aborted = true;
      source.fail();
    },
    clientSignal: new AbortController().signal,
    onMessageId: (id) => messageIds.push(id),
    silenceTimeoutMs: 60_000,
    ...patch,
  });
  const { response } = delivery;
  if (response === null) throw new Error("nothing was delivered");
  return { response, ended: delivery.ended, messageIds };
}

describe("an answer on its way", () => {
  test("reaches the client as it is, and is read beside", async () => {
    const source = upstream();
    const { response, ended, messageIds } = run(source);
    const text = response.text();
    for (const part of [START, DELTA, END]) source.send(part);
    source.end();
    expect(await text).toBe(START + DELTA + END);
    expect(await ended).toMatchObject({
      outcome: "completed",
      reading: { tokens: { inputTokens: 7, outputTokens: 9 }, estimated: false },
    });
    expect(messageIds).toEqual(["msg_1"]);
  });

  test("that upstream breaks off ends in an error event, however it was cut", async () => {
    for (const cut of [0, 20, DELTA.length - 1, DELTA.length]) {
      for (const end of ["end", "fail"] as const) {
        const source = upstream();
        const { response, ended } = run(source);
        const text = response.text();
        source.send(START + DELTA.slice(0, cut));
        await new Promise((resolve) => setTimeout(resolve, 1));
        source[end]();
        const received = await text;
        expect(received.startsWith(START + DELTA.slice(0, cut))).toBe(true);
        expect(received.slice(START.length + cut)).toMatch(
          /^\n\nevent: error\ndata: \{.*api_error.*\}\n\n$/,
        );
        expect(await ended).toMatchObject({ outcome: "truncated", reading: { estimated: true } });
      }
    }
  });

  test("that is no event stream and breaks off is aborted, and never looks whole", async () => {
    const source = upstream();
    const { response, ended } = run(source, { isEventStream: false });
    const text = response.text().then(
      () => "whole",
      () => "aborted",
    );
    source.send('{"id":"msg_1"');
    await new Promise((resolve) => setTimeout(resolve, 1));
    source.fail();
    expect(await text).toBe("aborted");
    expect(await ended).toMatchObject({ outcome: "truncated" });
  });

  test("of JSON that is too long to be read passes whole, and is billed as estimated", async () => {
    const source = upstream();
    const { response, ended } = run(source, { isEventStream: false, isJson: true });
    const part = "x".repeat(1024 * 1024);
    const bytes = response.arrayBuffer();
    source.send('{"text":"');
    for (let sent = 0; sent < 17; sent += 1) {
      source.send(part);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    source.send('"}');
    source.end();
    expect((await bytes).byteLength).toBe(17 * part.length + '{"text":""}'.length);
    expect(await ended).toMatchObject({ outcome: "completed", reading: { estimated: true } });
  });

  test("of JSON that ends too early, although without an error, is aborted as well", async () => {
    const source = upstream();
    const { response, ended } = run(source, { isEventStream: false, isJson: true });
    const text = response.text().then(
      () => "whole",
      () => "aborted",
    );
    source.send('{"id":"msg_1","usage":{"input_tokens":5}');
    source.end();
    expect(await text).toBe("aborted");
    expect(await ended).toMatchObject({ outcome: "truncated" });
  });

  test("that falls silent for good is given up: upstream is cancelled, the client is told", async () => {
    const source = upstream();
    const { response, ended } = run(source, { silenceTimeoutMs: 50 });
    const text = response.text();
    source.send(START);
    expect(await text).toContain("event: error");
    expect(source.state.aborted).toBe(true);
    expect(await ended).toMatchObject({
      outcome: "truncated",
      reading: { tokens: { inputTokens: 7 } },
    });
  });

  test("whose client leaves is cancelled upstream, and what was streamed is known", async () => {
    const source = upstream();
    const { response, ended } = run(source);
    const reader = response.body?.getReader();
    source.send(START);
    await reader?.read();
    await reader?.cancel();
    source.send(DELTA);
    expect(await ended).toMatchObject({
      outcome: "client_closed",
      reading: { estimated: true, tokens: { inputTokens: 7 } },
    });
    expect(source.state.aborted).toBe(true);
  });

  test("whose client resets its connection while upstream is silent is cancelled at once", async () => {
    const source = upstream();
    const client = new AbortController();
    const { response, ended } = run(source, { clientSignal: client.signal });
    const reader = response.body?.getReader();
    source.send(START);
    await reader?.read();
    client.abort();
    expect(await ended).toMatchObject({ outcome: "client_closed", reading: { estimated: true } });
    expect(source.state.aborted).toBe(true);
  });

  test("that upstream ends with an error event of its own gets no second one", async () => {
    const error =
      'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n';
    for (const end of ["end", "fail"] as const) {
      const source = upstream();
      const { response, ended } = run(source);
      const text = response.text();
      source.send(START + error);
      await new Promise((resolve) => setTimeout(resolve, 60));
      source[end]();
      expect(await text).toBe(START + error);
      expect(await ended).toMatchObject({ outcome: "upstream_error" });
    }
  });

  test("that the tap cannot read passes all the same", async () => {
    for (const decoding of [{ kind: "unknown" }, { kind: "decode", format: "gzip" }] as const) {
      const source = upstream();
      const { response, ended } = run(source, { decoding });
      const text = response.text();
      source.send("neither gzip nor anything else");
      source.end();
      expect(await text).toBe("neither gzip nor anything else");
      expect(await ended).toMatchObject({ outcome: "completed", reading: { estimated: true } });
    }
  });
});
