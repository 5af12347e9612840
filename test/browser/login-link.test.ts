import { describe, expect, test } from "vitest";
import { HOSTS, LANGUAGES, type Language } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

const stage = useStage({ hosts: HOSTS });

/** What a reader sees, in each language. */
const WORDS = {
  en: {
    way: "Claude login",
    mine: "This login is mine, and only I use it through this relay.",
    makeLink: "Make the link",
    openLink: "Open the login page",
    newLink: "Make a new link",
    paste: "Code or address",
    check: "Check the code",
    ended: "The link has ended. Make a new one.",
    linked: "Logged in as",
    name: "Name",
    create: "Add the account",
  },
  zh: {
    way: "Claude 登录",
    mine: "此登录属于我本人，且仅由我通过此中继使用。",
    makeLink: "生成链接",
    openLink: "打开登录页面",
    newLink: "重新生成链接",
    paste: "授权码或地址",
    check: "验证授权码",
    ended: "链接已失效，请重新生成。",
    linked: "已登录：",
    name: "名称",
    create: "添加账户",
  },
} as const satisfies Record<Language, Record<string, string>>;
const EXCHANGE = "/admin/claude-accounts/exchange-code";

const CASES = HOSTS.flatMap((host) =>
  (Object.keys(LANGUAGES) as Language[]).map((language) => ({ host, language })),
);

describe.each(CASES)("a login by link, on $host, in $language", ({ host, language }) => {
  const words = WORDS[language];

  test("after a code of another link, a wrong code and an ended link, the right code still makes an account", async () => {
    const { fake } = stage().relay;
    const name = `${host} ${language}`;
    fake.accounts.addOAuth({ name });
    const { page, watch } = await stage().visit({ host, language, path: "/accounts/new" });
    await page.getByText(words.way, { exact: true }).click();
    // The terms stand before the link: without a yes to them there is none.
    const makeLink = page.getByRole("button", { name: words.makeLink });
    expect(await makeLink.isDisabled()).toBe(true);
    await page.getByLabel(words.mine).check();
    await makeLink.click();

    const link = page.getByRole("link", { name: words.openLink });
    const firstUrl = (await link.getAttribute("href")) ?? "";
    expect(await link.getAttribute("rel")).toContain("noreferrer");
    const ofAnotherLink = fake.oauth.authorize(firstUrl, { account: name });
    await page.getByRole("button", { name: words.newLink }).click();
    await expect.poll(() => link.getAttribute("href")).not.toBe(firstUrl);
    const pasteCode = async (code: string) => {
      await page.getByLabel(words.paste).fill(code);
      await page.getByRole("button", { name: words.check }).click();
    };

    watch.expect({ status: 400, path: EXCHANGE });
    await pasteCode(ofAnotherLink);
    const alert = page.getByRole("alert");
    await alert.getByText("belongs to another login link").waitFor();

    const url = (await link.getAttribute("href")) ?? "";
    const [code = "", state = ""] = fake.oauth.authorize(url, { account: name }).split("#");
    await pasteCode(`${code.slice(0, -4)}0000#${state}`);
    await alert.getByText("belongs to another login link").waitFor({ state: "detached" });
    await alert.waitFor();
    expect(fake.ledger.totals().violations).toBe(0);

    // A session that the relay does not know (any more) is one whose time is over.
    watch.expect({ status: 410, path: EXCHANGE });
    await page.route(`**${EXCHANGE}`, (route) => {
      const body = { ...(route.request().postDataJSON() as object), sessionId: NO_SESSION };
      return route.continue({ postData: JSON.stringify(body) });
    });
    await pasteCode(`${code}#${state}`);
    await page.getByText(words.ended, { exact: true }).waitFor();
    expect(await page.getByRole("button", { name: words.check }).isDisabled()).toBe(true);
    await page.unroute(`**${EXCHANGE}`);

    const lastUrl = (await link.getAttribute("href")) ?? "";
    await page.getByRole("button", { name: words.newLink }).click();
    await expect.poll(() => link.getAttribute("href")).not.toBe(lastUrl);
    const newestUrl = (await link.getAttribute("href")) ?? "";
    await pasteCode(fake.oauth.authorize(newestUrl, { account: name }));
    await page.getByText(words.linked).waitFor();
    await page.getByRole("textbox", { name: words.name, exact: true }).fill(name);
    await page.getByRole("button", { name: words.create, exact: true }).click();
    await page.getByRole("heading", { name, level: 1 }).waitFor();
    const { data } = await stage().relay.admin<{ accounts: { name: string; status: string }[] }>(
      "GET",
      "/claude-accounts",
    );
    expect(data.accounts).toContainEqual(expect.objectContaining({ name, status: "ready" }));
  });
});

/** In the shape of a session's id. */
const NO_SESSION = "00000000-0000-4000-8000-000000000000";
