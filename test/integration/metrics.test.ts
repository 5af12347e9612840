import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { faults } from "../fixtures/fake-upstream/index.ts";
import { checkMetrics } from "../fixtures/promtool.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";

const TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
/** A relay keeps an answer for five seconds; what a key did reaches the ledger within fifteen. */
const SCRAPE_TRIES = 300;
const RETRY_MS = 200;
/** A name that every part of the text format has to escape. */
const ODD_NAME = 'Büro "Süd" \\ 1';

let relay: TestRelay;
let key: RelayKey;
let accountId: string;

/** Value by a series' name and labels, just as they stand in the text. */
type Series = Map<string, number>;

beforeAll(async () => {
  relay = await TestRelay.start({ vars: { METRICS_TOKEN: TOKEN, LOG_LEVEL: "info" } });
  accountId = await relay.addApiKeyAccount(ODD_NAME);
  await relay.addOAuthAccount("plan");
  const off = await relay.addApiKeyAccount("off");
  await relay.admin("PUT", `/claude-accounts/${off}`, { enabled: false });
  key = await relay.createKey();
});
afterAll(() => relay.stop());

const ask = (authorization?: string) =>
  fetch(`${relay.url}/metrics`, authorization === undefined ? {} : { headers: { authorization } });

async function scrape(): Promise<string> {
  const answer = await ask(`Bearer ${TOKEN}`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return answer.text();
}

function seriesOf(text: string): Series {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

async function scrapeUntil(met: (series: Series) => boolean): Promise<string> {
  for (let attempt = 0; attempt < SCRAPE_TRIES; attempt += 1) {
    const text = await scrape();
    if (met(seriesOf(text))) return text;
    await sleep(RETRY_MS);
  }
  throw new Error("the metrics have not come");
}

/** The sum over all series of a name whose labels hold these. */
function sumOf(series: Series, name: string, ...labels: string[]): number {
  let sum = 0;
  for (const [line, value] of series) {
    const isNamed = line === name || line.startsWith(`${name}{`);
    if (isNamed && labels.every((label) => line.includes(label))) sum += value;
  }
  return sum;
}

/** What only ever grows: counters, and the parts of histograms and summaries. */
function growing(text: string): Series {
  const names = [...text.matchAll(/^# TYPE (\S+) (counter|histogram|summary)$/gm)].map(
    ([, name]) => name ?? "",
  );
  return new Map(
    [...seriesOf(text)].filter(([line]) =>
      names.some((name) => line.replace(/(_bucket|_sum|_count)?(\{.*)?$/, "") === name),
    ),
  );
}

async function send(fault?: object, body: object = {}): Promise<number> {
  const answer = await relay.message(key, { ...body }, fault === undefined ? {} : { fault });
  await answer.text();
  return answer.status;
}

describe("who may read the metrics", () => {
  test.each([
    undefined,
    "Bearer ",
    `Bearer ${TOKEN}0`,
    `Bearer ${TOKEN.slice(1)}`,
    `Basic ${TOKEN}`,
  ])("not who shows %j, and is told so in words", async (authorization) => {
    const answer = await ask(authorization);
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="metrics"');
    const text = await answer.text();
    expect(text).toContain("METRICS_TOKEN");
    expect(text).not.toContain("relay_");
  });

  test("nor who holds a relay key; and the token opens nothing else", async () => {
    expect((await ask(`Bearer ${key.apiKey}`)).status).toBe(401);
    const headers = { authorization: `Bearer ${TOKEN}` };
    expect((await fetch(`${relay.url}/admin/dashboard`, { headers })).status).toBe(401);
    expect((await fetch(`${relay.url}/v1/models`, { headers })).status).toBe(401);
  });
});

test("Prometheus reads them without a complaint, and they tell what happened, also after a kill", async () => {
  for (let nth = 0; nth < 4; nth += 1) expect(await send()).toBe(200);
  expect(await send(undefined, { model: "claude-haiku-4-5", stream: true })).toBe(200);
  expect(await send(faults.notFound())).toBe(404);
  expect(await send(undefined, { model: 'no-such-\u0000\n"model' })).toBe(200);
  for (let nth = 0; nth < 7; nth += 1) {
    const stranger = await fetch(`${relay.url}/v1/models`, {
      headers: { "x-api-key": `cr_${"0".repeat(64)}` },
    });
    expect(stranger.status).toBe(401);
  }

  const text = await scrapeUntil(
    (series) =>
      sumOf(series, "relay_requests_total") >= 7 &&
      sumOf(series, "relay_refusals_total", 'cause="key_unknown"') >= 5,
  );
  expect(await checkMetrics(text)).toEqual({ code: 0, output: "" });

  const series = seriesOf(text);
  expect(sumOf(series, "relay_requests_total", 'outcome="completed"')).toBe(6);
  expect(sumOf(series, "relay_requests_total", 'outcome="upstream_error"')).toBe(1);
  expect(sumOf(series, "relay_requests_total", 'model="claude-haiku-4-5"')).toBe(1);
  const { data } = await relay.admin<{ recentActivity: { costToday: number } }>(
    "GET",
    "/dashboard",
  );
  const { bill } = relay.fake.ledger.totals();
  expect(sumOf(series, "relay_tokens_total", 'kind="input"')).toBe(bill.inputTokens);
  expect(sumOf(series, "relay_tokens_total", 'kind="output"')).toBe(bill.outputTokens);
  expect(sumOf(series, "relay_cost_dollars_total")).toBeCloseTo(data.recentActivity.costToday, 9);
  expect(sumOf(series, "relay_time_to_first_byte_seconds_count")).toBe(7);
  expect(sumOf(series, "relay_time_to_first_byte_seconds_bucket", 'le="+Inf"')).toBe(7);
  expect(sumOf(series, "relay_request_duration_seconds_count")).toBe(7);
  expect(series.get('relay_accounts{state="ready"}')).toBe(2);
  expect(series.get('relay_accounts{state="disabled"}')).toBe(1);
  expect(series.get('relay_accounts{state="needs_relogin"}')).toBe(0);
  const escaped = 'Büro \\"Süd\\" \\\\ 1';
  expect(
    series.get(`relay_account_info{account="${accountId}",name="${escaped}",credential="api_key"}`),
  ).toBe(1);
  for (const source of ["usage_ledger", "fleet", "event_log"]) {
    expect(series.get(`relay_source_up{source="${source}"}`)).toBe(1);
  }
  expect(text).not.toContain("no-such");
  expect(text).not.toContain(key.id);

  await relay.restart({ how: "kill" });
  expect(await send()).toBe(200);
  const later = growing(
    await scrapeUntil((now) => sumOf(now, "relay_requests_total", 'outcome="completed"') >= 7),
  );
  const before = growing(text);
  expect(before.size).toBeGreaterThan(50);
  const shrunk = [...before].filter(([line, value]) => (later.get(line) ?? -1) < value);
  expect(shrunk).toEqual([]);
});

test("without a token there are none, and the answer says what is missing", async () => {
  await relay.restart({ vars: { METRICS_TOKEN: "" } });
  const answer = await ask(`Bearer ${TOKEN}`);
  expect(answer.status).toBe(404);
  expect(await answer.text()).toContain("METRICS_TOKEN is not set");
});
