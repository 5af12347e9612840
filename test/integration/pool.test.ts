import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { faults } from "../fixtures/fake-upstream/index.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";

let relay: TestRelay;
let key: RelayKey;

beforeAll(async () => {
  relay = await TestRelay.start();
  key = await relay.createKey();
});
afterAll(() => relay.stop());

/** Fresh accounts for each test: what one learnt must not matter to the next. */
let made = 0;
async function accounts(count: number, fields: Record<string, unknown>[] = []): Promise<string[]> {
  const names: string[] = [];
  for (let index = 0; index < count; index += 1) {
    made += 1;
    const name = `account-${made}`;
    await relay.addApiKeyAccount(name, fields[index]);
    names.push(name);
  }
  return names;
}

beforeEach(async () => {
  const { data } = await relay.admin<{ accounts: { id: string }[] }>("GET", "/claude-accounts");
  for (const { id } of data.accounts) await relay.admin("DELETE", `/claude-accounts/${id}`);
  relay.fake.reset({ accounts: true });
});

const messages = () => relay.fake.ledger.byPath("/v1/messages");
const errorOf = async (answer: Response) => {
  const { error } = (await answer.json()) as { error: { type: string; message: string } };
  return error;
};

describe("one account's trouble is not the client's while another can serve", () => {
  test.each([
    ["429 with a reset", faults.rateLimited({ claim: "five_hour" })],
    ["429 without any header", faults.bareRateLimit()],
    ["401", faults.unauthorized()],
    ["402", faults.billing()],
    ["400 for lack of credit", faults.creditTooLow()],
    ["500", faults.internalError()],
    ["503", faults.unavailable()],
    ["504", faults.gatewayTimeout()],
    ["529", faults.overloaded()],
    ["a reset before the head", faults.resetBeforeHead()],
  ])("%s", async (_, fault) => {
    const names = await accounts(2, [{ priority: 1 }, { priority: 2 }]);
    relay.fake.script({ account: names[0] ?? "", times: "always" }, fault);
    const answer = await relay.message(key);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    expect(messages().map(({ account }) => account)).toEqual(names);
    expect(relay.fake.ledger.violations()).toEqual([]);
  });
});

describe("what is the request's own doing reaches the client untouched, and goes to one account only", () => {
  test.each([
    ["400", faults.status(400, "prompt is too long: 1 token > 0"), 400],
    ["403", faults.forbidden(), 403],
    ["404", faults.notFound(), 404],
    ["413", faults.tooLarge(), 413],
    ["429 for extra usage", faults.extraUsageRequired(), 429],
  ])("%s", async (_, fault, status) => {
    await accounts(3);
    const answer = await relay.message(key, {}, { fault });
    expect(answer.status).toBe(status);
    const [entry, ...others] = messages();
    expect(others).toEqual([]);
    expect((await answer.json()) as object).toMatchObject({
      type: "error",
      request_id: entry?.requestId,
    });
    expect(answer.headers.get("request-id")).toBe(entry?.requestId);
  });
});

describe("where no account is left", () => {
  test("the 429 of the last one is passed on as it came", async () => {
    await accounts(2);
    const fault = faults.rateLimited({ claim: "five_hour", retryAfterSeconds: 77 });
    relay.fake.script({ times: "always" }, fault);
    const answer = await relay.message(key);
    expect(answer.status).toBe(429);
    expect(answer.headers.get("retry-after")).toBe("77");
    expect(answer.headers.get("request-id")).toBe(messages().at(-1)?.requestId);
    expect(messages()).toHaveLength(2);
  });

  test("the next request is refused by the relay, with the true time, and nothing goes upstream", async () => {
    await accounts(1);
    const resetAtSeconds = Math.floor(Date.now() / 1000) + 1_000;
    relay.fake.script(
      { times: "always" },
      faults.rateLimited({ claim: "five_hour", resetAtSeconds }),
    );
    await relay.message(key);
    await expect
      .poll(
        async () =>
          (await relay.admin<{ accounts: { status: string }[] }>("GET", "/claude-accounts")).data
            .accounts[0]?.status,
      )
      .toBe("cooling_down");
    const before = messages().length;
    const answer = await relay.message(key);
    expect(answer.status).toBe(429);
    const error = await errorOf(answer);
    expect(error.type).toBe("rate_limit_error");
    expect(error.message).toContain(new Date(resetAtSeconds * 1000).toISOString().slice(11, 19));
    const waitS = Number(answer.headers.get("retry-after"));
    expect(Math.abs(Date.now() / 1000 + waitS - resetAtSeconds)).toBeLessThan(5);
    expect(messages()).toHaveLength(before);
  });

  test("a rejected credential is never shown as the client's own: 503, in words", async () => {
    await accounts(1);
    relay.fake.script({ times: "always" }, faults.unauthorized());
    const answer = await relay.message(key);
    expect(answer.status).toBe(503);
    expect(answer.headers.get("x-should-retry")).toBe("false");
    const error = await errorOf(answer);
    expect(error.type).toBe("api_error");
    expect(error.message).toMatch(/credential.*not your key's fault/);
    expect(messages()).toHaveLength(1);
  });

  test("nobody added an account: 503 says so", async () => {
    const answer = await relay.message(key);
    expect(answer.status).toBe(503);
    expect((await errorOf(answer)).message).toMatch(/no Claude account has been added/);
  });

  test("upstream cannot be reached: 503 says so, after three accounts and no more", async () => {
    await accounts(5);
    relay.fake.script({ times: "always" }, faults.resetBeforeHead());
    const answer = await relay.message(key);
    expect(answer.status).toBe(503);
    expect((await errorOf(answer)).message).toMatch(/could not be reached/);
    expect(new Set(messages().map(({ account }) => account)).size).toBeLessThanOrEqual(3);
    expect(messages().length).toBeLessThanOrEqual(3);
  });

  test("an overloaded upstream is asked twice, not three times", async () => {
    await accounts(4);
    relay.fake.script({ times: "always" }, faults.overloaded());
    const answer = await relay.message(key);
    expect(answer.status).toBe(529);
    expect(messages()).toHaveLength(2);
  });
});

test("a disabled or deleted account serves nothing from the next request on", async () => {
  const [first] = await accounts(2, [{ priority: 1 }, { priority: 2 }]);
  const { data } = await relay.admin<{ accounts: { id: string; name: string }[] }>(
    "GET",
    "/claude-accounts",
  );
  const id = data.accounts.find(({ name }) => name === first)?.id;
  await (await relay.message(key)).arrayBuffer();
  expect(messages().at(-1)?.account).toBe(first);
  await relay.admin("PUT", `/claude-accounts/${id}`, { enabled: false });
  await (await relay.message(key)).arrayBuffer();
  expect(messages().at(-1)?.account).not.toBe(first);
  await relay.admin("PUT", `/claude-accounts/${id}`, { enabled: true });
  // The conversation that has moved stays where it is; a new one begins on the first account.
  const another = { messages: [{ role: "user", content: "Another conversation" }] };
  await (await relay.message(key, another)).arrayBuffer();
  expect(messages().at(-1)?.account).toBe(first);
  await relay.admin("DELETE", `/claude-accounts/${id}`);
  await (await relay.message(key, another)).arrayBuffer();
  expect(messages().at(-1)?.account).not.toBe(first);
});

test("a conversation of a client that sends no session stays on one account; others go elsewhere", async () => {
  await accounts(4);
  const mark = { cache_control: { type: "ephemeral" } };
  const used = async (opening: string) => {
    relay.fake.ledger.clear();
    for (let turn = 0; turn < 5; turn += 1) {
      const text = (words: string, isLast: boolean) =>
        isLast ? [{ type: "text", text: words, ...mark }] : words;
      const messages = [{ role: "user", content: text(opening, turn === 0) }];
      for (let index = 1; index <= turn; index += 1) {
        messages.push({ role: "assistant", content: "Yes." });
        messages.push({ role: "user", content: text(`Turn ${index}`, index === turn) });
      }
      const answer = await relay.message(key, { system: "Be brief.", messages });
      expect(answer.status).toBe(200);
      await answer.arrayBuffer();
    }
    return new Set(messages().map(({ account }) => account));
  };
  const all = new Set<string | null>();
  for (let index = 0; index < 12; index += 1) {
    const accountsUsed = await used(`Conversation ${index}`);
    expect(accountsUsed.size).toBe(1);
    for (const account of accountsUsed) all.add(account);
  }
  expect(all.size).toBeGreaterThan(1);
});

describe("an OAuth account", () => {
  test("whose token has run out is refreshed once for 1,000 requests at once, and all are answered", async () => {
    await relay.addOAuthAccount("oauth", { expiresInSeconds: 1 });
    relay.fake.accounts.expireAccessTokens("oauth");
    const statuses = await Promise.all(
      Array.from({ length: 1_000 }, async () => {
        const answer = await relay.message(key);
        await answer.arrayBuffer();
        return answer.status;
      }),
    );
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(relay.fake.ledger.tokenCalls().map(({ outcome }) => outcome)).toEqual(["granted"]);
    expect(relay.fake.accounts.state("oauth")).toMatchObject({
      familiesRevoked: 0,
      liveRefreshTokens: 1,
    });
    expect(relay.fake.ledger.violations()).toEqual([]);
  });

  test("whose token has run out is refreshed once, also over a restart of the runtime between the requests", async () => {
    await relay.addOAuthAccount("oauth", { expiresInSeconds: 1 });
    relay.fake.accounts.expireAccessTokens("oauth");
    const wave = async () => {
      const answers = await Promise.all(Array.from({ length: 500 }, () => relay.message(key)));
      await Promise.all(answers.map((answer) => answer.arrayBuffer()));
      return new Set(answers.map(({ status }) => status));
    };
    expect(await wave()).toEqual(new Set([200]));
    await relay.restart();
    expect(await wave()).toEqual(new Set([200]));
    expect(relay.fake.ledger.tokenCalls().map(({ outcome }) => outcome)).toEqual(["granted"]);
    expect(relay.fake.accounts.state("oauth").familiesRevoked).toBe(0);
  });

  test.each([
    ["loses its answer on the way", faults.loseResponse(), "granted_response_lost"],
    ["is cut short by a kill of the runtime", faults.hang(), "faulted"],
  ])(
    "whose refresh %s goes on with its access token, and sends its refresh token once",
    async (_, fault, outcome) => {
      const id = await relay.addOAuthAccount("oauth");
      relay.fake.script({ grantType: "refresh_token" }, fault);
      const refresh = () => relay.admin("POST", `/claude-accounts/${id}/refresh`);
      const begun = refresh().catch(() => null);
      await relay.fake.ledger.waitFor(({ path }) => path === "/v1/oauth/token");
      if (outcome === "faulted") await relay.restart({ how: "kill" });
      await begun;
      for (let index = 0; index < 20; index += 1) {
        const answer = await relay.message(key);
        expect(answer.status).toBe(200);
        await answer.arrayBuffer();
      }
      const again = await refresh();
      expect(again.success).toBe(false);
      expect(again.message).toMatch(/got no answer.*serves until.*Log in again/);
      expect(relay.fake.ledger.tokenCalls().map((call) => call.outcome)).toEqual([outcome]);
      expect(relay.fake.accounts.state("oauth").familiesRevoked).toBe(0);
    },
  );

  test("whose token upstream no longer takes is refreshed once for everyone whose request it failed", async () => {
    await relay.addOAuthAccount("oauth");
    await (await relay.message(key)).arrayBuffer();
    relay.fake.accounts.expireAccessTokens("oauth");
    const answers = await Promise.all(Array.from({ length: 50 }, () => relay.message(key)));
    for (const answer of answers) {
      expect(answer.status).toBe(200);
      await answer.arrayBuffer();
    }
    expect(relay.fake.ledger.tokenCalls()).toHaveLength(1);
    expect(relay.fake.accounts.state("oauth").familiesRevoked).toBe(0);
  });

  test("is refreshed although the client whose request began it has gone", async () => {
    await relay.addOAuthAccount("oauth", { expiresInSeconds: 1 });
    relay.fake.accounts.expireAccessTokens("oauth");
    relay.fake.script({ grantType: "refresh_token" }, faults.delay(700));
    const leaving = new AbortController();
    const left = relay.message(key, {}, { signal: leaving.signal }).catch(() => "left");
    await relay.fake.ledger.waitFor(({ path }) => path === "/v1/oauth/token");
    leaving.abort();
    expect(await left).toBe("left");
    const answer = await relay.message(key);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    expect(relay.fake.ledger.tokenCalls().map(({ outcome }) => outcome)).toEqual(["granted"]);
    expect(relay.fake.accounts.state("oauth").familiesRevoked).toBe(0);
  });

  test("is added by its login link: the fake verifies PKCE and state", async () => {
    relay.fake.accounts.addOAuth({ name: "person" });
    const begun = await relay.admin<{ authUrl: string; sessionId: string; instructions: string[] }>(
      "POST",
      "/claude-accounts/generate-auth-url",
      {},
    );
    const { authUrl, sessionId } = begun.data;
    const paste = relay.fake.oauth.authorize(authUrl, { account: "person" });
    const exchange = (authorizationCode: string) =>
      relay.admin("POST", "/claude-accounts/exchange-code", { sessionId, authorizationCode });
    expect(await exchange(`${paste.split("#")[0]}#another-state`)).toMatchObject({
      status: 400,
      message: expect.stringContaining("another login link"),
    });
    expect(await exchange("nonsense code")).toMatchObject({ status: 400 });
    const exchanged = await exchange(paste);
    expect(exchanged).toMatchObject({ status: 200, data: { sessionId, renewed: false } });
    expect(JSON.stringify(exchanged)).not.toContain("sk-ant-o");
    const created = await relay.admin("POST", "/claude-accounts", { name: "Person", sessionId });
    expect(created).toMatchObject({ status: 201, data: { kind: "oauth", status: "ready" } });
    const answer = await relay.message(key);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    expect(messages()).toMatchObject([{ account: "person", credential: "oauth" }]);
  });
});
