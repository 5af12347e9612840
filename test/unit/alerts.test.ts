import { describe, expect, test } from "vitest";
import { nextSummaryMs } from "../../durable-objects/alerts/summary.ts";
import { pictureOf } from "../../src/alerts/account-incidents.ts";
import { readWebhookAddress } from "../../src/alerts/address.ts";
import type { AlertMessage } from "../../src/alerts/alert.ts";
import { deliver } from "../../src/alerts/delivery.ts";
import { refusalIn, shapeOf, textOf } from "../../src/alerts/formats.ts";
import { testMessage } from "../../src/alerts/words.ts";
import { rowOf } from "./roster-rows.ts";

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
    "https://0.0.0.0/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://[2002:a00:1::]/",
    "https://[fd00::1]/",
    "https://[fe80::1]/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://a.localhost/",
    "https://metadata.google.internal/",
    "https://metadata/",
    "https://127.0.0.1.nip.io/",
    "https://user:pw@hooks.example.com/",
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

  test("an answer of 200 that refuses is a refusal", () => {
    expect(refusalIn("feishu", '{"code":0}')).toBeNull();
    expect(refusalIn("feishu", '{"code":19021}')).toContain("19021");
    expect(refusalIn("dingtalk", '{"errcode":310000}')).toContain("310000");
    expect(refusalIn("dingtalk", "<html>")).toContain("JSON");
    expect(refusalIn("slack", "anything")).toBeNull();
  });
});

test("a redirect is not followed, and no failure names the address", async () => {
  const asked: RequestInit[] = [];
  const fetch = (async (_: string, init: RequestInit) => {
    asked.push(init);
    return new Response(null, { status: 302, headers: { location: "https://10.0.0.1/" } });
  }) as unknown as typeof globalThis.fetch;
  const target = { format: "slack" as const, address: "https://h.example/t0ken", secret: null };
  const sent = await deliver({ fetch, now: Date.now, allowsLocal: false }, target, MESSAGE);
  expect(sent).toMatchObject({
    ok: false,
    error: { message: expect.stringContaining("redirect") },
  });
  expect(JSON.stringify(sent)).not.toContain("t0ken");
  expect(asked.map(({ redirect }) => redirect)).toEqual(["manual"]);
});

test("a pool is exhausted only while nobody can serve for a while", () => {
  const rest = {
    scope: "*",
    kind: "rate_limited",
    sinceMs: 0,
    untilMs: 60_000,
    reason: "r",
  } as const;
  const resting = { ...rowOf("a"), coolDowns: [rest] };
  const at = (rows: Parameters<typeof pictureOf>[0], nowMs: number) =>
    pictureOf(rows, nowMs, true).incidents.map(({ id }) => id);
  expect(at([resting], 1_000)).toEqual(["pool:*"]);
  expect(at([resting, rowOf("b")], 1_000)).toEqual([]);
  expect(at([resting], 60_000)).toEqual([]);
  expect(at([{ ...resting, coolDowns: [{ ...rest, untilMs: 10_000 }] }], 1_000)).toEqual([]);
  expect(at([{ ...resting, enabled: false }], 1_000)).toEqual([]);
  expect(at([{ ...resting, coolDowns: [{ ...rest, scope: "opus" }] }], 1_000)).toEqual([
    "pool:opus",
  ]);
});

test("the summary keeps its hour when the clocks change", () => {
  const time = { hour: 8, timeZone: "Europe/Berlin" };
  const next = (at: string) => new Date(nextSummaryMs(time, Date.parse(at))).toISOString();
  expect(next("2027-03-27T08:00:00Z")).toBe("2027-03-28T06:00:00.000Z");
  expect(next("2027-03-28T06:00:00Z")).toBe("2027-03-29T06:00:00.000Z");
  expect(next("2027-01-01T06:59:00Z")).toBe("2027-01-01T07:00:00.000Z");
});
