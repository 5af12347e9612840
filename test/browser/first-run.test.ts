import { afterEach, describe, expect, test } from "vitest";
import { HOSTS, LANGUAGES, type Language } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

const stage = useStage({ hosts: HOSTS });

/** What a reader sees, in each language. */
const WORDS = {
  en: {
    title: "First steps",
    apiKey: "API key",
    name: "Name",
    addAccount: "Add the account",
    keyName: "Who or what it is for",
    makeKey: "Make the key",
    waiting: "Waiting for the first request …",
    failed: "A request came, but it was not answered.",
    arrived: "It works: the first request came through.",
    toKeys: "See the key's usage",
  },
  zh: {
    title: "开始使用",
    apiKey: "API 密钥",
    name: "名称",
    addAccount: "添加账户",
    keyName: "使用者或用途",
    makeKey: "创建密钥",
    waiting: "正在等待第一个请求…",
    failed: "收到一个请求，但未获应答。",
    arrived: "成功：第一个请求已通过。",
    toKeys: "查看密钥用量",
  },
} as const satisfies Record<Language, Record<string, string>>;

const CASES = HOSTS.flatMap((host) =>
  (Object.keys(LANGUAGES) as Language[]).map((language) => ({ host, language })),
);

/** Each walk begins on a relay that has nothing. */
afterEach(async () => {
  const { relay } = stage();
  for (const [path, name] of [
    ["/claude-accounts", "accounts"],
    ["/api-keys", "keys"],
  ] as const) {
    const { data } = await relay.admin<Record<string, { id: string }[]>>("GET", path);
    for (const { id } of data[name] ?? []) {
      await relay.admin("DELETE", `${path}/${id}?permanent=true`);
    }
  }
});

describe.each(CASES)("on $host, in $language", ({ host, language }) => {
  const words = WORDS[language];

  test("an empty relay leads from its first account to the first message that came through", async () => {
    const { relay } = stage();
    const { page } = await stage().visit({ host, language });
    await page.getByRole("heading", { name: words.title, level: 1 }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/web/start");

    const { apiKey: accountKey } = relay.fake.accounts.addApiKey({ name: `${host}-${language}` });
    await page.getByRole("textbox", { name: words.apiKey }).fill(accountKey);
    await page.getByRole("textbox", { name: words.name, exact: true }).fill("First");
    await page.getByRole("button", { name: words.addAccount, exact: true }).click();
    await page.getByLabel(words.keyName).fill("laptop");
    await page.getByRole("button", { name: words.makeKey }).click();
    await page.getByText(words.waiting).waitFor();

    // What is copied from the page is what a client needs: the relay's own address, and the key.
    await page.getByText("curl", { exact: true }).click();
    const command = (await page.locator("pre", { hasText: "curl " }).textContent()) ?? "";
    const url = /^curl (\S+)/.exec(command)?.[1] ?? "";
    const key = /x-api-key: (cr_[0-9a-f]{64})/.exec(command)?.[1] ?? "";
    const body = /-d '([^']+)'/.exec(command)?.[1] ?? "";
    expect(url).toBe(`${relay.url}/v1/messages`);
    const send = (fault?: object) =>
      fetch(url, {
        method: "POST",
        headers: {
          "x-api-key": key,
          "anthropic-version": "2023-06-01",
          "content-type": "application/json",
          ...(fault === undefined ? {} : { "x-fake-script": JSON.stringify(fault) }),
        },
        body,
      });
    const error = { type: "invalid_request_error", message: "no" };
    expect((await send({ respond: { status: 400, error } })).status).toBe(400);
    await page.getByText(words.failed).waitFor();
    expect((await send()).status).toBe(200);
    await page.getByText(words.arrived).waitFor();

    await page.getByRole("link", { name: words.toKeys }).click();
    await page.getByRole("heading", { name: "laptop", level: 1 }).waitFor();
    // The secrets were in the page's memory alone.
    const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage]));
    expect(kept).not.toContain(key);
    expect(kept).not.toContain(accountKey);
    expect(await page.content()).not.toContain(key);
  });
});
