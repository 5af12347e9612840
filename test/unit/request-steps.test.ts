import { describe, expect, test } from "vitest";
import { canonicalPath } from "../../src/relay/client-api.ts";
import { dropBody, MAX_BODY_BYTES, readBody } from "../../src/relay/read-body.ts";
import { relay } from "../../src/relay/relay.ts";
import type { Services } from "../../src/relay/services.ts";
import { firstIdOf, newRequestId } from "../../src/request-id.ts";

describe("the body is read whole, or refused", () => {
  const post = (body: BodyInit | null, headers: Record<string, string> = {}) =>
    new Request("http://relay/v1/messages", { method: "POST", body, headers });
  const kindOf = async (request: Request) => {
    const result = await readBody(request);
    return result.ok ? "ok" : result.error.kind;
  };
  const streamOf = (chunks: number, bytesEach: number) => {
    let left = chunks;
    // As a client's body is: bytes, and not anything.
    return new ReadableStream({
      type: "bytes",
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

  test("a refused body is read on for 32 MiB and no further", async () => {
    let mebibytes = 0;
    let isCancelled = false;
    const endless = new ReadableStream({
      type: "bytes",
      pull(controller) {
        mebibytes += 1;
        if (mebibytes > 40) controller.close();
        else controller.enqueue(new Uint8Array(1024 * 1024));
      },
      cancel() {
        isCancelled = true;
      },
    });
    await dropBody(post(endless));
    expect(isCancelled).toBe(true);
    expect(mebibytes).toBeGreaterThanOrEqual(32);
    expect(mebibytes).toBeLessThan(36);
  });

  test("a compressed body is refused in words, since it could not be read", async () => {
    expect(await kindOf(post("{}", { "content-encoding": "gzip" }))).toBe("body_compressed");
  });
});

describe("a relay at which too many wait", () => {
  const ask = async (
    gate: { isShut?: boolean; mayAsk?: boolean; waited?: boolean },
    body = MESSAGE,
  ) => {
    const passed: string[] = [];
    const services = {
      keys: { peek: () => ({ id: "k" }) },
      failedKeys: null,
      importedKeys: null,
      config: { clientAddressHeader: "" },
      gate: {
        isShut: () => gate.isShut ?? false,
        arrive: () => passed.push("arrived"),
        leave: () => passed.push("left"),
        mayAsk: () => gate.mayAsk ?? true,
        waitToAsk: async () => gate.waited ?? false,
        ask: () => passed.push("asked"),
        noteRefused: () => passed.push("refused"),
      },
      log: () => {},
    } as unknown as Services;
    const request = new Request("https://relay.example/v1/messages", {
      method: "POST",
      headers: {
        "x-api-key": `cr_${"0123456789abcdef".repeat(4)}`,
        "content-length": String(body.length),
      },
      body,
    });
    const ctx = { waitUntil: () => {} } as unknown as ExecutionContext;
    const answer = await relay(request, services, ctx, "/v1/messages", true).catch(() => null);
    return { status: answer?.status, answer, read: request.bodyUsed, passed };
  };
  const MESSAGE = JSON.stringify({ model: "m", messages: [] });

  test("says so at once, and does not even read what is small", async () => {
    const { answer, ...rest } = await ask({ isShut: true });
    expect(rest).toEqual({ status: 503, read: false, passed: ["refused"] });
    expect(answer?.headers.get("retry-after")).toBe("2");
    expect(await answer?.text()).toContain("more requests are waiting here");
  });

  test("reads what is large before it says so: else a client that is still sending would not see it", async () => {
    const large = "x".repeat(20_000);
    expect(await ask({ isShut: true }, large)).toMatchObject({ status: 503, read: true });
  });

  test("turns away whose turn to ask its meter does not come", async () => {
    expect(await ask({ mayAsk: false, waited: false })).toMatchObject({
      status: 503,
      passed: ["arrived", "refused"],
    });
  });

  test("lets whose turn comes ask, and everyone else at once", async () => {
    // They go on to services that are not here.
    for (const gate of [{ mayAsk: false, waited: true }, {}]) {
      expect((await ask(gate)).passed).toEqual(["arrived", "asked"]);
    }
  });

  test("lets nobody ask whose body is none", async () => {
    expect(await ask({}, "[]")).toMatchObject({ status: 400, passed: ["arrived", "left"] });
  });
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
