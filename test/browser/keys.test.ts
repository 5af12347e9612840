import type { Page } from "playwright-core";
import { afterAll, describe, expect, test } from "vitest";
import { newKey } from "../../src/keys/new-key.ts";
import { UpstashKeyStore } from "../../src/keys/upstash.ts";
import { TestRedis } from "../fixtures/redis/index.ts";
import { HOSTS, LANGUAGES, type Language } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

const KEYS = 10_000;
const AT_ONCE = 40;
const DAY_MS = 86_400_000;
const FIRST_MADE_MS = Date.parse("2026-01-01T00:00:00Z");
const PLAIN_KEY = /^cr_[0-9a-f]{64}$/;

// Redis takes ten thousand keys in seconds; the screens see no difference.
const redis = await TestRedis.start();
afterAll(() => redis.close());

const stage = useStage({ hosts: HOSTS, vars: redis.vars }, async ({ relay }) => {
  await relay.addApiKeyAccount("console");
  const store = new UpstashKeyStore({ url: redis.url, token: redis.token });
  for (let from = 1; from <= KEYS; from += AT_ONCE) {
    const batch = Array.from({ length: AT_ONCE }, async (_, index) => {
      const at = from + index;
      const name = `load ${String(at).padStart(5, "0")}`;
      const fields = { name, tags: at % 1_000 === 0 ? ["thousand"] : [] };
      const { stored } = await newKey(fields, FIRST_MADE_MS + at * (DAY_MS / KEYS));
      await store.put(stored, null);
    });
    await Promise.all(batch);
  }
});

const rows = (page: Page) => page.locator("tbody tr");

async function act(page: Page, name: string, item: string): Promise<void> {
  await page.getByRole("button", { name: `Actions for ${name}` }).click();
  await page.getByRole("menuitem", { name: item }).click();
}

describe("a key, from its making to its end", () => {
  test("is shown once, works, is limited, rotated, switched off and on, revoked, deleted and restored", async () => {
    const { relay } = stage();
    const { page } = await stage().visit({ path: "/keys" });
    await page.getByRole("button", { name: "New key" }).click();
    const form = page.getByRole("dialog", { name: "New key" });
    await form.getByLabel("Cost a day").fill("-1");
    await form.getByRole("button", { name: "Make the key" }).click();
    await form.getByText("Enter a name.").waitFor();
    await form.getByText("Enter a number of 0 or more, or leave it empty.").waitFor();
    await form.getByLabel("Name").fill("Ada");
    await form.getByLabel("Cost a day").fill("5");
    await form.getByRole("button", { name: "Make the key" }).click();
    const shown = page.getByRole("dialog", { name: "The key of “Ada”" });
    const apiKey = (await shown.locator("pre").textContent()) ?? "";
    expect(apiKey).toMatch(PLAIN_KEY);
    // Nothing but its button closes what cannot be shown again.
    await page.keyboard.press("Escape");
    expect(await shown.isVisible()).toBe(true);
    await shown.getByRole("button", { name: "I have it" }).click();
    expect(await page.content()).not.toContain(apiKey);

    const status = async (key: string) => {
      const answer = await relay.message({ id: "", apiKey: key });
      await answer.arrayBuffer();
      return answer.status;
    };
    expect(await status(apiKey)).toBe(200);
    await page.getByRole("link", { name: "Ada", exact: true }).click();
    await page.getByRole("heading", { name: "Ada", level: 1 }).waitFor();
    await page.getByText("of $5.00").waitFor();
    const id = new URL(page.url()).pathname.split("/").at(-1) ?? "";
    const now = async () => (await relay.admin("GET", `/api-keys/${id}`)).data;

    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Cost a month").fill("60.5");
    await page.getByLabel("Requests at once").fill("3");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("$60.50").waitFor();
    expect(await now()).toMatchObject({
      limits: { dailyCost: 5, monthlyCost: 60.5, concurrency: 3, weeklyCost: null },
    });

    await act(page, "Ada", "Rotate …");
    await page.getByLabel("The old secret").selectOption("0");
    await page.getByRole("button", { name: "Make a new secret" }).click();
    const renewed = (await page.locator("dialog pre").textContent()) ?? "";
    expect(renewed).toMatch(PLAIN_KEY);
    await page.getByRole("button", { name: "I have it" }).click();
    expect([await status(apiKey), await status(renewed)]).toEqual([401, 200]);

    await act(page, "Ada", "Switch off");
    await page.getByRole("dialog").getByRole("button", { name: "Switch off" }).click();
    await page.getByText("“Ada” is switched off.").waitFor();
    expect(await status(renewed)).toBe(403);
    await act(page, "Ada", "Switch on");
    await page.getByText("“Ada” is switched on.").waitFor();
    expect(await status(renewed)).toBe(200);

    await act(page, "Ada", "Delete …");
    await page.getByRole("dialog").getByText("It can be restored").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("“Ada” is deleted.").waitFor();
    expect(await status(renewed)).not.toBe(200);
    await act(page, "Ada", "Restore");
    await page.getByText("“Ada” is back.").waitFor();
    expect(await status(renewed)).toBe(200);

    await act(page, "Ada", "Revoke …");
    await page.getByRole("dialog").getByText("This cannot be undone.").waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByText("“Ada” is revoked.").waitFor();
    expect(await status(renewed)).toBe(403);
    await page.getByText("Revoked", { exact: true }).waitFor();
  });

  test("many are made at once, each with a number and a key of its own", async () => {
    const { page } = await stage().visit({ path: "/keys" });
    await page.getByText(RANGE.en).waitFor();
    await page.getByRole("button", { name: "Many at once" }).click();
    await page.getByLabel("Names begin with").fill("batch-");
    await page.getByLabel("How many").fill("60");
    await page.getByRole("button", { name: "Make 60 keys" }).click();
    const shown = page.getByRole("dialog", { name: "60 new keys" });
    await shown.waitFor();
    const cells = await shown.locator("td").allTextContents();
    expect(new Set(cells).size).toBe(60);
    expect(cells.every((cell) => PLAIN_KEY.test(cell))).toBe(true);
    const names = await shown.locator("th").allTextContents();
    expect([names.at(0), names.at(-1)]).toEqual(["batch-01", "batch-60"]);
  });
});

/** Where each list says how much of it is shown. */
const RANGE: Record<Language, RegExp> = {
  en: /^1–50 of 10,0\d\d$/,
  zh: /^第 1–50 项，共 10,0\d\d 项$/,
};
const WORDS: Record<Language, Record<"next" | "search" | "tag" | "name" | "nothing", string>> = {
  en: { next: "Next", search: "Search", tag: "Tag", name: "Name", nothing: "No key matches" },
  zh: { next: "下一页", search: "搜索", tag: "标签", name: "名称", nothing: "没有匹配的密钥" },
};
const CASES = HOSTS.map((host, index) => ({
  host,
  language: (Object.keys(LANGUAGES) as Language[])[index] ?? "en",
}));

test.each(CASES)(
  "ten thousand keys are searched, sorted and leafed through, on $host in $language",
  async ({ host, language }) => {
    const t = WORDS[language];
    const { page } = await stage().visit({ host, language, path: "/keys" });
    await page.getByText(RANGE[language]).waitFor();
    const search = page.getByLabel(t.search);

    // In the middle of a name, and of a name that its store has last.
    await search.fill("09999");
    await page.getByRole("link", { name: "load 09999" }).waitFor();
    // A key's id may hold the same digits by chance.
    expect(await rows(page).count()).toBeLessThan(5);
    await search.fill("no such key");
    await page.getByText(t.nothing).waitFor();
    await search.fill("load");
    await page.getByRole("button", { name: t.name, exact: true }).click();
    await rows(page).first().getByText("load 00001").waitFor();
    await page.getByRole("button", { name: t.name, exact: true }).click();
    await rows(page).first().getByText("load 10000").waitFor();
    await page.getByRole("button", { name: t.next }).click();
    await rows(page).first().getByText("load 09950").waitFor();
    await page.getByLabel(t.tag, { exact: true }).selectOption("thousand");
    await expect.poll(() => rows(page).count()).toBe(KEYS / 1_000);
  },
);
