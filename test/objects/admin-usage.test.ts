import { reset, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { LedgerFact } from "../../durable-objects/usage-ledger/contract.ts";
import { Roster } from "../../src/accounts/roster.ts";
import { issueSession } from "../../src/admin/session.ts";
import { LedgerWatch } from "../../src/ledger/ledger-watch.ts";
import { ledgerShard } from "../../src/ledger/shards.ts";
import { UsageReader } from "../../src/ledger/usage-reader.ts";
import { exposition } from "../../src/metrics/exposition.ts";
import { gather } from "../../src/metrics/metrics.ts";
import { servicesOf } from "../../src/relay/services.ts";
import { newRequestId } from "../../src/request-id.ts";

/** Says nothing to anyone: for what is read alone. */
const UNHEARD = new LedgerWatch(
  () => ({ watchLedger: async () => {} }),
  () => {},
);
const ORIGIN = "https://relay.example";
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOW_MS = Date.now();
/** Noon of yesterday: a day that is over, and of which hours are kept. */
const NOON_MS = NOW_MS - (NOW_MS % DAY_MS) - DAY_MS / 2;
const YESTERDAY = new Date(NOON_MS).toISOString().slice(0, 10);
/** Before the hours that are kept. */
const LONG_AGO = new Date(NOW_MS - 150 * DAY_MS).toISOString().slice(0, 10);
const CONFIG = {
  jwtSecret: env.JWT_SECRET,
  adminUsername: env.ADMIN_USERNAME,
  adminPasswordHash: env.ADMIN_PASSWORD_HASH,
};
let token = "";

beforeEach(async () => {
  ({ token } = await issueSession(CONFIG, Date.now()));
});
afterEach(() => reset());

function fetchAdmin(path: string, headers: Record<string, string> = {}): Promise<Response> {
  return exports.default.fetch(`${ORIGIN}/admin${path}`, {
    headers: { authorization: `Bearer ${token}`, ...headers },
  });
}

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape that it asked for
  data: any;
  error: string;
  message: string;
}

async function ask(path: string): Promise<Answer> {
  const answer = await fetchAdmin(path);
  return { ...((await answer.json()) as Omit<Answer, "status">), status: answer.status };
}

async function csv(path: string): Promise<string[]> {
  const answer = await fetchAdmin(path, { accept: "text/csv" });
  expect(answer.headers.get("content-type")).toBe("text/csv; charset=utf-8");
  expect(answer.headers.get("content-disposition")).toMatch(
    /^attachment; filename="[a-z-]+\.csv"$/,
  );
  expect(answer.headers.get("x-relay-request-id")).toMatch(/^rly_/);
  const text = await answer.text();
  expect(text.endsWith("\r\n")).toBe(true);
  return text.slice(0, -2).split("\r\n");
}

let lastSeq = 0;
function factOf(startedAtMs: number, patch: Partial<LedgerFact["request"]> = {}): LedgerFact {
  lastSeq += 1;
  return {
    seq: lastSeq,
    corrects: false,
    request: {
      id: newRequestId(startedAtMs),
      startedAtMs,
      state: "settled",
      model: "claude-sonnet-5",
      answeredModel: null,
      outcome: "completed",
      status: 200,
      accountId: "account-1",
      chosenBy: "hash",
      attempts: [],
      firstByteMs: 100,
      durationMs: 1_000,
      tokens: { input: 1, output: 2, cacheWrite5m: 3, cacheWrite1h: 4, cacheRead: 5 },
      webSearches: 0,
      serviceTier: null,
      speed: null,
      inferenceGeo: null,
      estimated: false,
      costNanoDollars: 1_500_000_000,
      priceId: null,
      priceKnown: true,
      ...patch,
    },
  };
}

const take = (keyId: string, facts: LedgerFact[], shard = 0) =>
  ledgerShard(env, shard).take({ keyId, facts });

describe("what is asked wrongly is refused in words", () => {
  test.each([
    ["/usage-trend?user=1", 'There is no filter "user" here. There are: granularity, from, to,'],
    ["/requests?from=2027-01-01", 'There is no filter "from" here.'],
    ["/requests/rly_1?x=1", 'There is no filter "x" here. It takes none.'],
    ["/usage-trend?keyId=a&keyId=b", "keyId is given twice."],
    [`/usage-trend?model=${"m".repeat(10_000)}`, "model has at most 200 characters."],
    ["/usage-trend?granularity=week", 'granularity is hour or day, not "week".'],
    ["/usage-trend?timeZone=Mars/Base", 'timeZone "Mars/Base" is not known.'],
    ["/dashboard?timeZone=%3Cscript%3E", 'timeZone "<script>" is not known.'],
    ["/usage-trend?from=2027-02-02&to=2027-02-01", "The range is turned round or empty"],
    ["/model-stats?from=2027-02-02T00:00:00Z&to=2027-02-02T00:00:00Z", "turned round or empty"],
    ["/usage-trend?from=2001-01-01&to=2099-01-01", "The range is longer than 400 days."],
    ["/usage-trend?granularity=hour&from=2027-01-01&to=2027-03-01", "longer than 31 days by hour"],
    ["/usage-trend?from=1926-01-01", "from is not between the years 2000 and 2100."],
    ["/usage-trend?from=2027-02-30", "from is no day such as"],
    ["/usage-trend?to=tomorrow", "to is no day such as"],
    ["/usage-trend?from=2027-02-02T10:00:00", "no time with its zone"],
    ["/usage-costs?by=colour", "by says what the lines of a CSV are"],
    ["/usage-costs?limit=0", "limit is a whole number from 1 to 1000."],
    ["/requests?limit=1e9", "limit is a whole number from 1 to 500."],
    ["/requests?outcome=lost", 'outcome "lost" is not known. There are: completed,'],
    ["/requests?before=17", "before is the id of the last request"],
    [
      `/usage-trend?from=${LONG_AGO}&to=${LONG_AGO}&timeZone=Europe/Berlin`,
      "only whole days of UTC are known",
    ],
  ])("%s", async (path, words) => {
    const answer = await ask(path);
    expect(answer).toMatchObject({ status: 400, error: "bad_request" });
    expect(answer.message).toContain(words);
  });

  test("and without a session nothing is shown at all", async () => {
    for (const path of [
      "/dashboard",
      "/usage-trend",
      "/model-stats",
      "/usage-costs",
      "/requests",
    ]) {
      const answer = await exports.default.fetch(`${ORIGIN}/admin${path}`);
      expect(answer.status, path).toBe(401);
      await answer.body?.cancel();
    }
  });
});

describe("usage over time", () => {
  test("has a point for each day, also for those without any use, and passes filters", async () => {
    await take("k1", [factOf(NOON_MS), factOf(NOON_MS, { outcome: "truncated", estimated: true })]);
    await take("k2", [factOf(NOON_MS - DAY_MS, { model: "claude-opus-5" })]);
    const { data } = await ask("/usage-trend");
    expect(data).toMatchObject({ granularity: "day", timeZone: "UTC", exact: true });
    expect(data.points).toHaveLength(30);
    expect(data.points.at(-2)).toMatchObject({
      start: `${YESTERDAY}T00:00:00Z`,
      requests: 2,
      failedRequests: 1,
      estimatedRequests: 1,
      inputTokens: 2,
      cacheCreateTokens: 14,
      allTokens: 30,
      cost: 3,
      outcomes: { completed: 1, truncated: 1, refused: 0 },
      averageFirstByteMs: 100,
      averageDurationMs: 1_000,
    });
    expect(data.points.at(-3)).toMatchObject({ requests: 1 });
    expect(data.points.at(-4)).toMatchObject({ requests: 0, averageDurationMs: null });
    const total = async (filter: string) => {
      const answer = await ask(`/usage-trend?${filter}`);
      return answer.data.points.reduce(
        (sum: number, point: { requests: number }) => sum + point.requests,
        0,
      );
    };
    expect(await total("keyId=k1")).toBe(2);
    expect(await total("model=claude-opus-5&accountId=account-1")).toBe(1);
    expect(await total("model=claude-opus-5&keyId=k1")).toBe(0);
  });

  test("by hour shows the hour; a day alone means all of it, in the time zone", async () => {
    await take("k1", [factOf(NOON_MS), factOf(NOON_MS + 11 * HOUR_MS)]);
    const byHour = await ask(`/usage-trend?granularity=hour&from=${YESTERDAY}&to=${YESTERDAY}`);
    expect(byHour.data.points).toHaveLength(24);
    expect(byHour.data.points.map(({ requests }: { requests: number }) => requests)).toEqual(
      Array.from({ length: 24 }, (_, hour) => (hour === 12 || hour === 23 ? 1 : 0)),
    );
    const inTokyo = await ask(
      `/usage-trend?granularity=day&from=${YESTERDAY}&to=${YESTERDAY}&timeZone=Asia/Tokyo`,
    );
    expect(inTokyo.data).toMatchObject({ exact: true, from: `${YESTERDAY}T00:00:00+09:00` });
    // An hour before midnight in UTC is the next morning there.
    expect(inTokyo.data.points).toMatchObject([
      { requests: 1, start: `${YESTERDAY}T00:00:00+09:00` },
    ]);
    const inDelhi = await ask(
      `/usage-trend?from=${YESTERDAY}&to=${YESTERDAY}&timeZone=Asia/Kolkata`,
    );
    expect(inDelhi.data).toMatchObject({ exact: false, from: `${YESTERDAY}T00:30:00+05:30` });
  });

  test("as CSV has no bound: a century is what there is of it, a line for each day with use", async () => {
    const facts = [0, 1, 5, 40].map((days) => factOf(NOON_MS - days * DAY_MS));
    await take("k1", facts);
    const days = await csv("/usage-trend?from=2000-01-01&to=2099-12-31");
    expect(days[0]).toMatch(/^start,requests,failedRequests,/);
    expect(days.slice(1)).toHaveLength(4);
    expect(days.at(-1)).toBe(`${YESTERDAY}T00:00:00Z,1,0,0,0,1,2,3,4,5,0,15,1.5`);
    // 41 days have more hours than a page.
    const hours = await csv("/usage-trend?granularity=hour&from=2000-01-01&to=2099-12-31");
    expect(hours.slice(1)).toHaveLength(4);
    expect(hours.at(-1)).toContain(`${YESTERDAY}T12:00:00Z,1,`);
  });
});

describe("usage by model, key and account", () => {
  test("adds up, the dearest first, with the time to the first byte in its buckets", async () => {
    await take("k1", [
      factOf(NOON_MS, { answeredModel: "claude-sonnet-5-20260101", firstByteMs: 90 }),
      factOf(NOON_MS, { model: "claude-opus-5", costNanoDollars: 9e9, firstByteMs: 60_000 }),
      factOf(NOON_MS, { model: "new", priceKnown: false, accountId: null, outcome: "refused" }),
    ]);
    await take("k2", [factOf(NOON_MS, { model: "claude-opus-5", accountId: "account-2" })]);
    const models = await ask("/model-stats");
    expect(models.data.models.map(({ model }: { model: string }) => model)).toEqual([
      "claude-opus-5",
      "claude-sonnet-5-20260101",
      "new",
    ]);
    expect(models.data.models[0]).toMatchObject({ requests: 2, cost: 10.5 });
    expect(models.data.models[0].firstByteHistogram).toContainEqual({ upToMs: null, requests: 1 });
    expect(models.data.models[0].firstByteHistogram[0]).toEqual({ upToMs: 100, requests: 1 });
    expect(models.data.models[2]).toMatchObject({ unlistedRequests: 1, failedRequests: 1 });
    const costs = await ask("/usage-costs?limit=1");
    expect(costs.data.total).toMatchObject({ requests: 4, cost: 13.5 });
    expect(costs.data.byKey).toMatchObject([{ keyId: "k1", name: null, requests: 3, cost: 12 }]);
    expect(costs.data.byAccount).toMatchObject([
      { accountId: "account-1", requests: 2 },
      { accountId: expect.toSatisfy((id) => id === null || id === "account-2"), requests: 1 },
      { requests: 1 },
    ]);
    expect(await csv("/usage-costs")).toEqual([
      expect.stringMatching(/^keyId,name,requests,/),
      expect.stringMatching(/^k1,,3,1,/),
      expect.stringMatching(/^k2,,1,0,/),
    ]);
    expect(await csv("/usage-costs?by=account")).toHaveLength(4);
    expect(await csv("/model-stats?model=claude-opus-5")).toHaveLength(2);
  });

  test("a CSV has every key, page after page, once", async () => {
    await take("k", [factOf(NOON_MS)]);
    const ledger = env.USAGE_LEDGER.get(env.USAGE_LEDGER.idFromName("ledger-0"));
    const { key_id: _, ...row } = await runInDurableObject(ledger, (_, { storage }) =>
      storage.sql.exec<Record<string, string>>("SELECT * FROM key_hours").one(),
    );
    await runInDurableObject(ledger, (_, { storage }) => {
      const columns = Object.keys(row).join(", ");
      storage.sql.exec(
        `WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4499)
         INSERT INTO key_hours (key_id, ${columns})
         SELECT 'k' || n, ${columns} FROM n, (SELECT * FROM key_hours)`,
      );
    });
    const lines = await csv("/usage-costs");
    const ids = lines.slice(1).map((line) => line.split(",", 1)[0]);
    expect(new Set(ids).size).toBe(4_500);
    expect(ids).toEqual([...ids].sort());
    expect(ids).toHaveLength(4_500);
  });
});

describe("recent requests", () => {
  test("are found by id, come in pages, and say where the next one begins", async () => {
    const facts = Array.from({ length: 120 }, (_, nth) => factOf(NOON_MS + nth));
    await take("k1", facts);
    const ids: string[] = [];
    for (let before: string | null = ""; before !== null; ) {
      const page: Answer = await ask(`/requests?before=${before}`);
      ids.push(...page.data.requests.map(({ id }: { id: string }) => id));
      before = page.data.before;
    }
    expect(ids).toEqual(facts.map(({ request }) => request.id).reverse());
    const one = await ask(`/requests/${ids[7]}`);
    expect(one.data).toMatchObject({
      id: ids[7],
      keyId: "k1",
      outcome: "completed",
      startedAt: new Date(NOON_MS + 112).toISOString(),
      cost: 1.5,
      tokens: { input: 1, output: 2, cacheWrite5m: 3, cacheWrite1h: 4, cacheRead: 5 },
    });
    expect(await ask(`/requests/${newRequestId(NOON_MS)}`)).toMatchObject({
      status: 404,
      message: expect.stringContaining("not among the recent ones"),
    });
  });

  test("pass every filter", async () => {
    await take("k1", [factOf(NOON_MS), factOf(NOON_MS, { state: "unsettled", outcome: null })]);
    await take("k2", [factOf(NOON_MS, { answeredModel: "m", accountId: "account-2" })]);
    for (const [filter, found] of [
      ["keyId=k1", 2],
      ["accountId=account-2", 1],
      ["model=m", 1],
      ["outcome=unsettled", 1],
      ["outcome=unsettled&keyId=k2", 0],
      ["outcome=", 3],
    ] as const) {
      const { data } = await ask(`/requests?${filter}`);
      expect(data.requests, filter).toHaveLength(found);
      expect(data.before).toBeNull();
    }
  });

  test("as CSV come all of them, and no cell is a formula", async () => {
    const evil = ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", "\tx", "a,b\nc"];
    await take("k1", [
      ...Array.from({ length: 700 }, (_, nth) => factOf(NOON_MS + nth)),
      ...evil.map((model) => factOf(NOON_MS + DAY_MS / 4, { model })),
    ]);
    const answer = await fetchAdmin("/requests", { accept: "text/csv" });
    const text = await answer.text();
    expect(text.match(/^rly_/gm)).toHaveLength(706);
    for (const cell of [
      `,"'=HYPERLINK(""http://x"",""y"")",`,
      ",'+1,",
      ",'-1,",
      ",'@SUM(A1),",
      ",'\tx,",
      ',"a,b\nc",',
    ]) {
      expect(text).toContain(cell);
    }
    expect(text).not.toMatch(/(^|,)"?[=+@\t-]/m);
  });
});

test("the dashboard shows keys, accounts, all use, and today's", async () => {
  const made = await exports.default.fetch(`${ORIGIN}/admin/api-keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "laptop" }),
  });
  const { data: key } = (await made.json()) as { data: { id: string } };
  await take(key.id, [factOf(NOON_MS - 9 * DAY_MS), factOf(Date.now())]);
  const { data } = await ask("/dashboard?timeZone=UTC");
  expect(data).toMatchObject({
    overview: {
      totalApiKeys: 1,
      activeApiKeys: 1,
      allApiKeysCounted: true,
      totalClaudeAccounts: 0,
      activeClaudeAccounts: 0,
      totalTokensUsed: 6,
      totalRequestsUsed: 2,
      totalInputTokensUsed: 2,
      totalOutputTokensUsed: 4,
      totalCacheCreateTokensUsed: 14,
      totalCacheReadTokensUsed: 10,
      totalAllTokensUsed: 30,
      totalCost: 3,
    },
    recentActivity: {
      apiKeysCreatedToday: 1,
      requestsToday: 1,
      tokensToday: 3,
      inputTokensToday: 1,
      outputTokensToday: 2,
      cacheCreateTokensToday: 7,
      cacheReadTokensToday: 5,
      costToday: 1.5,
    },
    systemHealth: { keyStore: "kv", claudeAccountsHealthy: false, ledgerShards: 1 },
  });
  expect(data.systemAverages.rpm).toBeGreaterThan(0);
  const costs = await ask("/usage-costs");
  expect(costs.data.byKey).toMatchObject([{ keyId: key.id, name: "laptop" }]);
});

test("shards are one ledger to whoever asks", async () => {
  for (const shard of [0, 1, 2]) {
    for (let nth = 0; nth < 4; nth += 1) {
      const fact = factOf(NOON_MS + nth, { costNanoDollars: 1 + shard + 10 * nth });
      await take(`k${shard}${nth}`, [fact], shard);
    }
  }
  const whole = new UsageReader(env, 3, UNHEARD);
  const filter = { keyId: null, accountId: null, model: null };
  const range = { fromMs: NOON_MS - DAY_MS / 2, toMs: NOON_MS + DAY_MS / 2 };
  expect((await whole.total(range, filter)).requests).toBe(12);
  const trend = await whole.trend({
    filter,
    starts: [range.fromMs, NOON_MS],
    toMs: range.toMs,
    utcDays: false,
  });
  expect(trend.map(({ requests }) => requests)).toEqual([0, 12]);
  const dearest = await whole.keySums({ ...range, filter, order: { by: "cost" }, limit: 4 });
  expect(dearest.map(({ key_id }) => key_id)).toEqual(["k23", "k13", "k03", "k22"]);
  const byId = await whole.keySums({
    ...range,
    filter,
    order: { by: "id", after: "k03" },
    limit: 5,
  });
  expect(byId.map(({ key_id }) => key_id)).toEqual(["k10", "k11", "k12", "k13", "k20"]);
  const recent = await whole.recent({ ...filter, outcome: null, before: null, limit: 5 });
  expect(recent.map(({ id }) => id)).toEqual(
    recent
      .map(({ id }) => id)
      .sort()
      .reverse(),
  );
  const last = recent.at(-1)?.id ?? "";
  const next = await whole.recent({ ...filter, outcome: null, before: last, limit: 50 });
  expect(next).toHaveLength(7);
  expect((await whole.find(last))?.id).toBe(last);
  expect((await whole.reach()).firstHourMs).toBe(NOON_MS);
});

test("metrics of a source that does not answer are missing and said to be, the others are told", async () => {
  const services = servicesOf(env);
  if (!services.ok) throw new Error(services.error.join(" "));
  const fleet = () => {
    throw new Error("the fleet is away");
  };
  const text = exposition(await gather({ ...services.value, fleet, log: () => {} }, env));
  expect(text).toContain('relay_source_up{source="fleet"} 0\n');
  expect(text).toContain('relay_source_up{source="usage_ledger"} 1\n');
  expect(text).toContain("\nrelay_requests_unsettled 0\n");
  expect(text).not.toContain("relay_account");
});

test("whoever reads the ledger is noted at the Fleet, and every Worker hears of it for some minutes", async () => {
  const fleet = env.FLEET.get(env.FLEET.idFromName("fleet"));
  const { version, isLedgerWatched } = await fleet.snapshot(null);
  expect(isLedgerWatched).toBe(false);
  expect(await fleet.snapshot(version)).toMatchObject({ rows: null, isLedgerWatched: false });
  // Not over the API: other tests have just read there, and it is said once in half a minute.
  await new UsageReader(
    env,
    1,
    new LedgerWatch(
      () => fleet,
      () => {},
    ),
  ).reach();
  expect(await fleet.snapshot(version)).toMatchObject({ rows: null, isLedgerWatched: true });
  const roster = new Roster(() => fleet, { canReachProxies: true, nearLimit: 0.9 });
  await roster.pool(() => {});
  expect(roster.isLedgerWatched).toBe(true);
});

test("who cannot tell that he reads reads all the same, and tries again", async () => {
  let told = 0;
  const lines: string[] = [];
  const watch = new LedgerWatch(
    () => ({
      watchLedger: async () => {
        told += 1;
        if (told === 1) throw new Error("away");
      },
    }),
    (_level, event) => lines.push(event),
  );
  for (let nth = 0; nth < 5; nth += 1) await watch.note();
  expect(told).toBe(2);
  expect(lines).toEqual(["ledger.watch_untold"]);
});
