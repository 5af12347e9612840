import { createHmac } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cliHere, cliProcess } from "../fixtures/cli.ts";
import { faults } from "../fixtures/fake-upstream/index.ts";
import { ADMIN, type RelayKey, TestRelay } from "../fixtures/relay.ts";
import { type Received, WebhookReceiver } from "../fixtures/webhook-receiver.ts";

let relay: TestRelay;
let receiver: WebhookReceiver;
let key: RelayKey;
let signingSecret = "";
let accountId = "";

interface Made {
  id: string;
  secret: string | null;
}

beforeAll(async () => {
  receiver = await WebhookReceiver.start();
  relay = await TestRelay.start({
    vars: { LOCAL_WEBHOOKS: "allow", PANEL_URL: "https://panel.example" },
  });
  accountId = await relay.addApiKeyAccount("team key");
  key = await relay.createKey({ name: "alice" });
  const made = await add({ name: "json", format: "json", address: `${receiver.url}/json` });
  signingSecret = made.secret ?? "";
});
afterAll(async () => {
  await relay.stop();
  await receiver.close();
});

async function add(fields: Record<string, unknown>): Promise<Made> {
  const made = await relay.admin<Made>("POST", "/alerts", fields);
  expect([made.status, made.message]).toEqual([201, undefined]);
  return made.data;
}

const told = (type: string, state: string) =>
  receiver.taken("/json").filter(({ body }) => body.type === type && body.state === state);

/** As docs/api.md says it, and not as the relay's own code does it. */
function isSigned({ headers, text }: Received): boolean {
  const key = Buffer.from(signingSecret.replace("whsec_", ""), "base64");
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${text}`;
  const expected = createHmac("sha256", key).update(signed).digest("base64");
  const isNow = Math.abs(Date.now() / 1_000 - Number(headers["webhook-timestamp"])) < 300;
  return headers["webhook-signature"] === `v1,${expected}` && isNow;
}

test("a receiver that fails five times has each alert once in the end, over a kill", async () => {
  receiver.failures = 5;
  await relay.message(key, {}, { fault: faults.creditTooLow() });
  // The event is on its way through three objects: whichever has it now, the kill takes none.
  await relay.restart({ how: "kill" });
  await receiver.until(() => told("accounts_exhausted", "raised").length > 0);
  await receiver.until(() => told("account_unusable", "raised").length > 0);
  const tries = receiver.all.filter(({ path }) => path === "/json");
  expect(tries.filter(({ status }) => status === 500)).toHaveLength(5);
  const ids = receiver.taken("/json").map(({ body }) => body.id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(told("account_unusable", "raised")).toHaveLength(1);
  expect(told("accounts_exhausted", "raised")).toHaveLength(1);
  // Each try was signed for itself, and the message kept its id.
  expect(tries.every(isSigned)).toBe(true);
  expect(tries.every(({ headers, body }) => headers["webhook-id"] === body.id)).toBe(true);
  const [alert] = told("account_unusable", "raised");
  expect(alert?.body).toMatchObject({
    title: "Claude relay: an account cannot be used",
    text: expect.stringMatching(/account "team key": .*credit balance.*; since .* UTC/),
    advice: expect.stringContaining("accounts reset"),
    url: "https://panel.example",
    about: [{ type: "account", id: accountId, name: "team key" }],
  });
}, 120_000);

test("what is mended is told once as well", async () => {
  await relay.admin("POST", `/claude-accounts/${accountId}/reset`);
  await receiver.until(() => told("account_unusable", "recovered").length > 0);
  await receiver.until(() => told("accounts_exhausted", "recovered").length > 0);
  expect(told("account_unusable", "recovered")).toHaveLength(1);
  expect(told("accounts_exhausted", "recovered")).toHaveLength(1);
}, 60_000);

test("a key at its limit is told once by its name, and its recovery when the limit is raised", async () => {
  const bob = await relay.createKey({ name: "bob", limits: { dailyCost: 0.000_001 } });
  expect((await relay.message(bob)).status).toBe(200);
  await relay.settledUsage(bob);
  await receiver.until(() => told("key_at_limit", "raised").length > 0);
  expect(told("key_at_limit", "raised")[0]?.body).toMatchObject({
    about: [{ type: "key", id: bob.id, name: "bob" }],
  });
  await relay.admin("PUT", `/api-keys/${bob.id}`, { limits: { dailyCost: 100 } });
  await receiver.until(() => told("key_at_limit", "recovered").length > 0);
  expect(told("key_at_limit", "raised")).toHaveLength(1);
}, 90_000);

describe("a test", () => {
  test.each([
    ["slack", null, "ok", { text: expect.stringContaining("Claude relay: a test") }],
    [
      "discord",
      null,
      "",
      { content: expect.stringContaining("a test"), allowed_mentions: { parse: [] } },
    ],
    [
      "feishu",
      "s3cret",
      '{"code":0}',
      { msg_type: "text", content: { text: expect.stringContaining("a test") } },
    ],
    [
      "dingtalk",
      "SECs3cret",
      '{"errcode":0}',
      { msgtype: "text", text: { content: expect.stringContaining("a test") } },
    ],
  ])("reaches %s in its shape", async (format, secret, answer, shape) => {
    const kinds = ["daily_summary"];
    const address = `${receiver.url}/${format}?access_token=t`;
    const made = await add({ name: format, format, address, kinds, ...(secret ? { secret } : {}) });
    receiver.answer = answer;
    expect((await relay.admin("POST", `/alerts/${made.id}/test`)).status).toBe(200);
    const got = receiver.all.at(-1);
    expect(got?.body).toMatchObject(shape);
    const mac = (hmacKey: string, text: string) =>
      createHmac("sha256", hmacKey).update(text).digest("base64");
    if (format === "feishu") {
      const { timestamp, sign } = got?.body ?? {};
      expect(sign).toBe(mac(`${timestamp}\n${secret}`, ""));
    }
    if (format === "dingtalk") {
      const query = new URL(got?.path ?? "", receiver.url).searchParams;
      const timestamp = query.get("timestamp");
      expect(query.get("sign")).toBe(mac(secret ?? "", `${timestamp}\n${secret}`));
      expect(query.get("access_token")).toBe("t");
      receiver.answer = '{"errcode":310000}';
      const refused = await relay.admin("POST", `/alerts/${made.id}/test`);
      expect([refused.status, refused.message]).toEqual([502, expect.stringContaining("310000")]);
    }
    receiver.answer = "ok";
  });
});

test("no address, token or secret comes back out, and none leads inside", async () => {
  const listed = await relay.admin("GET", "/alerts");
  const text = JSON.stringify(listed.data);
  expect(text).toContain("127.0.0.1");
  for (const secret of [signingSecret, "access_token", "s3cret", "/json"]) {
    expect(text).not.toContain(secret);
    expect(relay.log).not.toContain(secret);
  }
  const inside = await relay.admin("POST", "/alerts", {
    ...{ name: "inside", format: "slack", address: "https://169.254.169.254/latest?t=hidden" },
  });
  expect([inside.status, inside.error]).toEqual([400, "bad_request"]);
  expect(inside.message).toContain("private network");
  expect(inside.message).not.toContain("hidden");
});

test("the CLI adds, tests and removes a webhook, and takes its address from standard input", async () => {
  const env = {
    RELAY_URL: relay.url,
    ADMIN_PASSWORD: ADMIN.password,
    RELAY_STATE_DIR: relay.stateDir,
  };
  const addArgs = [
    "alerts",
    "add",
    "--name",
    "ops",
    "--format",
    "slack",
    "--kind",
    "daily_summary",
  ];
  const added = await cliProcess(addArgs, env, `${receiver.url}/ops\n`);
  expect([added.exitCode, added.stdout]).toEqual([0, expect.stringContaining("ops is added")]);
  expect((await cliHere(["alerts", "test", "ops"], env)).exitCode).toBe(0);
  expect(receiver.taken("/ops")).toHaveLength(1);
  expect((await cliHere(["alerts", "list"], env)).stdout).toMatch(/ops +slack .*works/);
  expect((await cliHere(["alerts", "update", "ops", "--disable"], env)).exitCode).toBe(0);
  expect((await cliHere(["alerts", "remove", "ops", "--yes"], env)).exitCode).toBe(0);
});
