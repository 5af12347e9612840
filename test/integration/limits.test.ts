import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { faults } from "../fixtures/fake-upstream/index.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";

let relay: TestRelay;

beforeAll(async () => {
  relay = await TestRelay.start();
  await relay.addApiKeyAccount("account");
});
afterAll(() => relay.stop());
beforeEach(() => relay.fake.reset());

interface ErrorBody {
  error: { type: string; message: string };
}

const errorOf = async (answer: Response) => ((await answer.json()) as ErrorBody).error;

async function statusOf(key: RelayKey, body: object = {}, fault?: object): Promise<number> {
  const answer = await relay.message(key, { ...body }, fault === undefined ? {} : { fault });
  await answer.arrayBuffer();
  return answer.status;
}

test("of 200 requests at once on a limit of 10 in its window exactly 10 pass", async () => {
  const key = await relay.createKey({ limits: { window: { minutes: 5, requests: 10 } } });
  const statuses = await Promise.all(Array.from({ length: 200 }, () => statusOf(key)));
  expect(statuses.filter((status) => status === 200)).toHaveLength(10);
  expect(statuses.filter((status) => status === 429)).toHaveLength(190);
  expect(relay.fake.ledger.byPath("/v1/messages")).toHaveLength(10);
  const answer = await relay.message(key);
  const retryAfterS = Number(answer.headers.get("retry-after"));
  expect(retryAfterS).toBeGreaterThan(280);
  expect(retryAfterS).toBeLessThanOrEqual(300);
  expect(answer.headers.get("x-should-retry")).toBeNull();
  expect(await errorOf(answer)).toMatchObject({
    type: "rate_limit_error",
    message: expect.stringMatching(/10 requests in 5 minutes.*room again at/),
  });
});

test("with a concurrency of 5 never more than 5 are upstream at once", async () => {
  const key = await relay.createKey({ limits: { concurrency: 5 } });
  const statuses = await Promise.all(
    Array.from({ length: 50 }, () => statusOf(key, {}, faults.delay(300))),
  );
  expect(relay.fake.ledger.totals().maxInFlight).toBeLessThanOrEqual(5);
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(5);
  expect(new Set(statuses)).toEqual(new Set([200, 429]));
});

test("after 50 clients were killed in mid-stream the key is free again", async () => {
  const key = await relay.createKey({ limits: { concurrency: 50 } });
  const clients = Array.from({ length: 50 }, () => new AbortController());
  const streams = await Promise.all(
    clients.map(({ signal }) =>
      relay.message(key, { stream: true }, { fault: faults.paced(400, 50), signal }),
    ),
  );
  expect(streams.map(({ status }) => status)).toEqual(streams.map(() => 200));
  expect(await statusOf(key)).toBe(429);
  for (const client of clients) client.abort();
  const usage = await relay.settledUsage(key);
  expect(usage.usage.total).toMatchObject({ requests: 50, estimatedRequests: 50 });
  expect(await statusOf(key)).toBe(200);
});

test("a key that is revoked while 20 workers hammer it: no request begun after the answer passes", async () => {
  const key = await relay.createKey();
  let revokedAt = Number.POSITIVE_INFINITY;
  const late: number[] = [];
  const refusedLate: number[] = [];
  let going = true;
  const worker = async () => {
    while (going) {
      const begunAt = performance.now();
      const status = await statusOf(key);
      if (begunAt > revokedAt) (status === 200 ? late : refusedLate).push(status);
    }
  };
  const workers = Array.from({ length: 20 }, worker);
  await expect.poll(() => relay.fake.ledger.totals().requests).toBeGreaterThan(40);
  await relay.admin("POST", `/api-keys/${key.id}/revoke`);
  revokedAt = performance.now();
  await expect.poll(() => refusedLate.length).toBeGreaterThan(40);
  going = false;
  await Promise.all(workers);
  expect(late).toEqual([]);
  expect(new Set(refusedLate)).toEqual(new Set([403]));
});

describe("a spend limit", () => {
  test("refuses as Anthropic's own gateway does, and count_tokens never", async () => {
    const key = await relay.createKey({ limits: { dailyCost: 0.0001 } });
    expect(await statusOf(key)).toBe(200);
    await relay.settledUsage(key);
    const refused = await relay.message(key);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("x-should-retry")).toBe("false");
    const midnightMs = new Date().setUTCHours(24, 0, 0, 0);
    const waitS = Number(refused.headers.get("retry-after"));
    expect(Math.abs(Date.now() + waitS * 1000 - midnightMs)).toBeLessThan(10_000);
    expect(await errorOf(refused)).toMatchObject({
      type: "billing_error",
      message: expect.stringMatching(
        /^Relay: spend limit reached \(daily, \$0\.0001; resets .* UTC\)/,
      ),
    });
    const counted = await fetch(`${relay.url}/v1/messages/count_tokens`, {
      method: "POST",
      headers: {
        "x-api-key": key.apiKey,
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
      },
      body: JSON.stringify({
        model: "claude-sonnet-5",
        messages: [{ role: "user", content: "Hi" }],
      }),
    });
    expect(counted.status).toBe(200);
  });

  test("can be raised, and holds again from the next request on", async () => {
    const key = await relay.createKey({ limits: { totalCost: 0 } });
    expect(await statusOf(key)).toBe(429);
    await relay.admin("PUT", `/api-keys/${key.id}`, { limits: { totalCost: null } });
    expect(await statusOf(key)).toBe(200);
  });
});

test("usage and key-info show every limit, what is used of it and when it resets", async () => {
  const key = await relay.createKey({
    limits: {
      concurrency: 4,
      window: { minutes: 30, requests: 9, tokens: 100_000 },
      dailyCost: 5,
      weeklyFamilyCost: { family: "sonnet", cost: 2 },
    },
  });
  expect(await statusOf(key)).toBe(200);
  await relay.settledUsage(key);
  const headers = { "x-api-key": key.apiKey };
  const { limits } = (await (await fetch(`${relay.url}/api/v1/usage`, { headers })).json()) as {
    limits: object;
  };
  const inTheFuture = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/);
  expect(limits).toMatchObject({
    concurrency: { limit: 4, used: 0 },
    window: {
      minutes: 30,
      requests: { limit: 9, used: 1 },
      tokens: { limit: 100_000, used: expect.any(Number) },
      resetsAt: inTheFuture,
    },
    dailyCost: { limit: 5, used: expect.any(Number), resetsAt: inTheFuture },
    weeklyCost: { limit: null },
    totalCost: { limit: null, resetsAt: null },
    weeklyFamilyCost: { family: "sonnet", limit: 2, used: expect.any(Number) },
  });
  const info = (await (await fetch(`${relay.url}/api/v1/key-info`, { headers })).json()) as {
    keyInfo: { limits: object };
  };
  expect(info.keyInfo.limits).toEqual(limits);
});

test("a key may use its models only: other ones are refused, and not listed", async () => {
  const key = await relay.createKey({ allowedModels: ["claude-sonnet-*"] });
  expect(await statusOf(key)).toBe(200);
  const refused = await relay.message(key, { model: "claude-opus-5" });
  expect(refused.status).toBe(403);
  expect(await errorOf(refused)).toMatchObject({ type: "permission_error" });
  const headers = { "x-api-key": key.apiKey };
  const { data } = (await (
    await fetch(`${relay.url}/v1/models?limit=100`, { headers })
  ).json()) as {
    data: { id: string }[];
  };
  expect(data.length).toBeGreaterThan(0);
  expect(data.every(({ id }) => id.startsWith("claude-sonnet-"))).toBe(true);
});

test("a bound key is served by its accounts only", async () => {
  const id = await relay.addApiKeyAccount("gold", { tags: ["gold"], priority: 90 });
  const key = await relay.createKey({ accountTag: "gold" });
  for (let index = 0; index < 3; index += 1) expect(await statusOf(key)).toBe(200);
  const accounts = relay.fake.ledger.byPath("/v1/messages").map(({ account }) => account);
  expect(accounts).toEqual(["gold", "gold", "gold"]);
  await relay.admin("PUT", `/claude-accounts/${id}`, { tags: [] });
  const nowhere = await relay.message(key);
  expect(nowhere.status).toBe(503);
  expect((await errorOf(nowhere)).message).toMatch(/bound to accounts with the tag gold/);
});

test("a rotated key: the new secret works, the old one is refused at once, or after its grace", async () => {
  const key = await relay.createKey();
  expect(await statusOf(key)).toBe(200);
  const rotated = (await relay.admin<RelayKey>("POST", `/api-keys/${key.id}/rotate`)).data;
  expect(await statusOf(key)).toBe(401);
  expect(await statusOf(rotated)).toBe(200);
  const again = (
    await relay.admin<RelayKey>("POST", `/api-keys/${key.id}/rotate`, { graceHours: 1 })
  ).data;
  expect(await statusOf(rotated)).toBe(200);
  expect(await statusOf(again)).toBe(200);
  await relay.settledUsage(again);
  expect((await relay.usage(again)).usage.total.requests).toBe(4);
  await relay.admin("POST", `/api-keys/${key.id}/revoke`);
  expect([await statusOf(rotated), await statusOf(again)]).toEqual([403, 403]);
});
