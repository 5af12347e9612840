import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { faults } from "../fixtures/fake-upstream/index.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";

let relay: TestRelay;
let key: RelayKey;
/** Ids of the accounts, by the name that the fake knows them by. */
let ids: Map<string, string>;

beforeAll(async () => {
  relay = await TestRelay.start();
});
afterAll(() => relay.stop());

let made = 0;
async function accounts(count: number, fields: Record<string, unknown> = {}): Promise<string[]> {
  ids = new Map();
  for (let index = 0; index < count; index += 1) {
    made += 1;
    const name = `account-${made}`;
    ids.set(name, await relay.addApiKeyAccount(name, fields));
  }
  return [...ids.keys()];
}

beforeEach(async () => {
  const { data } = await relay.admin<{ accounts: { id: string }[] }>("GET", "/claude-accounts");
  for (const { id } of data.accounts) await relay.admin("DELETE", `/claude-accounts/${id}`);
  relay.fake.reset({ accounts: true });
  key = await relay.createKey();
});

const messages = () => relay.fake.ledger.byPath("/v1/messages");

/** Sends one request of a session. @returns its status */
async function turn(session: string, options: { fault?: object } = {}): Promise<number> {
  const headers = { "x-claude-code-session-id": session };
  const answer = await relay.message(key, {}, { headers, ...options });
  await answer.arrayBuffer();
  return answer.status;
}

/** Which accounts served each session, in order, without repeats. */
function journeys(since = 0): Map<string, string[]> {
  const bySession = new Map<string, string[]>();
  for (const { requestHeaders, account, status } of messages().slice(since)) {
    const session = requestHeaders["x-claude-code-session-id"];
    if (session === undefined || account === null || status !== 200) continue;
    const journey = bySession.get(session) ?? [];
    if (journey.at(-1) !== account) journey.push(account);
    bySession.set(session, journey);
  }
  return bySession;
}

const named = (count: number) => Array.from({ length: count }, (_, index) => `session-${index}`);

/** Runs the turns of each session one after another, and so many sessions at once. */
async function play(sessions: readonly string[], turns: number, atOnce = 20): Promise<number[]> {
  const statuses: number[] = [];
  const waiting = [...sessions];
  const worker = async () => {
    for (let session = waiting.shift(); session !== undefined; session = waiting.shift()) {
      for (let index = 0; index < turns; index += 1) statuses.push(await turn(session));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return statuses;
}

describe("sessions", () => {
  test("100 of them, 20 requests each, over 5 accounts: none ever moves", async () => {
    await accounts(5);
    const statuses = await play(named(100), 20);
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    const all = journeys();
    expect(all.size).toBe(100);
    expect([...all.values()].filter(({ length }) => length > 1)).toEqual([]);
    expect(new Set([...all.values()].flat()).size).toBe(5);
  });

  test("with one account out only its sessions move, and they stay where they went when it is back", async () => {
    const names = await accounts(5);
    const sessions = named(60);
    await play(sessions, 1);
    const before = journeys();
    const lost = names[0] ?? "";
    const resetAtSeconds = Math.ceil(Date.now() / 1000) + 3;
    relay.fake.script(
      { account: lost, times: "always" },
      faults.rateLimited({ claim: "five_hour", resetAtSeconds }),
    );
    let seen = messages().length;
    expect(new Set(await play(sessions, 1))).toEqual(new Set([200]));
    const during = journeys(seen);
    for (const session of sessions) {
      const [home] = before.get(session) ?? [];
      const [host] = during.get(session) ?? [];
      if (home === lost) expect(host).not.toBe(lost);
      else expect(host).toBe(home);
    }
    const moved = sessions.filter((session) => before.get(session)?.[0] === lost);
    expect(moved.length).toBeGreaterThan(3);

    relay.fake.reset();
    await new Promise((resolve) => setTimeout(resolve, resetAtSeconds * 1000 - Date.now() + 50));
    seen = messages().length;
    await play(sessions, 1);
    const after = journeys(seen);
    for (const session of sessions) expect(after.get(session)).toEqual(during.get(session));
  });

  test("are on their accounts still after the runtime was killed and started again", async () => {
    await accounts(5);
    const sessions = named(20);
    await play(sessions, 1);
    const before = journeys();
    await relay.admin("POST", "/claude-accounts", {
      ...{
        name: "newcomer",
        weight: 100,
        apiKey: relay.fake.accounts.addApiKey({ name: "newcomer" }).apiKey,
      },
    });
    await relay.settledUsage(key);
    await relay.restart({ how: "kill" });
    const seen = messages().length;
    await play(sessions, 1);
    expect(journeys(seen)).toEqual(before);
  });

  test("of one name under two keys are two sessions", async () => {
    const names = await accounts(8);
    const other = await relay.createKey();
    const spread = { own: new Set<string | null>(), other: new Set<string | null>() };
    for (const session of named(10)) {
      await turn(session);
      const mine = messages().at(-1)?.account ?? null;
      const headers = { "x-claude-code-session-id": session };
      await (await relay.message(other, {}, { headers })).arrayBuffer();
      const theirs = messages().at(-1)?.account ?? null;
      spread.own.add(mine);
      spread.other.add(`${mine} ${theirs}`);
    }
    expect(names.length).toBe(8);
    expect([...spread.other].some((pair) => pair?.split(" ")[0] !== pair?.split(" ")[1])).toBe(
      true,
    );
  });

  test("leave no account that takes no new work, and none goes there", async () => {
    const names = await accounts(2);
    await play(named(20), 1);
    const before = journeys();
    const draining = names[0] ?? "";
    await relay.admin("PUT", `/claude-accounts/${ids.get(draining)}`, { schedulable: false });
    const seen = messages().length;
    await play(named(20), 1);
    expect(journeys(seen)).toEqual(before);
    const fresh = Array.from({ length: 20 }, (_, index) => `fresh-${index}`);
    await play(fresh, 1);
    const hosts = fresh.map((session) => journeys().get(session)?.[0]);
    expect(new Set(hosts)).toEqual(new Set([names[1]]));
  });

  test("with a name of 10 kB are served all the same", async () => {
    await accounts(2);
    expect(await turn("s".repeat(10_000))).toBe(200);
  });
});

describe("an account with places for two requests at once", () => {
  test("never runs a third; the rest goes elsewhere, and the places are free again afterwards", async () => {
    const [small] = await accounts(1, { priority: 1, maxConcurrency: 2 });
    await accounts(1, { priority: 2 });
    relay.fake.script({ times: "always" }, faults.delay(300));
    const statuses = await Promise.all(named(12).map((session) => turn(session)));
    expect(new Set(statuses)).toEqual(new Set([200]));
    const counts = messages().filter(({ account }) => account === small).length;
    expect(counts).toBe(2);
    relay.fake.reset();
    const seen = messages().length;
    await turn("later-1");
    await turn("later-2");
    expect(
      messages()
        .slice(seen)
        .map(({ account }) => account),
    ).toEqual([small, small]);
  });

  test("alone is busy: 503 that says so and that passes, never the key's fault", async () => {
    await accounts(1, { maxConcurrency: 1 });
    relay.fake.script({ times: "always" }, faults.delay(500));
    const first = turn("a");
    await relay.fake.ledger.waitFor(({ path }) => path === "/v1/messages");
    const second = await relay.message(key);
    expect(second.status).toBe(503);
    expect(second.headers.get("x-should-retry")).toBeNull();
    expect(Number(second.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await second.text()).toMatch(/as many requests at once as it may/);
    expect(await first).toBe(200);
  });
});

describe("why an account was chosen", () => {
  interface Explained {
    pinnedTo: string | null;
    chosen: { id: string; by: string; because: string } | null;
    accounts: { id: string; standing: string; isChosen: boolean; because: string }[];
  }
  const explain = async (session: string, model = "claude-sonnet-5") => {
    const query = new URLSearchParams({ keyId: key.id, model, session });
    return (await relay.admin<Explained>("GET", `/explain?${query}`)).data;
  };

  test("is told before the request, and the request goes there", async () => {
    await accounts(4);
    for (const session of named(8)) {
      const told = await explain(session);
      expect(told).toMatchObject({ pinnedTo: null, chosen: { by: "hash" } });
      await turn(session);
      expect(ids.get(messages().at(-1)?.account ?? "")).toBe(told.chosen?.id);
      // The first one of an isolate is pinned when it is settled.
      await relay.settledUsage(key);
      expect(await explain(session)).toMatchObject({
        pinnedTo: told.chosen?.id,
        chosen: { id: told.chosen?.id, by: "pin" },
      });
    }
  });

  test("names what stands against each of the others", async () => {
    const [first = "", second = ""] = await accounts(3);
    await relay.admin("PUT", `/claude-accounts/${ids.get(first)}`, { enabled: false });
    relay.fake.script(
      { account: second, times: "always" },
      faults.rateLimited({ claim: "five_hour" }),
    );
    for (let index = 0; index < 12; index += 1) await turn(`s-${index}`);
    await expect
      .poll(async () => (await explain("x")).accounts.map(({ standing }) => standing).sort())
      .toEqual(["cooling_down", "disabled", "ready"]);
    const { accounts: told } = await explain("x");
    const of = (name: string) => told.find(({ id }) => id === ids.get(name))?.because;
    expect(of(first)).toBe("It is switched off.");
    expect(of(second)).toMatch(/^It rests until \d{4}-.*rate limited by upstream \(429\)\./);
  });

  test("stands in the request's own record, with every attempt and its reason", async () => {
    const [first = ""] = await accounts(1, { priority: 1 });
    const firstId = ids.get(first);
    const [second = ""] = await accounts(1, { priority: 2 });
    relay.fake.script({ account: first, times: 1 }, faults.internalError());
    expect(await turn("s")).toBe(200);
    await relay.settledUsage(key);
    const { data } = await relay.admin<{ requests: object[] }>(
      "GET",
      `/api-keys/${key.id}/requests`,
    );
    expect(data.requests).toMatchObject([
      {
        accountId: ids.get(second),
        chosenBy: "hash",
        outcome: "completed",
        status: 200,
        attempts: [
          { accountId: firstId, status: 500, verdict: "server_error" },
          { accountId: ids.get(second), status: 200, verdict: "served" },
        ],
      },
    ]);
  });

  test.each([
    ["no key", "model=claude-sonnet-5", 400],
    ["no model", "keyId=x", 400],
    ["an unknown key", "keyId=x&model=claude-sonnet-5", 404],
    ["a session of 10 kB", `keyId=x&model=m&session=${"s".repeat(10_000)}`, 400],
  ])("is refused in words for %s", async (_, query, status) => {
    const refused = await relay.admin("GET", `/explain?${query}`);
    expect(refused).toMatchObject({ status, success: false });
    expect(refused.message.length).toBeGreaterThan(10);
  });
});
