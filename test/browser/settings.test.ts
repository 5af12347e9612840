import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Page } from "playwright-core";
import { afterAll, describe, expect, test } from "vitest";
import type { PriceBook } from "../../admin-pages/src/api/prices.ts";
import { ADMIN, type RelayKey } from "../fixtures/relay.ts";
import { settled } from "./harness/screens.ts";
import { HOSTS, LANGUAGES, type Language } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

const WORDS = {
  en: {
    prices: "Your prices",
    add: "Set a price",
    remove: (model: string) => `Remove the price of ${model}`,
    save: "Save",
    key: "Relay key",
    show: "Show its use",
    asTable: "Show as table",
    forget: "Forget the key",
    unknown: /key is not known|does not know this key/i,
  },
  zh: {
    prices: "自定义价格",
    add: "设置价格",
    remove: (model: string) => `删除 ${model} 的价格`,
    save: "保存",
    key: "中继密钥",
    show: "查看用量",
    asTable: "以表格显示",
    forget: "忘记密钥",
    unknown: /中继不认识此密钥/,
  },
} satisfies Record<Language, Record<string, unknown>>;
const CASES = HOSTS.flatMap((host) =>
  (Object.keys(LANGUAGES) as Language[]).map((language) => ({ host, language })),
);
/** Nobody listens there. */
const NO_FORWARD_PROXY = "http://127.0.0.1:9";
const AMOUNTS = ["2.5", "11", "3.125", "5", "0.25"];

let holder: RelayKey;
/** Somebody's webhook, on this machine. */
const receiver = { url: "", status: 200, got: [] as { signed: boolean; message: unknown }[] };
const server = createServer(async (request, answer) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  receiver.got.push({
    signed: request.headers["webhook-signature"] !== undefined,
    message: JSON.parse(Buffer.concat(chunks).toString()),
  });
  answer.writeHead(receiver.status).end();
});
afterAll(() => server.close());
const stage = useStage(
  {
    hosts: HOSTS,
    vars: {
      FORWARD_PROXY_URL: NO_FORWARD_PROXY,
      LOCAL_WEBHOOKS: "allow",
      FORWARD_PROXY_SECRET: "a-secret-for-tests-0123456789abcdef",
    },
  },
  async ({ relay }) => {
    await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
    receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
    await relay.addApiKeyAccount("only");
    holder = await relay.createKey({
      name: "Holder",
      description: "For the tests",
      deniedModels: ["claude-opus-*"],
      limits: { dailyCost: 5, concurrency: 3 },
    });
    for (const stream of [true, false]) {
      await (await relay.message(holder, { stream })).arrayBuffer();
    }
    await relay.settledUsage(holder);
  },
);

async function prices(): Promise<PriceBook> {
  return (await stage().relay.admin<PriceBook>("GET", "/prices")).data;
}

async function fillPrice(page: Page, model: string, amounts: string[]): Promise<void> {
  const fields = page.getByRole("dialog").locator("input:not([type=checkbox])");
  await fields.nth(0).fill(model);
  await fields.nth(1).fill("2026-11-01");
  for (const [index, amount] of amounts.entries()) await fields.nth(index + 2).fill(amount);
}

describe.each(CASES)("on $host, in $language", ({ host, language }) => {
  const words = WORDS[language];
  const model = `house-model-${host}-${language}`;

  test("a price is set from a day on, is listed, and is removed again", async () => {
    const { page } = await stage().visit({ host, language, path: "/settings" });
    await settled(page);
    await page.getByRole("button", { name: words.add }).click();
    await fillPrice(page, model, AMOUNTS);
    await page.getByRole("button", { name: words.save }).click();
    const row = page.getByRole("region", { name: words.prices }).locator("tr", { hasText: model });
    await row.waitFor();
    expect(await row.innerText()).toContain("2026-11-01");
    expect((await prices()).prices).toMatchObject([
      {
        ...{ model, effectiveFrom: "2026-11-01", input: 2.5, output: 11 },
        ...{ cacheWrite5m: 3.125, cacheWrite1h: 5, cacheRead: 0.25, longPrompt: null },
      },
    ]);

    await row.getByRole("button", { name: words.remove(model) }).click();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: words.remove(model) })
      .click();
    await row.waitFor({ state: "detached" });
    expect((await prices()).prices).toEqual([]);
  });

  test("a key's holder sees its use, limits and models, and the key is kept nowhere", async () => {
    const { page, context } = await stage().visit({
      ...{ host, language, signedIn: false, path: "/usage" },
    });
    const sent: string[] = [];
    page.on("request", (request) => sent.push(request.url()));
    await page.getByLabel(words.key).fill(holder.apiKey);
    await page.getByRole("button", { name: words.show }).click();
    await page.locator(".figures").waitFor();
    await settled(page);
    const { usage } = await stage().relay.usage(holder);
    const figures = await page.locator(".figures dd").allInnerTexts();
    expect(usage.total.requests).toBe(2);
    expect(figures[2]).toMatch(/\b2\b/);
    expect(figures[2]).toContain(String(usage.total.cost).slice(0, 6));
    expect(await page.locator("meter").count()).toBe(2);
    // Today's bar is the last of thirty, is to be seen, and tells the same as the sum of today.
    await expect
      .poll(() => page.locator("figure canvas").first().evaluate(barPixels))
      .toBeGreaterThan(50);
    await page.getByRole("button", { name: words.asTable }).first().click();
    const days = page.locator("figure tbody tr");
    expect(await days.count()).toBe(30);
    expect(await days.last().locator("td").innerText()).toContain(
      String(usage.byDay.at(-1)?.cost).slice(0, 6),
    );
    const models = page.locator("code");
    expect((await models.allInnerTexts()).filter((id) => id.includes("opus"))).toEqual([]);
    expect(await models.count()).toBeGreaterThan(2);

    const kept = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]),
    );
    expect(kept).not.toContain(holder.apiKey);
    expect(JSON.stringify(await context.storageState())).not.toContain(holder.apiKey);
    expect(sent.join("\n")).not.toContain(holder.apiKey);
    await page.reload();
    expect(await page.getByLabel(words.key).inputValue()).toBe("");
  });

  test("a wrong key is told in words, and can be put right", async () => {
    const { page } = await stage().visit({
      ...{ host, language, signedIn: false, path: "/usage" },
      expected: [{ status: 401, path: "/api/v1/" }],
    });
    const wrong = holder.apiKey.slice(0, -4) + (holder.apiKey.endsWith("0000") ? "1111" : "0000");
    await page.getByLabel(words.key).fill(wrong);
    await page.getByRole("button", { name: words.show }).click();
    await page.getByRole("alert").getByText(words.unknown).waitFor();
    await page.getByRole("button", { name: words.forget }).click();
    await page.getByLabel(words.key).fill(holder.apiKey);
    await page.getByRole("button", { name: words.show }).click();
    await page.locator(".figures").waitFor();
  });
});

test("a price far from the built-in one is asked for again, and set where it is meant", async () => {
  const { page } = await stage().visit({
    path: "/settings",
    expected: [{ status: 400, path: "/admin/prices" }],
  });
  await settled(page);
  await page.getByRole("button", { name: "Set a price" }).click();
  await fillPrice(page, "claude-sonnet-5", ["300", "1500", "375", "600", "30"]);
  await page.getByRole("button", { name: "Save" }).click();
  const question = page.getByRole("dialog", { name: "Is this price meant?" });
  await question.getByText(/more than 10 times/).waitFor();
  expect((await prices()).prices).toEqual([]);
  await question.getByRole("button", { name: "Set it all the same" }).click();
  await page.getByText("The price of claude-sonnet-5 is set.").waitFor();
  expect((await prices()).prices).toMatchObject([{ model: "claude-sonnet-5", input: 300 }]);
  await stage().relay.admin("DELETE", "/prices?model=claude-sonnet-5&effectiveFrom=2026-11-01");
});

test("a price with something missing is not sent, and each field says what it wants", async () => {
  const { page } = await stage().visit({ path: "/settings" });
  await settled(page);
  await page.getByRole("button", { name: "Set a price" }).click();
  await fillPrice(page, "", ["3", "fifteen", "3.1234", "", "0.3"]);
  await page.getByRole("button", { name: "Save" }).click();
  const dialog = page.getByRole("dialog");
  expect(await dialog.locator(".error").allInnerTexts()).toEqual([
    "Enter the name of a model.",
    ...Array.from({ length: 3 }, () => "Enter a number, such as 3 or 0.25."),
  ]);
  expect((await prices()).prices).toEqual([]);
});

test("a forward proxy that does not answer is told so, with what to do", async () => {
  const { page } = await stage().visit({ path: "/settings" });
  await settled(page);
  const row = page.locator("tr", { hasText: NO_FORWARD_PROXY });
  await row.getByText("fails", { exact: true }).waitFor();
  const { data } = await stage().relay.admin<{ forwardProxies: { message: string }[] }>(
    "GET",
    "/egress",
  );
  expect(await row.innerText()).toContain(data.forwardProxies[0]?.message);
});

test("a webhook is added, tested, changed, switched off and removed, and its secret is shown once", async () => {
  const { page } = await stage().visit({
    path: "/settings",
    expected: [{ status: 502, path: "/admin/alerts/" }],
  });
  await settled(page);
  await page.getByRole("button", { name: "Add a webhook" }).click();
  await page.getByLabel("Name").fill("On call");
  await page.getByLabel("Address").fill(receiver.url);
  await page.getByRole("button", { name: "Save" }).click();
  const shown = page.getByRole("dialog").locator("pre");
  expect(await shown.innerText()).toMatch(/^whsec_/);
  await page.getByRole("button", { name: "Done" }).click();

  const rowOf = (name: string) =>
    page.getByRole("region", { name: "Alerts" }).locator("tr", { hasText: name });
  const choose = async (act: string, name = "On call") => {
    await rowOf(name)
      .getByRole("button", { name: `Actions for ${name}` })
      .click();
    await rowOf(name).getByRole("menuitem", { name: act }).click();
  };
  await choose("Send a test");
  await page.getByText("On call took the test.").waitFor();
  expect(receiver.got).toMatchObject([{ signed: true, message: { type: "test" } }]);

  receiver.status = 500;
  await choose("Send a test");
  await page.getByText(/The receiver did not take the test/).waitFor();

  // What is left empty stays: the test below still goes to the same receiver.
  await choose("Edit");
  await page.getByLabel("Name").fill("Night shift");
  await page.getByLabel("a summary each day").uncheck();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Night shift is saved.").waitFor();
  const changed = await stage().relay.admin<{ webhooks: { kinds: string[]; host: string }[] }>(
    "GET",
    "/alerts",
  );
  expect(changed.data.webhooks).toMatchObject([
    { name: "Night shift", host: new URL(receiver.url).host, signed: true },
  ]);
  expect(changed.data.webhooks[0]?.kinds).not.toContain("daily_summary");
  receiver.status = 200;
  await choose("Send a test", "Night shift");
  await page.getByText("Night shift took the test.").waitFor();

  await choose("Switch off", "Night shift");
  await rowOf("Night shift").getByText("switched off").waitFor();
  await choose("Remove …", "Night shift");
  await page.getByRole("button", { name: "Remove the webhook" }).click();
  await rowOf("Night shift").waitFor({ state: "detached" });
  const { data } = await stage().relay.admin<{ webhooks: unknown[] }>("GET", "/alerts");
  expect(data.webhooks).toEqual([]);
});

test("signing out of the settings ends the session on the relay", async () => {
  const { page, context } = await stage().visit({ signedIn: false, path: "/settings" });
  await page.getByLabel("User name").fill(ADMIN.username);
  await page.getByLabel("Password").fill(ADMIN.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  const session = page.getByRole("region", { name: "Session" });
  await session.getByText(ADMIN.username, { exact: true }).waitFor();
  const [cookie] = await context.cookies(`${stage().origin()}/admin`);
  await session.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  const answer = await fetch(`${stage().origin()}/admin/session`, {
    headers: { authorization: `Bearer ${cookie?.value}` },
  });
  expect(answer.status).toBe(401);
});

/** How much of a chart is covered by its first colour. */
function barPixels(drawing: Node): number {
  const canvas = drawing as HTMLCanvasElement;
  const context = canvas.getContext("2d");
  if (context === null) return 0;
  const probe = document.createElement("i");
  probe.style.color = "var(--chart-1)";
  canvas.after(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/\d+/g)?.map(Number) ?? [];
  probe.remove();
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let pixels = 0;
  for (let at = 0; at < data.length; at += 4) {
    const isOpaque = data[at + 3] === 255;
    if (isOpaque && data[at] === red && data[at + 1] === green && data[at + 2] === blue)
      pixels += 1;
  }
  return pixels;
}
