import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { issueSession } from "../../src/admin/session.ts";
import { UNLIMITED } from "../../src/keys/key-limits.ts";
import { KeyStoreUnavailable } from "../../src/keys/key-store.ts";
import { servicesOf } from "../../src/relay/services.ts";

const ORIGIN = "https://relay.example";
const PASSWORD = "a password for tests only";
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

interface Answer {
  status: number;
  headers: Headers;
  success: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the shape that it asked for
  data: any;
  error: string;
  message: string;
  requestId: string;
}

async function ask(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = { authorization: `Bearer ${token}` },
): Promise<Answer> {
  const answer = await exports.default.fetch(`${ORIGIN}/admin${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const parsed = (await answer.json()) as Omit<Answer, "status" | "headers">;
  return { ...parsed, status: answer.status, headers: answer.headers };
}

const login = (password: string, username = "admin") =>
  ask("POST", "/login", { username, password }, {});

describe("signing in", () => {
  test("gives a session by token and by a cookie that scripts cannot read", async () => {
    const answer = await login(PASSWORD);
    expect(answer.status).toBe(200);
    const cookie = answer.headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(
      /^relay_session=[^;]+; Max-Age=43200; Path=\/admin; HttpOnly; Secure; SameSite=Strict$/,
    );
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const session = await ask("GET", "/session", undefined, { cookie: cookie.split(";")[0] ?? "" });
    const { token: _, ...opened } = answer.data;
    expect(opened).toMatchObject({ username: "admin", signedInWith: "password", role: "admin" });
    expect(session.data).toEqual(opened);
  });

  test.each([
    ["a wrong password", "wrong", "admin"],
    ["an empty password", "", "admin"],
    ["another user", PASSWORD, "root"],
  ])("%s is refused with the same words", async (_, password, username) => {
    const answer = await login(password, username);
    expect(answer).toMatchObject({
      status: 401,
      success: false,
      error: "login_failed",
      message: "Wrong user name or password.",
    });
    expect(answer.headers.get("set-cookie")).toBeNull();
  });

  test("guessing is slowed: after five wrong passwords even the right one has to wait", async () => {
    for (let guess = 0; guess < 5; guess += 1)
      expect((await login(`guess ${guess}`)).status).toBe(401);
    const refused = await login(PASSWORD);
    expect(refused).toMatchObject({ status: 429, error: "login_throttled" });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(30);
    const gate = env.ADMIN_GATE.get(env.ADMIN_GATE.idFromName("admin"));
    await runInDurableObject(gate, (_, state) => {
      state.storage.sql.exec("UPDATE failures SET wait_until_ms = 0");
    });
    expect((await login(PASSWORD)).status).toBe(200);
  });

  test("ends by signing out: the token is refused from then on", async () => {
    expect((await ask("GET", "/session")).status).toBe(200);
    const out = await ask("POST", "/logout");
    expect(out.data).toEqual({ signedOut: true, signOutUrl: null });
    expect(out.headers.get("set-cookie")).toMatch(
      /^relay_session=; Max-Age=0; Path=\/admin; HttpOnly(; Secure)?; SameSite=Strict$/,
    );
    expect((await ask("GET", "/session")).status).toBe(401);
  });
});

describe("keys", () => {
  const create = (fields: Record<string, unknown> = {}) =>
    ask("POST", "/api-keys", { name: "K", ...fields });

  test("are shown once, and stored under their hash only", async () => {
    const { data, status } = await create({ description: "d" });
    expect(status).toBe(201);
    expect(data.apiKey).toMatch(/^cr_[0-9a-f]{64}$/);
    const shown = JSON.stringify([
      await ask("GET", "/api-keys"),
      await ask("GET", `/api-keys/${data.id}`),
    ]);
    expect(shown).not.toContain(data.apiKey);
    const { keys } = await env.RELAY_KEYS.list();
    const stored = await Promise.all(keys.map(({ name }) => env.RELAY_KEYS.get(name)));
    expect(JSON.stringify([keys, stored])).not.toContain(data.apiKey.slice(8, -4));
    expect(keys.some(({ name }) => name.startsWith("key:"))).toBe(true);
  });

  test("can be listed in pages, changed, revoked and deleted", async () => {
    const ids: string[] = [];
    for (let index = 0; index < 5; index += 1)
      ids.push((await create({ name: `K${index}` })).data.id);
    const first = await ask("GET", "/api-keys?limit=3");
    expect(first.data.keys).toHaveLength(3);
    const rest = await ask(
      "GET",
      `/api-keys?limit=3&cursor=${encodeURIComponent(first.data.cursor)}`,
    );
    const listed = [...first.data.keys, ...rest.data.keys].map(({ id }: { id: string }) => id);
    expect(listed.sort()).toEqual(ids.sort());
    expect(rest.data.cursor).toBeNull();

    const [id] = ids;
    const expiresAt = "2099-01-01T00:00:00.000Z";
    const changed = await ask("PUT", `/api-keys/${id}`, { name: "New", enabled: false, expiresAt });
    expect(changed.data).toMatchObject({ name: "New", status: "disabled", expiresAt });
    expect(
      (await ask("PUT", `/api-keys/${id}`, { enabled: true, expiresAt: null })).data,
    ).toMatchObject({
      status: "active",
      expiresAt: null,
    });
    expect((await ask("POST", `/api-keys/${id}/revoke`)).data.status).toBe("revoked");
    const enabled = await ask("PUT", `/api-keys/${id}`, { enabled: true });
    expect(enabled).toMatchObject({ status: 409, error: "conflict" });
    expect((await ask("DELETE", `/api-keys/${id}`)).data.status).toBe("deleted");
    expect((await ask("PUT", `/api-keys/${id}`, { name: "X" })).status).toBe(409);
    expect((await ask("POST", `/api-keys/${id}/restore`)).data.status).toBe("revoked");
    const gone = await ask("DELETE", `/api-keys/${id}?permanent=true`);
    expect(gone.data).toEqual({ id, deleted: true, permanent: true });
    expect((await ask("GET", `/api-keys/${id}`)).status).toBe(404);
  });

  test("take every setting, show it under the same name, and change only what is named", async () => {
    const settings = {
      tags: ["team a", "研究"],
      activeForHours: 48,
      allowedModels: ["claude-sonnet-*"],
      deniedModels: ["claude-sonnet-4"],
      accountTag: "gold",
      limits: {
        concurrency: 3,
        window: { minutes: 60, requests: 10, tokens: null, cost: 0.5 },
        dailyCost: 1.25,
        weeklyCost: null,
        monthlyCost: 20,
        totalCost: 0,
        weeklyFamilyCost: { family: "opus", cost: 5 },
      },
    };
    await ask("POST", "/claude-accounts", {
      name: "gold",
      apiKey: "sk-ant-api03-x",
      tags: ["gold"],
    });
    const { data } = await create(settings);
    expect(data).toMatchObject(settings);
    const changed = await ask("PUT", `/api-keys/${data.id}`, { limits: { dailyCost: null } });
    const limits = { ...settings.limits, dailyCost: null };
    expect(changed.data).toMatchObject({ ...settings, limits });
    expect((await ask("GET", `/api-keys/${data.id}`)).data).toMatchObject({ ...settings, limits });
  });

  test.each([
    ["an account that is not here", { accountId: crypto.randomUUID() }, "accountId names"],
    ["a tag that no account has", { accountTag: "nobody" }, "accountTag names the tag nobody"],
  ])("cannot be bound to %s: the admin is told, not the key's holder", async (_, fields, words) => {
    const refused = await create(fields);
    expect(refused).toMatchObject({ status: 400, message: expect.stringContaining(words) });
    const { data } = await create({});
    expect(await ask("PUT", `/api-keys/${data.id}`, fields)).toMatchObject({ status: 400 });
    expect((await ask("GET", `/api-keys/${data.id}`)).data).toMatchObject({
      accountId: null,
      accountTag: null,
    });
  });

  test("can be given a new secret: id, history and limits stay, the old one goes", async () => {
    const { data } = await create({ limits: { dailyCost: 7 } });
    const rotated = await ask("POST", `/api-keys/${data.id}/rotate`);
    expect(rotated.data).toMatchObject({ id: data.id, limits: { dailyCost: 7 } });
    expect(rotated.data.apiKey).toMatch(/^cr_[0-9a-f]{64}$/);
    expect(rotated.data.apiKey).not.toBe(data.apiKey);
    const records = (await env.RELAY_KEYS.list({ prefix: "key:" })).keys;
    expect(records).toHaveLength(1);
    const graced = await ask("POST", `/api-keys/${data.id}/rotate`, { graceHours: 1 });
    expect(graced.status).toBe(200);
    expect((await env.RELAY_KEYS.list({ prefix: "key:" })).keys).toHaveLength(2);
    await ask("POST", `/api-keys/${data.id}/revoke`);
    expect((await ask("POST", `/api-keys/${data.id}/rotate`)).status).toBe(409);
  });

  test.each([
    ["no name", {}, "name is missing"],
    ["an empty name", { name: "  " }, "name must not be empty"],
    ["a name that is a number", { name: 5 }, "name must be string"],
    [
      "a name of 200 characters",
      { name: "x".repeat(200) },
      "name must have at most 100 characters",
    ],
    ["a time without a zone", { name: "K", expiresAt: "tomorrow" }, "expiresAt must be a time"],
    ["a field that does not exist", { name: "K", admin: true }, "admin is not a field here"],
    ["no object", "[]", "The body is not a JSON object."],
    ["no JSON", "{", "The body is not JSON."],
  ])("with %s are refused in words", async (_, body, words) => {
    const answer = await ask("POST", "/api-keys", body);
    expect(answer).toMatchObject({ status: 400, success: false, error: "bad_request" });
    expect(answer.message).toContain(words);
    expect(answer.requestId).toMatch(/^rly_/);
    expect((await env.RELAY_KEYS.list()).keys).toEqual([]);
  });
});

describe("many keys at once", () => {
  interface Shown {
    id: string;
    name: string;
    apiKey: string;
    tags: string[];
  }
  const meterOf = ({ id }: Shown) => env.KEY_METER.get(env.KEY_METER.idFromName(id));
  const createMany = async (fields: Record<string, unknown>): Promise<Shown[]> =>
    (await ask("POST", "/api-keys/batch", { namePrefix: "class-", ...fields })).data.keys;
  const recordOf = async ({ id }: Shown) =>
    (await env.RELAY_KEYS.get<{ record: { version: number; tags: string[] } }>(`id:${id}`, "json"))
      ?.record;

  /** Every page of a batch update. */
  async function updateAll(tag: string, change: Record<string, unknown>, limit?: number) {
    const answers: Answer[] = [];
    let cursor: string | null = null;
    do {
      const body = { tag, cursor, ...(limit === undefined ? {} : { limit }), ...change };
      const answer = await ask("PUT", "/api-keys/batch", body);
      expect(answer.status).toBe(200);
      answers.push(answer);
      cursor = answer.data.cursor;
    } while (cursor !== null);
    return {
      pages: answers.length,
      keys: answers.flatMap(({ data }) => data.keys as Shown[]),
      refused: answers.flatMap(({ data }) => data.refused as Record<string, string>[]),
    };
  }

  test("are numbered, shown once, and known to their meters; a call makes fifty at the most", async () => {
    const first = await createMany({ count: 50, digits: 3, tags: ["course"] });
    const rest = await createMany({ from: 51, count: 2, digits: 3, tags: ["course"] });
    expect(first.map(({ name }) => name).slice(0, 2)).toEqual(["class-001", "class-002"]);
    expect(rest.map(({ name }) => name)).toEqual(["class-051", "class-052"]);
    const all = [...first, ...rest];
    expect(new Set(all.map(({ apiKey }) => apiKey)).size).toBe(52);
    for (const key of [first[0], first[49]]) {
      if (key === undefined) throw new Error("fifty were asked for");
      expect((await meterOf(key).latest())?.stored?.record.name).toBe(key.name);
    }
    const { keys } = (await ask("GET", "/api-keys?tag=course&limit=100")).data;
    expect(keys.map(({ id }: Shown) => id).sort()).toEqual(all.map(({ id }) => id).sort());
    const trail = await ask("GET", "/audit");
    expect(trail.data.entries).toMatchObject([
      { action: "key.create_batch", outcome: "done", detail: { count: 2 } },
      { action: "key.create_batch", detail: { names: ["class-001", "class-050"] } },
    ]);
    expect(JSON.stringify(trail)).not.toContain("cr_");
    for (const [fields, words] of [
      [{ count: 51 }, "count must be at most 50"],
      [{ count: 2, from: 99_999 }, "The last number must be at most 99999"],
      [{ count: 1, name: "x" }, "name is not a field here"],
    ] as const) {
      const refused = await ask("POST", "/api-keys/batch", { namePrefix: "x", ...fields });
      expect(refused).toMatchObject({ status: 400, error: "bad_request" });
      expect(refused.message).toContain(words);
    }
  });

  test("are changed by their tag, page by page, and each meter is told", {
    timeout: 30_000,
  }, async () => {
    const made = await createMany({ count: 30, tags: ["course", "old"] });
    const other = (await ask("POST", "/api-keys", { name: "other", tags: ["old"] })).data;
    const change = {
      limits: { dailyCost: 2 },
      addTags: ["new"],
      removeTags: ["old"],
      allowedModels: ["claude-sonnet-*"],
    };
    const { pages, keys, refused } = await updateAll("course", change);
    expect(pages).toBe(2);
    expect(refused).toEqual([]);
    expect(keys.map(({ id }) => id).sort()).toEqual(made.map(({ id }) => id).sort());
    for (const key of [made[0], made[29]]) {
      if (key === undefined) throw new Error("thirty were asked for");
      const { data } = await ask("GET", `/api-keys/${key.id}`);
      expect(data).toMatchObject({ limits: { dailyCost: 2 }, tags: ["course", "new"] });
      const told = (await meterOf(key).latest())?.stored?.record;
      expect(told).toMatchObject({ version: 2, limits: { costPerDay: 2_000_000_000 } });
    }
    expect((await ask("GET", `/api-keys/${other.id}`)).data.tags).toEqual(["old"]);
    const found = (await ask("GET", "/api-keys?tag=old&limit=100")).data.keys;
    expect(found.map(({ id }: Shown) => id)).toEqual([other.id]);
    const [last] = (await ask("GET", "/audit?limit=1")).data.entries;
    expect(last).toMatchObject({ action: "key.update_batch", outcome: "done" });
    expect(last.detail).toMatchObject({ tag: "course", after: change });
    expect(last.detail.ids).toHaveLength(5);
  });

  test("that lose the very tag they are found by are each changed all the same", async () => {
    const made = await createMany({ count: 12, tags: ["course"] });
    const { keys } = await updateAll("course", { removeTags: ["course"] }, 5);
    expect(keys).toHaveLength(12);
    for (const key of made) expect((await recordOf(key))?.tags).toEqual([]);
    expect((await ask("GET", "/api-keys?tag=course")).data.keys).toEqual([]);
  });

  test("stay as they are where the change is repeated, deleted, or against a rule", async () => {
    const made = await createMany({ count: 3, tags: ["course"] });
    const [kept, revoked, deleted] = made;
    if (!kept || !revoked || !deleted) throw new Error("three were asked for");
    await ask("POST", `/api-keys/${revoked.id}/revoke`);
    await ask("DELETE", `/api-keys/${deleted.id}`);
    const enabled = await updateAll("course", { enabled: true });
    expect(enabled.refused).toMatchObject([{ id: revoked.id, reason: "revoked" }]);
    expect(enabled.keys).toMatchObject([{ id: kept.id }]);
    expect(await recordOf(kept)).toMatchObject({ version: 1 });

    const nine = Array.from({ length: 9 }, (_, n) => `t${n}`);
    expect((await updateAll("course", { addTags: nine })).refused).toEqual([]);
    expect(await recordOf(kept)).toMatchObject({ version: 2, tags: ["course", ...nine] });
    const full = await updateAll("course", { addTags: ["one-more"] });
    expect(full.refused.map(({ reason }) => reason)).toEqual(["too_many_tags", "too_many_tags"]);
    expect(await recordOf(deleted)).toMatchObject({ version: 2, tags: ["course"] });
    for (const body of [{ tag: "course" }, { enabled: true }, { tag: "course", name: "x" }]) {
      expect(await ask("PUT", "/api-keys/batch", body)).toMatchObject({ error: "bad_request" });
    }
  });

  test("of which the store takes only some: those that were made are told, the others named", async () => {
    const services = servicesOf(env);
    if (!services.ok) throw new Error("the tests' configuration is wrong");
    const { keyStore } = services.value;
    const put = keyStore.put.bind(keyStore);
    const taken = vi.spyOn(keyStore, "put").mockImplementation(async (key, before) => {
      if (key.record.name === "class-2") throw new KeyStoreUnavailable("down");
      return put(key, before);
    });
    try {
      const some = await ask("POST", "/api-keys/batch", { namePrefix: "class-", count: 3 });
      expect(some.status).toBe(201);
      expect(some.data.keys.map(({ name }: Shown) => name)).toEqual(["class-1", "class-3"]);
      expect(some.data.missing).toEqual(["class-2"]);
      const none = await ask("POST", "/api-keys/batch", {
        ...{ namePrefix: "class-", from: 2, count: 1 },
      });
      expect(none).toMatchObject({ status: 503, error: "unavailable" });
    } finally {
      taken.mockRestore();
    }
  });
});

describe("accounts", () => {
  const SECRET = "sk-ant-api03-very-secret";

  test("by API key come back without their secret", async () => {
    const { data, status } = await ask("POST", "/claude-accounts", {
      name: "A",
      apiKey: SECRET,
      proxy: {
        type: "socks5",
        host: "proxy.example",
        port: 1080,
        username: "u",
        password: "hidden",
      },
    });
    expect(status).toBe(201);
    expect(data).toMatchObject({ name: "A", kind: "api_key", hasProxy: true, status: "no_egress" });
    const one = await ask("GET", `/claude-accounts/${data.id}`);
    expect(one.data.proxy).toEqual({
      type: "socks5",
      host: "proxy.example",
      port: 1080,
      username: "u",
      hasPassword: true,
    });
    const all = JSON.stringify([
      data,
      one,
      await ask("GET", "/claude-accounts"),
      await ask("GET", "/audit"),
    ]);
    expect(all).not.toMatch(/very-secret|hidden/);
  });

  test("can be changed, reset and deleted, each with its line in the audit trail", async () => {
    const { data } = await ask("POST", "/claude-accounts", { name: "A", apiKey: SECRET });
    await ask("PUT", `/claude-accounts/${data.id}`, { name: "B", priority: 10, enabled: false });
    expect((await ask("GET", "/claude-accounts")).data.accounts).toMatchObject([
      { id: data.id, name: "B", priority: 10, enabled: false, status: "disabled" },
    ]);
    await ask("POST", `/claude-accounts/${data.id}/reset`);
    expect((await ask("DELETE", `/claude-accounts/${data.id}`)).status).toBe(200);
    expect((await ask("GET", "/claude-accounts")).data.accounts).toEqual([]);
    const { entries } = (await ask("GET", "/audit")).data;
    expect(
      entries.map(({ action, outcome, actor }: Record<string, string>) => [actor, action, outcome]),
    ).toEqual([
      ["admin", "account.delete", "done"],
      ["admin", "account.reset", "done"],
      ["admin", "account.update", "done"],
      ["admin", "account.create", "done"],
    ]);
    expect(entries[2].detail).toEqual({
      before: { name: "A", priority: 50, enabled: true },
      after: { name: "B", priority: 10, enabled: false },
    });
  });

  test.each([
    ["no credential", { name: "A" }, "exactly one"],
    ["two credentials", { name: "A", apiKey: SECRET, setupToken: "t" }, "exactly one"],
    ["a relay key", { name: "A", apiKey: `cr_${"0".repeat(64)}` }, "relay key of this system"],
    ["an OAuth token as API key", { name: "A", apiKey: "sk-ant-oat01-x" }, "setupToken"],
    ["an API key as setup token", { name: "A", setupToken: SECRET }, "apiKey"],
    [
      "a line break in the key",
      { name: "A", apiKey: "sk-ant\r\nx: y" },
      "apiKey holds a character",
    ],
    [
      "a priority that is no number",
      { name: "A", apiKey: SECRET, priority: "high" },
      "priority must be number",
    ],
    [
      "a priority out of range",
      { name: "A", apiKey: SECRET, priority: 0 },
      "priority must be at least 1",
    ],
    [
      "a proxy of an unknown kind",
      { name: "A", apiKey: SECRET, proxy: { type: "ftp", host: "h", port: 1 } },
      "proxy.type must be",
    ],
    ["a login that does not exist", { name: "A", sessionId: crypto.randomUUID() }, "not finished"],
  ])("with %s are refused in words that hold no secret", async (_, body, words) => {
    const answer = await ask("POST", "/claude-accounts", body);
    expect([400, 409]).toContain(answer.status);
    expect(answer.message).toContain(words);
    expect(answer.message).not.toContain("very-secret");
    expect((await ask("GET", "/claude-accounts")).data.accounts).toEqual([]);
  });

  test("can be given another credential, which ends their trouble and keeps their id", async () => {
    const { data } = await ask("POST", "/claude-accounts", { name: "A", apiKey: SECRET });
    const object = env.CLAUDE_ACCOUNT.get(env.CLAUDE_ACCOUNT.idFromName(data.id));
    await object.acquire(1);
    expect((await ask("GET", `/claude-accounts/${data.id}`)).data).toMatchObject({
      status: "trouble",
      trouble: { kind: "credential_rejected" },
    });
    const path = `/claude-accounts/${data.id}`;
    const both = await ask("PUT", path, { apiKey: "sk-ant-api03-new", setupToken: "t" });
    expect(both.status).toBe(400);
    const changed = await ask("PUT", path, { apiKey: "sk-ant-api03-new" });
    expect(changed.data).toMatchObject({ id: data.id, status: "ready", trouble: null });
    expect(await object.acquire(null)).toMatchObject({ value: { secret: "sk-ant-api03-new" } });
    expect(JSON.stringify(await ask("GET", "/audit"))).not.toContain("sk-ant");
  });

  test("that use a key have no login to renew", async () => {
    const { data } = await ask("POST", "/claude-accounts", { name: "A", apiKey: SECRET });
    const link = await ask("POST", "/claude-accounts/generate-auth-url", { accountId: data.id });
    expect(link).toMatchObject({ status: 409, error: "conflict" });
  });

  test("whose login has ended are told apart from those whose paste was wrong", async () => {
    const { data } = await ask("POST", "/claude-accounts/generate-auth-url", {});
    const exchange = (sessionId: string) =>
      ask("POST", "/claude-accounts/exchange-code", { sessionId, authorizationCode: "two words" });
    expect(await exchange(data.sessionId)).toMatchObject({ status: 400, error: "bad_request" });
    expect(await exchange(crypto.randomUUID())).toMatchObject({
      status: 410,
      error: "login_ended",
    });
  });

  test("that do not exist are not found, whatever is asked of them", async () => {
    for (const id of [crypto.randomUUID(), "nonsense", "../api-keys"]) {
      expect((await ask("GET", `/claude-accounts/${encodeURIComponent(id)}`)).status).toBe(404);
    }
  });
});

test("an act that cannot be audited does not happen", async () => {
  const log = env.EVENT_LOG.get(env.EVENT_LOG.idFromName("events"));
  await runInDurableObject(log, (_, state) => {
    state.storage.sql.exec("DROP TABLE audit");
  });
  const answer = await ask("POST", "/api-keys", { name: "K" });
  expect(answer).toMatchObject({ status: 503, success: false, error: "unavailable" });
  expect(answer.message).toContain("nothing was changed");
  expect((await env.RELAY_KEYS.list()).keys).toEqual([]);
});

test("a route that does not exist, and a body that is too large, are said to be so", async () => {
  expect(await ask("GET", "/nothing")).toMatchObject({ status: 404, error: "not_found" });
  expect(await ask("PATCH", "/api-keys")).toMatchObject({ status: 404, error: "not_found" });
  const large = { name: "x".repeat(300 * 1024) };
  expect(await ask("POST", "/api-keys", large)).toMatchObject({
    status: 413,
    error: "body_too_large",
  });
});

describe("the operator's prices", () => {
  const dollars = { input: 4, output: 20, cacheWrite5m: 5, cacheWrite1h: 8, cacheRead: 0.4 };
  const opus = { model: "claude-opus-5-20260101", effectiveFrom: "2027-01-01", ...dollars };
  const set = (body: object) => ask("PUT", "/prices", body);
  const listed = async () => (await ask("GET", "/prices")).data;

  test("are set, take each other's place under a name of their own, outlast their object, and go", async () => {
    const first = await set(opus);
    expect(first.data).toMatchObject({
      ...{ ...dollars, model: "claude-opus-5", effectiveFrom: "2027-01-01", longPrompt: null },
      ...{ fastFactor: 2, usFactor: 1.1 },
      id: expect.stringMatching(/^claude-opus-5@2027-01-01#\d+$/),
    });
    const second = await set({ ...opus, input: 4.5 });
    expect(second.data.id).not.toBe(first.data.id);
    const longPrompt = { thresholdTokens: 1_000, ...dollars };
    const unknown = await set({ model: "my-model", ...dollars, longPrompt });
    expect(unknown.data).toMatchObject({ longPrompt, fastFactor: null, usFactor: null });
    expect(unknown.data.effectiveFrom).toBe(new Date().toISOString().slice(0, 10));
    await evictDurableObject(env.FLEET.getByName("fleet"));
    const { prices, listed: builtIn, standIn } = await listed();
    expect(prices).toEqual([second.data, unknown.data]);
    expect(builtIn).toContainEqual(
      expect.objectContaining({ id: "claude-opus-5@2024-01-01", input: 5, setAt: null }),
    );
    expect(standIn).toMatchObject({ id: "default@2024-01-01", output: 25 });
    const where = "/prices?model=claude-opus-5&effectiveFrom=2027-01-01";
    expect((await ask("DELETE", where)).data).toEqual({ removed: true });
    expect(await ask("DELETE", where)).toMatchObject({ status: 404, error: "not_found" });
    expect((await set(opus)).data.id > second.data.id).toBe(true);
  });

  test.each([
    [{ ...opus, input: -1 }, "input must be at least 0"],
    [{ ...opus, input: "4" }, "input must be number"],
    [{ ...opus, cacheRead: 0.00001 }, "cacheRead has more than three decimals"],
    [{ ...opus, output: 100_001, force: true }, "output must be at most 100000"],
    [{ ...opus, effectiveFrom: "2027-02-31" }, "effectiveFrom is no day such as"],
    [{ ...opus, effectiveFrom: "tomorrow" }, "effectiveFrom is no day such as"],
    [{ ...opus, model: "a\nb" }, "model is no name of a model"],
    [{ ...opus, model: "m".repeat(101) }, "model is no name of a model"],
    [{ ...opus, model: "default" }, "the stand-in for unknown models is fixed"],
    [{ model: "claude-opus-5", input: 1 }, "output is missing"],
    [{ ...opus, price: 1 }, "price is not a field here"],
  ])("%o is refused: %s", async (body, message) => {
    const refused = await set(body);
    expect(refused).toMatchObject({ status: 400, error: "bad_request" });
    expect(refused.message).toContain(message);
    expect((await listed()).prices).toEqual([]);
  });

  test.each([
    ["ten times", { input: 50.001 }, "input would be"],
    ["a tenth", { cacheRead: 0.049 }, "cacheRead would be"],
    ["nothing", { output: 0 }, "output would be"],
    ["ten times, of an unknown model", { model: "my-model", output: 251 }, "default@2024-01-01"],
  ])("a price beyond %s is taken only by force", async (_, patch, words) => {
    const refused = await set({ ...opus, ...patch });
    expect(refused).toMatchObject({ status: 400, error: "bad_request" });
    expect(refused.message).toContain(words);
    expect((await listed()).prices).toEqual([]);
    expect((await set({ ...opus, ...patch, force: true })).status).toBe(200);
  });

  test("just ten times, and just a tenth, need none", async () => {
    expect((await set({ ...opus, input: 50, cacheRead: 0.05 })).status).toBe(200);
  });

  test("leave a line in the audit trail, with what was there before", async () => {
    await set(opus);
    await set({ ...opus, input: 500, force: true });
    await ask("DELETE", "/prices?model=claude-opus-5&effectiveFrom=2027-01-01");
    const { entries } = (await ask("GET", "/audit")).data;
    const price = (input: number) => expect.objectContaining({ ...dollars, input });
    const act = { target: "claude-opus-5@2027-01-01", outcome: "done", actor: "admin" };
    expect(entries).toMatchObject([
      { ...act, action: "price.remove", detail: { before: price(500), after: null } },
      {
        ...act,
        action: "price.set",
        detail: { before: price(4), after: price(500), forced: true },
      },
      { ...act, action: "price.set", detail: { before: null, after: price(4), forced: false } },
    ]);
  });

  test("are two hundred at the most; those that are there can still be changed", async () => {
    await set({ ...opus, model: "model-0" });
    await runInDurableObject(env.FLEET.getByName("fleet"), (_, { storage }) => {
      for (let nth = 1; nth < 200; nth += 1) {
        storage.sql.exec(
          `INSERT INTO prices SELECT ?, effective_from, revision, row FROM prices
           WHERE model_id = 'model-0'`,
          `model-${nth}`,
        );
      }
    });
    expect(await set(opus)).toMatchObject({ status: 409, error: "conflict" });
    expect((await set({ ...opus, model: "model-7", input: 3 })).status).toBe(200);
  });
});

describe("what is made again from elsewhere", () => {
  const hash = "0123456789abcdef".repeat(4);
  const record = {
    ...{ schema: 1, id: "5f0c0c7e-6a43-4f0e-9d3c-0a6a3f3c7d11", name: "laptop", description: "" },
    ...{ hint: "imported", tags: [], enabled: true, createdAtMs: 1, expiresAtMs: null },
    ...{ activeForMs: null, revokedAtMs: null, deletedAtMs: null, boundTo: null, version: 1 },
    models: { allowed: null, denied: [] },
    limits: UNLIMITED,
    secret: { mark: hash.slice(0, 16), previous: null },
  };
  const bring = () => ask("POST", "/api-keys/import", { keys: [{ hash, record }] });

  test("a key that was listed and not written under its hash is written by the next import", async () => {
    expect((await bring()).data).toMatchObject({ imported: 1, there: 0 });
    await env.RELAY_KEYS.delete(`key:${hash}`);
    expect((await bring()).data).toMatchObject({ imported: 0, there: 1 });
    expect(await env.RELAY_KEYS.get(`key:${hash}`, "json")).toEqual(record);
  });

  test("an account's id is never used again, also where the account was removed", async () => {
    const id = "0b6d3c52-6f38-4a5d-8f1b-9d7f8c1f2a33";
    const make = () =>
      ask("POST", "/claude-accounts", { id, name: "team", apiKey: "sk-ant-api-x" });
    expect((await make()).status).toBe(201);
    expect(await make()).toMatchObject({ status: 409, error: "conflict" });
    expect((await ask("DELETE", `/claude-accounts/${id}`)).status).toBe(200);
    const again = await make();
    expect(again).toMatchObject({
      status: 409,
      message: expect.stringContaining("or there was one"),
    });
    expect((await ask("GET", `/claude-accounts/${id}`)).status).toBe(404);
  });
});
