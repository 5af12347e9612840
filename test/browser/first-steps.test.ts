import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { faults } from "../fixtures/fake-upstream/index.ts";
import { HOSTS } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

const stage = useStage({ hosts: HOSTS });
const PLAIN_KEY = /^cr_[0-9a-f]{64}$/;

// In this order: the relay is empty only once.
test("an empty relay leads to its first request, also where a try before it fails", async () => {
  const { relay } = stage();
  const { page } = await stage().visit();
  await page.getByRole("heading", { name: "First steps", level: 1 }).waitFor();
  expect(new URL(page.url()).pathname).toBe("/web/start");
  await page.getByText("First finish the steps above.").waitFor();

  // An empty form is not sent, and says what it lacks.
  await page.getByRole("button", { name: "Add the account" }).click();
  await expect.poll(() => page.getByText("Fill this in.").count()).toBe(2);
  const { apiKey } = relay.fake.accounts.addApiKey({ name: "console" });
  await page.getByLabel("API key", { exact: true }).last().fill(apiKey);
  await page.getByLabel("Name", { exact: true }).fill("Console");
  await page.getByRole("button", { name: "Add the account" }).click();
  await page.getByText("Added: Console").waitFor();

  await page.getByLabel("Who or what it is for").fill("my laptop");
  await page.getByRole("button", { name: "Make the key" }).click();
  await page.getByText("Waiting for the first request").waitFor();
  expect(await page.locator("pre").first().textContent()).toMatch(PLAIN_KEY);
  expect(await page.content()).not.toContain(apiKey);

  relay.fake.script({ account: "console", times: 1 }, faults.status(400));
  expect((await runCurlOf(page)).status).toBe(400);
  await page.getByText("A request came, but it was not answered.").waitFor();
  expect((await runCurlOf(page)).status).toBe(200);
  await page.getByText("It works: the first request came through.").waitFor();
  await page.getByRole("link", { name: "See the key's usage" }).click();
  await page.getByRole("heading", { name: "my laptop", level: 1 }).waitFor();
  // The plain key was this page's alone.
  expect(await page.content()).not.toMatch(/cr_[0-9a-f]{64}/);
});

test("another client is pointed at the relay itself, in Chinese and from Pages", async () => {
  const { page } = await stage().visit({ host: "pages", language: "zh", path: "/start" });
  await page.getByRole("heading", { name: "开始使用", level: 1 }).waitFor();
  await page.getByText("已添加：Console").waitFor();
  // The first request was seen long ago, and is told from the ledger.
  await page.getByText("成功：第一个请求已通过。").waitFor();
  await page.getByLabel("使用者或用途").fill("另一台电脑");
  await page.getByRole("button", { name: "创建密钥" }).click();
  await page.getByText("正在等待第一个请求").waitFor();
  const answer = await runCurlOf(page);
  expect(answer.status).toBe(200);
  // Pages takes no messages.
  expect(new URL(answer.url).origin).toBe(stage().relay.url);
  await page.getByText("成功：第一个请求已通过。").waitFor();
});

/** What the page says to run, as curl would send it. */
async function runCurlOf(page: Page): Promise<Response> {
  await page.getByText("curl", { exact: true }).click();
  const command = (await page.locator("pre").last().textContent()) ?? "";
  const url = /curl (\S+)/.exec(command)?.[1] ?? "";
  const headers = [...command.matchAll(/-H "([^:]+): ([^"]+)"/g)].map(
    ([, name = "", value = ""]): [string, string] => [name, value],
  );
  const body = /-d '(.+)'/.exec(command)?.[1] ?? "";
  const answer = await fetch(url, { method: "POST", headers, body });
  await answer.arrayBuffer();
  return answer;
}
