import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { faults } from "../fixtures/fake-upstream/index.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";

let relay: TestRelay;
let key: RelayKey;
let ids: string[];

beforeAll(async () => {
  relay = await TestRelay.start();
});
afterAll(() => relay.stop());

const NAMES = ["one", "two", "three"];

beforeEach(async () => {
  const { data } = await relay.admin<{ accounts: { id: string }[] }>("GET", "/claude-accounts");
  for (const { id } of data.accounts) await relay.admin("DELETE", `/claude-accounts/${id}`);
  relay.fake.reset({ accounts: true });
  key = await relay.createKey();
  ids = [];
  for (const name of NAMES) ids.push(await relay.addApiKeyAccount(name));
});

const messages = () => relay.fake.ledger.byPath("/v1/messages");

/** So many requests of many sessions, some at once. @returns their statuses */
async function load(count: number, atOnce: number): Promise<number[]> {
  const statuses: number[] = [];
  let left = count;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      const headers = { "x-claude-code-session-id": `session-${left % 40}` };
      const answer = await relay.message(key, {}, { headers });
      await answer.arrayBuffer();
      statuses.push(answer.status);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return statuses;
}

interface Standing {
  id: string;
  status: string;
  trouble: { until: string | null } | null;
  coolDowns: { scope: string; until: string }[];
}
async function standings(): Promise<Standing[]> {
  return (await relay.admin<{ accounts: Standing[] }>("GET", "/claude-accounts")).data.accounts;
}

async function untilReady(withinMs: number): Promise<void> {
  await expect
    .poll(async () => (await standings()).map(({ coolDowns }) => coolDowns.length), {
      timeout: withinMs,
      interval: 250,
    })
    .toEqual([0, 0, 0]);
}

test("one account's faults of every kind, under load, are seen by no client, and it comes back by itself", async () => {
  const resetAtSeconds = Math.ceil(Date.now() / 1000) + 6;
  const phases = [
    faults.rateLimited({ claim: "five_hour", resetAtSeconds }),
    faults.overloaded(),
    faults.internalError(),
    faults.resetBeforeHead(),
    faults.bareRateLimit(),
  ];
  let sent = 0;
  for (const [index, fault] of phases.entries()) {
    relay.fake.reset();
    // Two of three stay well: the third may still rest from the phase before.
    relay.fake.script({ account: NAMES[index % 2] ?? "", times: "always" }, fault);
    const statuses = await load(60, 12);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    sent += statuses.length;
  }
  relay.fake.reset();
  await relay.settledUsage(key);
  const { data } = await relay.admin<{ requests: { attempts: object[] }[] }>(
    "GET",
    `/api-keys/${key.id}/requests?limit=1000`,
  );
  expect(data.requests).toHaveLength(sent);
  const attempts = data.requests.map((record) => record.attempts.length);
  expect(Math.max(...attempts)).toBeLessThanOrEqual(3);
  await untilReady(30_000);
  for (const [index, id] of ids.entries()) {
    const bound = await relay.createKey({ accountId: id });
    const answer = await relay.message(bound);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    expect(messages().at(-1)?.account).toBe(NAMES[index]);
  }
});

test("a refused credential of one account is seen by no client; it rests for a minute, not for good", async () => {
  relay.fake.script({ account: "one", times: "always" }, faults.unauthorized());
  expect(new Set(await load(60, 12))).toEqual(new Set([200]));
  const refused = messages().filter(({ account }) => account === "one");
  // At once, before its object could tell anyone: one for each of the twelve that ran.
  expect(refused.length).toBeLessThanOrEqual(12);
  const { trouble } = (await standings()).find(({ id }) => id === ids[0]) ?? { trouble: null };
  const restMs = Date.parse(trouble?.until ?? "") - Date.now();
  expect(restMs).toBeGreaterThan(30_000);
  expect(restMs).toBeLessThanOrEqual(60_000);
});

test("after a failure of all accounts traffic comes back step by step, and is not refused for it", async () => {
  relay.fake.script({ times: "always" }, faults.resetBeforeHead());
  const statuses = await load(24, 6);
  expect(new Set(statuses)).toEqual(new Set([503]));
  const perRequest = messages().length / statuses.length;
  expect(perRequest).toBeLessThanOrEqual(3);
  await expect
    .poll(async () => (await standings()).map(({ status }) => status))
    .toEqual(["cooling_down", "cooling_down", "cooling_down"]);
  const refused = await relay.message(key);
  expect(refused.status).toBe(503);
  expect(await refused.text()).toMatch(
    /is resting \(upstream could not be reached several times\)/,
  );
  expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(10);
  relay.fake.reset();
  relay.fake.script({ times: "always" }, faults.delay(200));
  await untilReady(20_000);
  const seen = messages().length;
  expect(new Set(await load(30, 30))).toEqual(new Set([200]));
  const back = messages().slice(seen);
  const firstEnd = Math.min(
    ...back.map(({ startedAtMs, endedAfterMs }) => startedAtMs + (endedAfterMs ?? 0)),
  );
  const before = back.filter(({ startedAtMs }) => startedAtMs < firstEnd);
  // One on trial for each account, until the first has shown that it is well.
  expect(before.length).toBeLessThanOrEqual(3);
  expect(back).toHaveLength(30);
});

test("an error event in a stream that began well reaches the client, and the account steps aside for its family", async () => {
  relay.fake.script({ times: 1 }, faults.errorEventAfter(3, "rate_limit_error"));
  const answer = await relay.message(key, { stream: true });
  expect(answer.status).toBe(200);
  expect(await answer.text()).toMatch(/event: error\ndata: .*rate_limit_error/);
  const hurt = ids[NAMES.indexOf(messages().at(-1)?.account ?? "")];
  await expect
    .poll(async () => (await standings()).find(({ id }) => id === hurt)?.coolDowns)
    .toMatchObject([{ scope: "sonnet" }]);
});

test("a fault that upstream asks not to try again goes to the client at once", async () => {
  relay.fake.script(
    { times: "always" },
    { ...faults.internalError(), ...faults.shouldRetry(false) },
  );
  const answer = await relay.message(key);
  expect(answer.status).toBe(500);
  expect(answer.headers.get("x-should-retry")).toBe("false");
  expect(messages()).toHaveLength(1);
});
