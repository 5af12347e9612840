import type { Page, WebSocketRoute } from "playwright-core";
import { describe, expect, test } from "vitest";
import { ADMIN } from "../fixtures/relay.ts";
import { settled } from "./harness/screens.ts";
import { HOSTS, LANGUAGES, type Language } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

const WORDS = {
  en: { live: "live", pause: "Pause", resume: "Go on", paused: "paused", made: "key made" },
  zh: { live: "实时", pause: "暂停", resume: "继续", paused: "已暂停", made: "创建密钥" },
} satisfies Record<Language, Record<string, string>>;
const CASES = HOSTS.flatMap((host) =>
  (Object.keys(LANGUAGES) as Language[]).map((language) => ({ host, language })),
);
const LIVE = /\/admin\/logs\/live/;
const SERVICE_RESTART = 1012;
/** The page asks for so many at once. */
const PAGE_SIZE = 200;
const AT_ONCE = 20;
/** How such a message begins. */
const EVENTS = '{"type":"events"';

const stage = useStage({ hosts: HOSTS });

/** An act of an admin, once the log has it. @returns the id of its event */
async function act(name: string): Promise<number> {
  const key = await stage().relay.createKey({ name });
  const events = await stage().relay.eventsUntil((all) =>
    all.some(({ keyId }) => keyId === key.id),
  );
  return events.find(({ keyId }) => keyId === key.id)?.id ?? 0;
}

/** Of all that the log holds, the newest first. */
async function heldIds(query = ""): Promise<string[]> {
  const events = await stage().relay.events(query);
  return events.map(({ id }) => String(id)).reverse();
}

function shownIds(page: Page): Promise<(string | null)[]> {
  return page
    .locator("[data-event-id]")
    .evaluateAll((lines) => lines.map((line) => line.getAttribute("data-event-id")));
}

function line(page: Page, id: number) {
  return page.locator(`[data-event-id="${id}"]`);
}

function upToOf(message: string | Buffer): number {
  return (JSON.parse(String(message)) as { upTo: number }).upTo;
}

describe.each(CASES)("on $host, in $language", ({ host, language }) => {
  const words = WORDS[language];
  const open = async (path: string) => {
    const { page } = await stage().visit({ host, language, path });
    await settled(page);
    return page;
  };

  test("the log follows what happens, and after a pause tells all of it", async () => {
    const page = await open("/logs");
    await page.getByRole("status").getByText(words.live, { exact: true }).waitFor();
    await line(page, await act("seen at once")).waitFor();

    await page.getByRole("button", { name: words.pause }).click();
    await page.getByRole("status").getByText(words.paused, { exact: true }).waitFor();
    const meanwhile = [await act("first of a pause"), await act("second of a pause")];
    for (const id of meanwhile) expect(await line(page, id).count()).toBe(0);

    await page.getByRole("button", { name: words.resume }).click();
    for (const id of meanwhile) await line(page, id).waitFor();
    expect(await shownIds(page)).toEqual(await heldIds());
  });

  test("the audit trail has who did what, with what was before and after", async () => {
    const key = await stage().relay.createKey({ name: "audited", tags: ["a tag to find"] });
    const page = await open("/logs/audit");
    const target = page.locator(`a[href="/web/keys/${key.id}"]`);
    const row = page.locator("tbody tr", { has: target });
    expect(await row.locator("th").innerText()).toBe(words.made);
    expect(await row.innerText()).toContain(ADMIN.username);
    await row.getByRole("button").click();
    const parts = page.getByRole("dialog").locator("pre");
    await parts.first().waitFor();
    const written = await parts.allInnerTexts();
    expect(written.join("\n")).toContain("a tag to find");
    expect(written.join("\n")).not.toContain(key.apiKey);
  });
});

test("after a lost connection everything comes, in its order, and nothing twice", async () => {
  const { page } = await stage().visit({ path: "/logs/audit" });
  await settled(page);
  let isCut = false;
  const lines: WebSocketRoute[] = [];
  await page.routeWebSocket(LIVE, (socket) => {
    if (isCut) {
      void socket.close({ code: SERVICE_RESTART });
      return;
    }
    socket.connectToServer();
    lines.push(socket);
  });
  await page.getByRole("link", { name: "Live log" }).click();
  await line(page, await act("before the cut")).waitFor();

  isCut = true;
  for (const socket of lines.splice(0)) await socket.close({ code: SERVICE_RESTART });
  await page.getByText("connection lost, trying again").waitFor();
  const missed = [await act("one in the cut"), await act("another in the cut")];
  expect(await line(page, missed[0] ?? 0).count()).toBe(0);
  isCut = false;
  for (const id of missed) await line(page, id).waitFor();
  await line(page, await act("after the cut")).waitFor();
  expect(await shownIds(page)).toEqual(await heldIds());
});

test("what arrived is acknowledged, so the relay goes on sending", async () => {
  const { page } = await stage().visit({ path: "/logs/audit" });
  await settled(page);
  const acknowledged: number[] = [];
  const sent: number[] = [];
  await page.routeWebSocket(LIVE, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((message) => {
      if (message !== "ping") acknowledged.push(upToOf(message));
      server.send(message);
    });
    server.onMessage((message) => {
      if (String(message).startsWith(EVENTS)) sent.push(upToOf(message));
      socket.send(message);
    });
  });
  await page.getByRole("link", { name: "Live log" }).click();
  // More than may be under way unacknowledged.
  for (let index = 0; index < 12; index += 1) await line(page, await act("many")).waitFor();
  expect(sent.length).toBeGreaterThan(10);
  await expect.poll(() => acknowledged).toEqual(sent);
});

test("level, category and a request's id let through what the relay says they do", async () => {
  const { relay } = stage();
  const revoked = await relay.createKey({ name: "revoked" });
  await relay.admin("POST", `/api-keys/${revoked.id}/revoke`);
  const refused = await relay.message(revoked);
  await refused.arrayBuffer();
  const requestId = refused.headers.get("x-relay-request-id") ?? "";
  await relay.eventsUntil((all) => all.some((event) => event.requestId === requestId));
  await fetch(`${relay.url}/admin/login`, {
    method: "POST",
    headers: { "content-type": "application/json", "cf-connecting-ip": "192.0.2.7" },
    body: JSON.stringify({ username: "admin", password: "not it" }),
  });
  await relay.eventsUntil((all) => all.some(({ event }) => event === "admin.login_refused"));

  const { page } = await stage().visit({ path: "/logs" });
  await settled(page);
  await page.getByLabel("Category").selectOption("admin");
  await settled(page);
  expect(await shownIds(page)).toEqual(await heldIds("category=admin"));
  await page.getByLabel("Level").selectOption("warn");
  await settled(page);
  const warnings = await heldIds("category=admin&level=warn");
  expect(warnings.length).toBeGreaterThan(0);
  expect(await shownIds(page)).toEqual(warnings);
  expect(new URL(page.url()).search).toBe("?category=admin&level=warn");

  // A pasted id asks for that request, whatever else was chosen.
  await page.getByRole("searchbox").fill(requestId);
  await page.getByRole("link", { name: "Open the request" }).waitFor();
  await settled(page);
  expect(await shownIds(page)).toEqual(await heldIds(`requestId=${requestId}`));
  expect(await page.getByText("the relay refused a request").count()).toBe(1);

  await page.getByRole("button", { name: "All requests again" }).click();
  await settled(page);
  await page.getByRole("searchbox").fill("key_revoked");
  await expect.poll(() => page.locator("[data-event-id]").count()).toBe(1);
  await page.getByRole("searchbox").fill("nothing says this");
  await page.getByRole("heading", { name: "No such event" }).waitFor();
  await page.getByRole("button", { name: "Clear the filters" }).click();
  await expect.poll(() => shownIds(page)).toEqual(await heldIds());
});

test("older events come page by page", async () => {
  const { relay } = stage();
  const { length } = await relay.events();
  // Each is an act, and so an event; not too many at once, as each is also written down before.
  for (let made = length; made <= PAGE_SIZE; made += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => relay.createKey()));
  }
  await relay.eventsUntil((events) => events.length > PAGE_SIZE);
  const { page } = await stage().visit({ path: "/logs" });
  await settled(page);
  expect(await page.locator("[data-event-id]").count()).toBeLessThan((await heldIds()).length);
  await page.getByRole("button", { name: "Load older events" }).click();
  await page.getByText("There are no older events.").waitFor();
  await expect
    .poll(async () => JSON.stringify(await shownIds(page)))
    .toBe(JSON.stringify(await heldIds()));
});

test("where the session ends elsewhere, the live log ends with it", async () => {
  const { page, context } = await stage().visit({ signedIn: false, path: "/logs" });
  await page.getByLabel("User name").fill(ADMIN.username);
  await page.getByLabel("Password").fill(ADMIN.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("status").getByText("live", { exact: true }).waitFor();
  const [cookie] = await context.cookies(`${stage().origin()}/admin`);
  await fetch(`${stage().origin()}/admin/logout`, {
    method: "POST",
    headers: { authorization: `Bearer ${cookie?.value}` },
  });
  await page.getByText("Your session has ended.").waitFor();
});
