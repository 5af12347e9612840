import { afterAll, expect, test } from "vitest";
import { ForwardProxyProcess } from "../fixtures/egress/forward-proxy.ts";
import { settledPort } from "../fixtures/settled-port.ts";
import { useStage } from "./harness/use-stage.ts";

/** A link works for ten. */
const ELEVEN_MINUTES_MS = 11 * 60_000;

const service = await ForwardProxyProcess.start(["https://upstream.example"]);
afterAll(() => service.terminate());
const stage = useStage({ vars: service.vars });

test("a link whose time is up says so, takes no more pastes, and a new one works", async () => {
  const { page } = await stage().visit({ path: "/accounts/new" });
  await page.getByText("Claude login", { exact: true }).click();
  await page.getByText("only I use it through this relay").click();
  await page.getByRole("button", { name: "Make the link" }).click();
  const link = page.getByRole("link", { name: "Open the login page" });
  await page.getByText(/The link works for \d+ min/).waitFor();
  const old = await link.getAttribute("href");
  await page.clock.setFixedTime(Date.now() + ELEVEN_MINUTES_MS);
  await page.getByText("The link has ended. Make a new one.").waitFor();
  expect(await page.getByRole("button", { name: "Check the code" }).isDisabled()).toBe(true);
  await page.clock.setFixedTime(Date.now());
  await page.getByRole("button", { name: "Make a new link" }).click();
  await page.getByText(/The link works for \d+ min/).waitFor();
  await expect.poll(() => link.getAttribute("href")).not.toBe(old);
  expect(await page.getByRole("button", { name: "Check the code" }).isEnabled()).toBe(true);
});

test("an account that needs a new login is first in the list, and one click from it", async () => {
  const { relay } = stage();
  await relay.addApiKeyAccount("A good one", { priority: 1 });
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
  // An empty form is not sent, and says what it lacks.
  await page.getByRole("button", { name: "Add the account" }).click();
  await expect.poll(() => page.getByText("Fill this in.").count()).toBe(2);
  await page.getByRole("textbox", { name: "API key" }).fill(apiKey);
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("By key");
  await page.getByRole("button", { name: "Add the account" }).click();
  await page.getByRole("heading", { name: "By key", level: 1 }).waitFor();
  const id = new URL(page.url()).pathname.split("/").at(-1);
  const now = async () => (await relay.admin("GET", `/claude-accounts/${id}`)).data;

  await page.getByRole("button", { name: "Test now" }).click();
  await page.getByText("It works.").waitFor();
  await page.getByText("Direct, without a proxy").waitFor();
  expect(await page.content()).not.toContain(apiKey);

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

test("a proxy is set for an account, and a test shows how far its way comes", async () => {
  const { relay } = stage();
  const id = await relay.addApiKeyAccount("behind a proxy");
  const { page } = await stage().visit({ path: `/accounts/${id}` });
  await page.getByText("none: straight to Anthropic").waitFor();
  await page.getByRole("button", { name: "Change the proxy" }).click();
  await page.getByLabel("Use a proxy").check();
  await page.getByRole("button", { name: "Save the proxy" }).click();
  await page.getByText("Enter a port from 1 to 65535.").waitFor();
  await page.getByLabel("Host").fill("127.0.0.1");
  await page.getByLabel("Port").fill(String(await settledPort()));
  await page.getByLabel("User name").fill("someone");
  await page.getByLabel("Password").fill("not for the page");
  await page.getByRole("button", { name: "Save the proxy" }).click();
  await page.getByText("“behind a proxy” is saved.").waitFor();
  await page.getByText("someone", { exact: true }).waitFor();
  expect(await page.content()).not.toContain("not for the page");

  await page.getByRole("button", { name: "Test now" }).click();
  await page.getByText("It does not work.").waitFor();
  await page.getByText("The way breaks off after this.").waitFor();
});
