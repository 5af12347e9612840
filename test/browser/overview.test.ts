import type { Locator, Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import type { Dashboard } from "../../admin-pages/src/api/dashboard.ts";
import type { RelayedRequest } from "../../admin-pages/src/api/requests.ts";
import type { Trend } from "../../admin-pages/src/api/usage.ts";
import { settled } from "./harness/screens.ts";
import { type Furniture, furnish } from "./harness/seed.ts";
import { HOSTS, LANGUAGES, type Language } from "./harness/stage.ts";
import { useStage } from "./harness/use-stage.ts";

/** The browser's own, of every visit. */
const TIME_ZONE = "Europe/Berlin";
const WORDS = {
  en: {
    attention: "What needs attention",
    today: "Today",
    accounts: "Accounts",
    usage: "Usage",
    showTable: "Show as table",
    days30: "30 days",
    chartRequests: "Requests",
    outcome: "Outcome",
    older: "Older",
    newer: "Newer",
    way: "Its way",
  },
  zh: {
    attention: "需要处理",
    today: "今天",
    accounts: "账户",
    usage: "用量",
    showTable: "以表格显示",
    days30: "30 天",
    chartRequests: "请求数",
    outcome: "结果",
    older: "较早",
    newer: "较新",
    way: "处理过程",
  },
} satisfies Record<Language, Record<string, string>>;

const CASES = HOSTS.flatMap((host) =>
  (Object.keys(LANGUAGES) as Language[]).map((language) => ({ host, language })),
);

let furniture: Furniture;
/** One that met a failing account first. */
let failedOverId = "";
const stage = useStage({ hosts: HOSTS }, async ({ relay }) => {
  furniture = await furnish(relay);
  relay.fake.script({ model: "claude-haiku-4-5" }, { respond: OVERLOADED });
  const key = furniture.keys.Visitor;
  if (key === undefined) throw new Error("the furniture has no visitor");
  const answer = await relay.message(key, { model: "claude-haiku-4-5" });
  await answer.arrayBuffer();
  failedOverId = answer.headers.get("x-relay-request-id") ?? "";
});
const OVERLOADED = {
  status: 500,
  error: { type: "api_error", message: "Internal server error" },
} as const;

// The ledger has a request some seconds after its end; figures are compared once it has the last one.
beforeAll(async () => {
  for (let attempt = 0; attempt < 300; attempt += 1) {
    const { status } = await stage().relay.admin("GET", `/requests/${failedOverId}`);
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the ledger does not have the last request");
}, 60_000);

async function held<T>(path: string): Promise<T> {
  const { data } = await stage().relay.admin<T>("GET", path);
  return data;
}

function card(page: Page, title: string): Locator {
  return page.getByRole("region", { name: title, exact: true });
}

/** The cells of a chart's table, row by row. */
async function chartTable(page: Page, label: string, showTable: string): Promise<string[][]> {
  const figure = page.getByRole("figure", { name: label, exact: true });
  await figure.getByRole("button", { name: showTable }).click();
  await figure.locator("tbody tr").first().waitFor();
  return figure
    .locator("tbody tr")
    .evaluateAll((rows) =>
      rows.map((row) => [...row.querySelectorAll("td")].map(({ textContent }) => textContent)),
    );
}

describe.each(CASES)("on $host, in $language", ({ host, language }) => {
  const words = WORDS[language];
  const locale = LANGUAGES[language];
  const number = (value: number) => new Intl.NumberFormat(locale).format(value);
  const open = async (path: string) => {
    const { page } = await stage().visit({ host, language, path });
    await settled(page);
    return page;
  };

  test("the dashboard shows today as the relay holds it", async () => {
    const page = await open("/");
    const { recentActivity: today } = await held<Dashboard>(`/dashboard?timeZone=${TIME_ZONE}`);
    expect(today.requestsToday).toBeGreaterThan(0);
    const shown = await card(page, words.today).locator("dd").allInnerTexts();
    expect(shown[0]).toMatch(new RegExp(`^${number(today.requestsToday)}\n`));
    expect(shown[1]).toMatch(new RegExp(`^${number(today.failedRequestsToday)}\n`));
    const cost = Number(shown[2]?.split("\n")[0]?.replace(/[^\d.]/g, ""));
    // Shown to the cent, or more closely.
    expect(Math.abs(cost - today.costToday)).toBeLessThanOrEqual(0.005);
    expect(cost).toBeGreaterThan(0);
  });

  test("what needs attention stands first, and what is well is left out", async () => {
    const page = await open("/");
    const first = page.locator(".page > section").first();
    expect(await first.getByRole("heading").innerText()).toBe(words.attention);
    const matters = await first.locator("strong").allInnerTexts();
    expect(matters.sort()).toEqual(["Max, night", "Max, research", "Old laptop"]);
  });

  test("each account at a glance has a bar for each of its windows", async () => {
    const page = await open("/");
    const account = card(page, words.accounts).locator("li", { hasText: "Max, team" });
    const bars = await account
      .locator("meter")
      .evaluateAll((all) => all.map((bar) => (bar as HTMLMeterElement).value));
    expect(bars).toEqual([0.42, 0.61, 0.35]);
    expect(await account.locator(".countdown").count()).toBe(3);
  });

  test("a chart is also a table, and shows what the ledger holds for each day", async () => {
    const page = await open("/");
    await card(page, words.usage).getByText(words.days30, { exact: true }).click();
    await page.locator(".drawing canvas").first().waitFor();
    await settled(page);
    await card(page, words.usage).locator("select").selectOption("day");
    await settled(page);
    const rows = await chartTable(page, words.chartRequests, words.showTable);
    const query = `granularity=day&timeZone=${TIME_ZONE}`;
    const { points } = await held<Trend>(`/usage-trend?${query}`);
    expect(points.length).toBe(30);
    expect(rows).toEqual(
      points.map(({ requests, failedRequests }) => [
        number(requests - failedRequests),
        number(failedRequests),
      ]),
    );
  });

  test("the newest requests are those of the relay, page by page", async () => {
    const page = await open("/requests");
    const ids = () =>
      page
        .locator("tbody th a")
        .evaluateAll((links) => links.map((link) => link.getAttribute("href")?.split("/").at(-1)));
    type Listed = { requests: RelayedRequest[]; before: string };
    const first = await held<Listed>("/requests?limit=50");
    expect(await ids()).toEqual(first.requests.map(({ id }) => id));
    await page.getByRole("button", { name: words.older }).click();
    await settled(page);
    const second = await held<Listed>(`/requests?limit=50&before=${first.before}`);
    expect(await ids()).toEqual(second.requests.map(({ id }) => id));
    await page.getByRole("button", { name: words.newer }).click();
    await settled(page);
    expect(await ids()).toEqual(first.requests.map(({ id }) => id));
  });

  test("one request shows the accounts that were tried, and which one answered", async () => {
    const page = await open(`/requests/${failedOverId}`);
    const request = await held<RelayedRequest>(`/requests/${failedOverId}`);
    expect(request.attempts.map(({ status }) => status)).toEqual([500, 200]);
    const names = request.attempts.map(
      ({ accountId }) => Object.entries(furniture.accounts).find(([, id]) => id === accountId)?.[0],
    );
    const steps = card(page, words.way).locator("ol > li");
    await steps
      .getByText(names[0] ?? "")
      .first()
      .waitFor();
    const [, , failed, served] = await steps.allInnerTexts();
    expect(failed).toContain("500");
    expect(failed).toContain(names[0]);
    expect(served).toContain("200");
    expect(served).toContain(names[1]);
  });
});

test("one key looked at alone: its charts are of its requests only", async () => {
  const { page } = await stage().visit({ path: "/" });
  await settled(page);
  await card(page, "By key").getByRole("button", { name: "Support chat" }).click();
  await page.getByRole("button", { name: "No longer only Support chat" }).waitFor();
  await settled(page);
  await card(page, "Usage").getByText("90 days").click();
  await settled(page);
  const rows = await chartTable(page, "Requests", "Show as table");
  const keyId = furniture.keys["Support chat"]?.id;
  const to = new Date();
  const from = new Date(to.getTime() - 89 * 86_400_000).toISOString().slice(0, 10);
  const query = `granularity=day&timeZone=${TIME_ZONE}&from=${from}&keyId=${keyId}`;
  const { points } = await held<Trend>(`/usage-trend?${query}`);
  const sum = (all: number[]) => all.reduce((one, other) => one + other, 0);
  const shown = rows.map(([done = "", failed = ""]) => Number(done) + Number(failed));
  expect(sum(shown)).toBeGreaterThan(500);
  expect(sum(shown)).toBe(sum(points.map(({ requests }) => requests)));
  expect(await card(page, "By key").locator("li").count()).toBe(1);
});

test("in another time zone, today is that zone's", async () => {
  const { page } = await stage().visit({ path: "/" });
  await settled(page);
  const zone = "Pacific/Kiritimati";
  await page.getByLabel("Time zone").selectOption(zone);
  const { recentActivity } = await held<Dashboard>(`/dashboard?timeZone=${zone}`);
  await settled(page);
  const shown = await card(page, "Today").locator("dd").first().innerText();
  expect(shown.split("\n")[0]).toBe(String(recentActivity.requestsToday));
  expect(await page.locator(".lead").first().innerText()).toContain("GMT+14");
});

test("requests by a filter: the address holds it, and it can be cleared", async () => {
  const { page } = await stage().visit({ path: "/requests" });
  await settled(page);
  await page.getByLabel("Outcome").selectOption("upstream_error");
  await page.getByLabel("Model", { exact: true }).selectOption("claude-opus-5");
  await settled(page);
  const { requests } = await held<{ requests: RelayedRequest[] }>(
    "/requests?outcome=upstream_error&model=claude-opus-5&limit=50",
  );
  expect(requests.length).toBeGreaterThan(0);
  expect(await page.locator("tbody tr").count()).toBe(requests.length);
  expect(new URL(page.url()).search).toBe("?outcome=upstream_error&model=claude-opus-5");
  await page.reload();
  await settled(page);
  expect(await page.getByLabel("Outcome").inputValue()).toBe("upstream_error");
  expect(await page.locator("tbody tr").count()).toBe(requests.length);

  await page.getByLabel("Outcome").selectOption("truncated");
  await page.getByRole("heading", { name: "No such request" }).waitFor();
  await page.getByRole("button", { name: "Clear the filters" }).click();
  await page.locator("tbody tr").nth(49).waitFor();
});

test("a request that is not listed is told so, with a way to what the log has of it", async () => {
  const id = "rly_0mwv00000000000000000000000000";
  const { page } = await stage().visit({
    path: "/requests",
    expected: [{ status: 404, path: `/admin/requests/${id}` }],
  });
  await settled(page);
  await page.getByRole("searchbox").fill(id);
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByRole("heading", { name: "This request is not listed" }).waitFor();
  await page.getByRole("link", { name: "Its events in the log" }).click();
  await page.getByText(`Request ${id}`).waitFor();
});

test("whom such a request would meet now is asked for, and told with reasons", async () => {
  const { page } = await stage().visit({ path: `/requests/${furniture.requestId}` });
  await settled(page);
  await page.getByRole("button", { name: "Find out" }).click();
  const rest = page.locator("tr", { hasText: "Max, night" });
  await rest.waitFor();
  expect(await rest.innerText()).toContain("It rests until");
  expect(await page.locator("tr", { hasText: "Reserve" }).innerText()).toContain("switched off");
});
