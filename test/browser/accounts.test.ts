import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { HOSTS } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

const stage = useStage({ hosts: HOSTS });
const EXCHANGE = "/admin/claude-accounts/exchange-code";
/** A link works for ten. */
const ELEVEN_MINUTES_MS = 11 * 60_000;

interface Login {
  page: Page;
  /** What the link of the page leads to. */
  authUrl: () => Promise<string>;
  paste: (text: string) => Promise<void>;
  /** Under which the relay knows it. */
  sessionId: () => Promise<string>;
}

/** Opens the way over a login, agrees, and makes the link. */
async function beginLogin(expected: number[], host: "worker" | "pages" = "worker"): Promise<Login> {
  const { page, watch } = await stage().visit({ host, path: "/accounts/new" });
  watch.expect(...expected.map((status) => ({ status, path: EXCHANGE })));
  await page.getByText("Claude login", { exact: true }).click();
  const make = page.getByRole("button", { name: "Make the link" });
  // The terms stand before the link: without agreeing there is none.
  expect(await make.isDisabled()).toBe(true);
  await page.getByText("only I use it through this relay").click();
  const made = page.waitForResponse("**/generate-auth-url");
  await make.click();
  const link = page.getByRole("link", { name: "Open the login page" });
  await link.waitFor();
  return {
    page,
    authUrl: async () => (await link.getAttribute("href")) ?? "",
    sessionId: async () => (await (await made).json()).data.sessionId,
    paste: async (text) => {
      await page.getByLabel("Code or address").fill(text);
      await page.getByRole("button", { name: "Check the code" }).click();
    },
  };
}

test.each(HOSTS)(
  "on %s, a login goes through after wrong pastes, and no token is on the page",
  async (host) => {
    const { page, authUrl, paste } = await beginLogin([400], host);
    const url = await authUrl();
    const good = stage().relay.fake.oauth.authorize(url, { account: `person-${host}` });
    const [code = ""] = good.split("#");

    await paste(`${code}#${"x".repeat(43)}`);
    await page.getByText(/another login link/).waitFor();
    await paste("not-a-code");
    await page.getByText(/Anthropic refused this code/).waitFor();
    await paste(good);
    await page
      .getByText("The state belongs to this link, and Anthropic has taken the code.")
      .waitFor();
    await page.getByLabel("Name", { exact: true }).fill(`Ours on ${host}`);
    await page.getByRole("button", { name: "Add the account" }).click();
    await page.getByRole("heading", { name: `Ours on ${host}`, level: 1 }).waitFor();
    await page.getByText("Ready", { exact: true }).waitFor();
    expect(await page.content()).not.toContain("sk-ant-");

    await page.getByRole("button", { name: "Test now" }).click();
    await page.getByText("It works.").waitFor();
    await page.getByText("Direct, without a proxy").waitFor();
  },
);

test("a link whose time is up says so, takes no more pastes, and a new one works", async () => {
  const { page, authUrl } = await beginLogin([]);
  const old = await authUrl();
  await page.getByText(/The link works for \d+ min/).waitFor();
  await page.clock.setFixedTime(Date.now() + ELEVEN_MINUTES_MS);
  await page.getByText("The link has ended. Make a new one.").waitFor();
  expect(await page.getByRole("button", { name: "Check the code" }).isDisabled()).toBe(true);
  await page.clock.setFixedTime(Date.now());
  await page.getByRole("button", { name: "Make a new link" }).click();
  await page.getByText(/The link works for \d+ min/).waitFor();
  expect(await authUrl()).not.toBe(old);
  expect(await page.getByRole("button", { name: "Check the code" }).isEnabled()).toBe(true);
});

test("a login that is over at the relay is told as such, in Chinese too", async () => {
  const { page, authUrl, paste, sessionId } = await beginLogin([410]);
  const good = stage().relay.fake.oauth.authorize(await authUrl(), { account: "elsewhere" });
  const taken = await stage().relay.admin("POST", "/claude-accounts/exchange-code", {
    sessionId: await sessionId(),
    authorizationCode: good,
  });
  expect(taken.status).toBe(200);
  await paste(good);
  await page.getByText("The link has ended. Make a new one.").waitFor();
  await page.getByLabel("Language").selectOption("zh");
  await page.getByText("此登录链接已失效，请重新生成。").waitFor();
  expect(await page.getAttribute("html", "lang")).toBe("zh-CN");
});

test("an account that needs a new login is first in the list, and one click from it", async () => {
  const { relay } = stage();
  const id = await relay.addOAuthAccount("Signed out");
  relay.fake.accounts.revoke("Signed out");
  await relay.admin("POST", `/claude-accounts/${id}/refresh`);
  relay.fake.accounts.restore("Signed out");
  const { page } = await stage().visit({ path: "/accounts" });
  const first = page.getByRole("row").nth(1);
  await first.getByText("Signed out").waitFor();
  await first.getByText("Needs attention").waitFor();
  await first.getByRole("button", { name: "Log in again" }).click();
  const dialog = page.getByRole("dialog", { name: "Log “Signed out” in again" });
  await dialog.getByText("only I use it through this relay").click();
  await dialog.getByRole("button", { name: "Make the link" }).click();
  const link = dialog.getByRole("link", { name: "Open the login page" });
  const url = (await link.getAttribute("href")) ?? "";
  await dialog
    .getByLabel("Code or address")
    .fill(relay.fake.oauth.authorize(url, { account: "Signed out" }));
  await dialog.getByRole("button", { name: "Check the code" }).click();
  await page.getByText("“Signed out” has logged in again.").waitFor();
  const { data } = await relay.admin<{ status: string }>("GET", `/claude-accounts/${id}`);
  expect(data.status).toBe("ready");
});

test("an account is added by its key, changed, switched off and deleted", async () => {
  const { relay } = stage();
  const { apiKey } = relay.fake.accounts.addApiKey({ name: "by key" });
  const { page } = await stage().visit({ path: "/accounts/new" });
  await page.getByLabel("API key", { exact: true }).last().fill(apiKey);
  await page.getByLabel("Name", { exact: true }).fill("By key");
  await page.getByRole("button", { name: "Add the account" }).click();
  await page.getByRole("heading", { name: "By key", level: 1 }).waitFor();
  const id = new URL(page.url()).pathname.split("/").at(-1);
  const now = async () => (await relay.admin("GET", `/claude-accounts/${id}`)).data;

  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByLabel("Priority").fill("0");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Enter a whole number from 1 to 100.").waitFor();
  await page.getByLabel("Priority").fill("7");
  await page.getByRole("textbox", { name: "Tags" }).fill("spare, night");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("“By key” is saved.").waitFor();
  expect(await now()).toMatchObject({ priority: 7, tags: ["spare", "night"], enabled: true });

  const act = async (name: string) => {
    await page.getByRole("button", { name: "Actions for By key" }).click();
    await page.getByRole("menuitem", { name }).click();
  };
  await act("Switch off");
  // Taken back, nothing is done.
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  expect(await now()).toMatchObject({ enabled: true });
  await act("Switch off");
  await page.getByRole("dialog").getByText("It takes no more requests").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Switch off" }).click();
  await page.getByText("“By key” is switched off.").waitFor();
  expect(await now()).toMatchObject({ enabled: false, status: "disabled" });
  await act("Delete …");
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.waitForURL("**/web/accounts");
  expect((await relay.admin("GET", `/claude-accounts/${id}`)).status).toBe(404);
});
