import { describe, expect, test, vi } from "vitest";
import { readWebhookAddress } from "../../src/alerts/address.ts";
import type { AlertFormat, AlertMessage } from "../../src/alerts/alert.ts";
import { deliver } from "../../src/alerts/delivery.ts";
import { refusalIn, shapeOf, textOf } from "../../src/alerts/formats.ts";
import { isSigningSecret, newSigningSecret, signedHeaders } from "../../src/alerts/signature.ts";
import { testMessage } from "../../src/alerts/words.ts";

const MESSAGE: AlertMessage = {
  ...testMessage("id", "a & <b>", null, 0),
  advice: "do this",
  url: "https://panel.example",
};

describe("an address that leads inside is refused, however it is written", () => {
  test.each([
    "https://127.0.0.1/x",
    "https://2130706433/x",
    "https://0177.0.0.1/x",
    "https://0x7f.1/x",
    "https://127.0.0.1./x",
    "https://10.1.2.3/",
    "https://172.31.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest",
    "https://168.63.129.16/",
    "https://0xa83f8110/",
    "https://100.100.100.200/",
    "https://192.0.0.192/",
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://[2002:a00:1::]/",
    "https://[fd00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fd20:ce::254]/",
    "https://[fe80::1]/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://a.localhost/",
    "https://metadata.google.internal/",
    "https://metadata.google.internal./",
    "https://metadata.azure.com/",
    "https://metadata.packet.net/",
    "https://metadata.tencentyun.com/",
    "https://metadata/",
    "https://127.0.0.1.nip.io/",
    "https://user:pw@hooks.example.com/",
    "https://user@hooks.example.com/",
    "https://hooks.example.com/#part",
    `https://hooks.example.com/${"x".repeat(2_000)}`,
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "hooks.example.com",
  ])("%s", (address) => {
    const read = readWebhookAddress(address, false);
    expect(read.ok).toBe(false);
    expect(JSON.stringify(read)).not.toContain("pw@");
  });

  test("and a public one is taken", () => {
    for (const address of [
      "https://hooks.slack.com/services/T/B/x",
      "https://1.1.1.1/",
      "https://168.63.129.17/",
      "https://[2606:4700::1]/",
    ]) {
      expect(readWebhookAddress(address, false).ok).toBe(true);
    }
    expect(readWebhookAddress("http://127.0.0.1:9/", true).ok).toBe(true);
    expect(readWebhookAddress("http://10.0.0.1/", true).ok).toBe(false);
  });
});

describe("formats", () => {
  test("Slack's three characters are escaped, and Discord's length is kept", async () => {
    const slack = await shapeOf("slack", "https://h.example/", null, MESSAGE, 0);
    expect(slack.body).toContain("a &amp; &lt;b&gt;");
    const long = { ...MESSAGE, lines: ["x".repeat(5_000)] };
    const { body } = await shapeOf("discord", "https://h.example/", null, long, 0);
    const { content } = JSON.parse(body) as { content: string };
    expect(content.length).toBeLessThanOrEqual(2_000);
    expect(content).toContain("Next: do this");
    expect(textOf(MESSAGE, 4_000)).toContain("https://panel.example");
  });

  test("whatever a name holds, it calls nobody in any chat", async () => {
    const calling = { ...MESSAGE, lines: ['<at user_id="all">all</at> @everyone'] };
    const bodyOf = async (format: AlertFormat) =>
      JSON.parse((await shapeOf(format, "https://h.example/", null, calling, 0)).body);
    expect(JSON.stringify(await bodyOf("feishu"))).not.toContain("<");
    expect((await bodyOf("discord")).allowed_mentions).toEqual({ parse: [] });
    expect((await bodyOf("dingtalk")).at).toEqual({ isAtAll: false });
    expect((await bodyOf("slack")).text).toContain("&lt;at");
  });

  test("an answer of 200 that refuses is a refusal", () => {
    expect(refusalIn("feishu", '{"code":0}')).toBeNull();
    expect(refusalIn("feishu", '{"StatusCode":0}')).toBeNull();
    expect(refusalIn("feishu", "{}")).toContain("without a code");
    expect(refusalIn("feishu", '{"code":19021}')).toContain("19021");
    expect(refusalIn("dingtalk", '{"errcode":310000}')).toContain("310000");
    expect(refusalIn("dingtalk", "<html>")).toContain("JSON");
    expect(refusalIn("slack", "anything")).toBeNull();
  });
});

describe("a delivery", () => {
  /** What comes of an answer, to a message of this format. */
  async function answeredWith(answer: () => Promise<Response>, format: AlertFormat = "slack") {
    const asked: RequestInit[] = [];
    const fetch = (async (_: string, init: RequestInit) => {
      asked.push(init);
      return answer();
    }) as unknown as typeof globalThis.fetch;
    const target = { format, address: "https://h.example/t0ken", secret: null };
    const sender = { fetch, now: Date.now, allowsLocal: false };
    const sent = await deliver(sender, target, MESSAGE);
    expect(JSON.stringify(sent)).not.toContain("t0ken");
    return { asked, error: sent.ok ? null : sent.error };
  }

  test("a redirect is not followed, and no failure names the address", async () => {
    const location = "https://10.0.0.1/";
    const { asked, error } = await answeredWith(
      async () => new Response(null, { status: 302, headers: { location } }),
    );
    expect(error?.message).toContain("redirect");
    expect(asked.map(({ redirect }) => redirect)).toEqual(["manual"]);
  });

  test.each([
    [403, "does not accept this sender"],
    [410, "does not exist there any more"],
    [429, "takes no more messages"],
    [500, "answered 500"],
  ])("that is answered %i fails in words", async (status, words) => {
    const { error } = await answeredWith(async () => new Response(null, { status }));
    expect(error).toEqual({ message: expect.stringContaining(words), retryAfterMs: null });
  });

  test("is tried again no sooner than the receiver asks", async () => {
    const answer = new Response(null, { status: 429, headers: { "retry-after": "7" } });
    expect((await answeredWith(async () => answer)).error?.retryAfterMs).toBe(7_000);
  });

  test("that was answered 200 with a refusal has failed", async () => {
    const refusal = async () => new Response('{"errcode":310000}');
    expect((await answeredWith(refusal, "dingtalk")).error?.message).toContain("310000");
    expect((await answeredWith(refusal, "slack")).error).toBeNull();
  });

  test("reads the beginning of an answer, and waits ten seconds at the most", async () => {
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1;
        if (pulled > 100) controller.error(new Error("it reads on and on"));
        else controller.enqueue(new Uint8Array(1_024));
      },
    });
    const timeout = vi.spyOn(AbortSignal, "timeout");
    const { asked, error } = await answeredWith(async () => new Response(endless));
    expect(error).toBeNull();
    expect(timeout.mock.calls).toEqual([[10_000]]);
    expect(asked[0]?.signal).toBe(timeout.mock.results[0]?.value);
    timeout.mockRestore();
    const late = () => Promise.reject(new DOMException("too late", "TimeoutError"));
    expect((await answeredWith(late)).error?.message).toContain("within 10 s");
    const gone = () => Promise.reject(new TypeError("t0ken.example refused"));
    expect((await answeredWith(gone)).error?.message).toContain("could not be reached");
  });

  test("does not go where the address may not lead, whatever was stored", async () => {
    const fetch = (() => Promise.reject(new Error("it was sent"))) as typeof globalThis.fetch;
    for (const address of ["https://168.63.129.16/", "https://10.0.0.1/", "http://127.0.0.1/"]) {
      const target = { format: "slack" as const, address, secret: null };
      const sent = await deliver({ fetch, now: Date.now, allowsLocal: false }, target, MESSAGE);
      expect(sent).toMatchObject({
        ok: false,
        error: { message: expect.stringContaining("its address") },
      });
    }
  });
});

test("a message is signed as the example of Standard Webhooks is", async () => {
  const id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  const headers = await signedHeaders(secret, id, '{"test": 2432232314}', 1_614_265_330_999);
  expect(headers).toEqual({
    "webhook-id": id,
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
  });
});

test("a signing secret carries 24 to 64 bytes, and one of the relay's own making 32", () => {
  const of = (bytes: number) => `whsec_${btoa("x".repeat(bytes))}`;
  expect([23, 24, 64, 65].map((bytes) => isSigningSecret(of(bytes)))).toEqual([
    ...[false, true, true, false],
  ]);
  expect(isSigningSecret("whsec_!")).toBe(false);
  const made = newSigningSecret();
  expect(isSigningSecret(made)).toBe(true);
  expect(atob(made.slice(6))).toHaveLength(32);
  expect(newSigningSecret()).not.toBe(made);
});
