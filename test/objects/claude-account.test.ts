import {
  evictDurableObject,
  reset,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { ClaudeAccount } from "../../durable-objects/claude-account.ts";
import { Vault } from "../../src/accounts/vault.ts";
import {
  Bench,
  HOUR_MS,
  KEY,
  oauthCredential,
  SETTINGS,
  START_MS,
  secretOf,
  withBench,
} from "./account-bench.ts";

afterEach(() => reset());

describe("a credential", () => {
  test("is handed out without a refresh while ten seconds are left, and refreshed from then on", () =>
    withBench(async (bench) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      bench.nowMs = START_MS + HOUR_MS - 10_001;
      expect(await secretOf(bench)).toBe("access-1");
      expect(bench.calls).toEqual([]);
      bench.nowMs = START_MS + HOUR_MS - 10_000;
      expect(await secretOf(bench)).toBe("access-2");
      expect(bench.calls).toMatchObject([
        { grant_type: "refresh_token", refresh_token: "refresh-1" },
      ]);
    }));

  test("that has run out is refreshed once for a thousand who ask at once", () =>
    withBench(async (bench) => {
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      const secrets = await Promise.all(Array.from({ length: 1_000 }, () => secretOf(bench)));
      expect(new Set(secrets)).toEqual(new Set(["access-2"]));
      expect(bench.calls).toHaveLength(1);
    }));

  test("is on disk before anyone gets it: an object that wakes up has it, and the old one is spent", () =>
    withBench(async (bench, _, again) => {
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      await secretOf(bench);
      const woken = await again();
      expect(await secretOf(woken)).toBe("access-2");
      woken.nowMs = START_MS + 2 * HOUR_MS;
      await secretOf(woken);
      expect(woken.calls).toMatchObject([{ refresh_token: "refresh-2" }]);
    }));

  test("keeps its refresh token where the answer brings no new one", () =>
    withBench(async (bench) => {
      bench.answer = () => Response.json({ access_token: "access-x", expires_in: 60 });
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      expect(await secretOf(bench)).toBe("access-x");
      bench.nowMs += 60_000;
      await secretOf(bench);
      expect(bench.calls.map((call) => call.refresh_token)).toEqual(["refresh-1", "refresh-1"]);
    }));

  test.each([
    ["answers 500", () => new Response("oops", { status: 500 })],
    ["answers 429", () => new Response("{}", { status: 429, headers: { "retry-after": "60" } })],
    ["answers no token", () => Response.json({ hello: 1 })],
    [
      "refuses for another reason",
      () => Response.json({ error: "invalid_client" }, { status: 400 }),
    ],
    ["is gone", () => Promise.reject(new Error("connection refused"))],
  ])("still works when the token endpoint %s, as long as it is valid", (_, answer) =>
    withBench(async (bench) => {
      bench.answer = answer;
      await bench.account.create(SETTINGS, oauthCredential(), null);
      bench.nowMs = START_MS + HOUR_MS - 5_000;
      expect(await secretOf(bench)).toBe("access-1");
      bench.nowMs = START_MS + HOUR_MS;
      expect(await secretOf(bench)).toBe("refresh_failed");
      expect(bench.account.describe()?.trouble).toBeNull();
    }),
  );

  test("is not asked for over and over while the token endpoint is down, and comes back by itself", () =>
    withBench(async (bench) => {
      const working = bench.answer;
      bench.answer = () => new Response("", { status: 503 });
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      for (let index = 0; index < 50; index += 1) await secretOf(bench);
      expect(bench.calls).toHaveLength(1);
      bench.answer = working;
      bench.nowMs += 2_000;
      expect(await secretOf(bench)).toBe("access-3");
    }));

  test("whose grant is spent needs a new login: told once, and never tried again", () =>
    withBench(async (bench) => {
      bench.answer = () => Response.json({ error: "invalid_grant" }, { status: 400 });
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      expect(await secretOf(bench)).toBe("needs_relogin");
      expect(await secretOf(bench)).toBe("needs_relogin");
      await bench.settle();
      expect(bench.calls).toHaveLength(1);
      expect(bench.lastRow?.trouble?.kind).toBe("needs_relogin");
      expect(bench.logged.filter((line) => line.includes("needs_relogin"))).toHaveLength(1);
    }));

  test("of an API key or a setup token never expires and is never refreshed", () =>
    withBench(async (bench) => {
      const plain = { refresh: null, expiresAtMs: null, scopes: [] };
      await bench.account.create(SETTINGS, { kind: "api_key", access: "key", ...plain }, null);
      bench.nowMs += 1_000 * HOUR_MS;
      expect(await secretOf(bench)).toBe("key");
      expect(bench.calls).toEqual([]);
    }));
});

describe("a credential that upstream refused with 401", () => {
  test("is refreshed once for everyone whose request it failed", () =>
    withBench(async (bench) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      const secrets = await Promise.all(Array.from({ length: 100 }, () => secretOf(bench, 1)));
      expect(new Set(secrets)).toEqual(new Set(["access-2"]));
      expect(await secretOf(bench, 1)).toBe("access-2");
      expect(bench.calls).toHaveLength(1);
    }));

  test("and whose successor is refused too, rests for a minute, then two, and comes back by itself", () =>
    withBench(async (bench) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await secretOf(bench, 1);
      expect(await secretOf(bench, 2)).toBe("credential_rejected");
      expect(bench.calls).toHaveLength(1);
      const rest = () => (bench.account.describe()?.trouble?.untilMs ?? 0) - bench.nowMs;
      expect(rest()).toBe(60_000);
      bench.nowMs += 60_000;
      expect(await secretOf(bench)).toBe("access-2");
      expect(await secretOf(bench, 2)).toBe("credential_rejected");
      expect(rest()).toBe(120_000);
      bench.account.report({
        verdict: { kind: "served" },
        family: "opus",
        windows: {},
        atMs: bench.nowMs,
      });
      expect(bench.account.describe()?.trouble).toBeNull();
    }));

  test("is refreshed, and not given up, where a person gave it a moment ago", () =>
    withBench(async (bench) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await bench.account.update({}, undefined, oauthCredential({ access: "given" }));
      expect(await secretOf(bench)).toBe("given");
      expect(await secretOf(bench, 2)).toBe("access-2");
    }));

  test("is not handed out again while it cannot be refreshed", () =>
    withBench(async (bench) => {
      bench.answer = () => new Response("", { status: 503 });
      await bench.account.create(SETTINGS, oauthCredential(), null);
      expect(await secretOf(bench, 1)).toBe("refresh_failed");
    }));

  test("as an API key is trouble that a person must mend", () =>
    withBench(async (bench) => {
      const key = {
        kind: "api_key",
        access: "k",
        refresh: null,
        expiresAtMs: null,
        scopes: [],
      } as const;
      await bench.account.create(SETTINGS, { ...key, scopes: [] }, null);
      expect(await secretOf(bench, 1)).toBe("credential_rejected");
      expect(bench.account.describe()?.trouble?.kind).toBe("credential_rejected");
      await bench.account.reset();
      expect(bench.account.describe()?.trouble).toBeNull();
    }));
});

describe("ahead of time", () => {
  test.each([
    [
      "an account whose proxy cannot be dialled",
      KEY,
      { type: "http", host: "h", port: 1 } as const,
    ],
    ["another ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef", null],
  ])("the alarm does not spin over %s", async (_, key, proxy) => {
    const stub = env.CLAUDE_ACCOUNT.get(env.CLAUDE_ACCOUNT.idFromName(crypto.randomUUID()));
    await runInDurableObject(stub, async (_, { storage }) => {
      const maker = new Bench(storage, await Vault.open(KEY));
      await maker.account.create(SETTINGS, oauthCredential({ expiresAtMs: 0 }), proxy);
      await maker.settle();
      const bench = new Bench(storage, await Vault.open(key));
      for (let times = 0; times < 5; times += 1) {
        await bench.account.alarm();
        await bench.settle();
      }
      expect(await storage.getAlarm()).toBe(START_MS + 5 * 60_000);
      expect(bench.pushed.length).toBeLessThanOrEqual(1);
    });
  });

  test("the alarm refreshes before a request has to wait", () =>
    withBench(async (bench, storage) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await bench.settle();
      const alarmAtMs = await storage.getAlarm();
      expect(alarmAtMs).toBeLessThan(START_MS + HOUR_MS - 10_000);
      expect(alarmAtMs).toBeGreaterThanOrEqual(START_MS + HOUR_MS - 11 * 60_000);
      bench.nowMs = alarmAtMs ?? 0;
      await bench.account.alarm();
      expect(bench.calls).toHaveLength(1);
      expect(await secretOf(bench)).toBe("access-2");
      expect(await storage.getAlarm()).toBeGreaterThan(bench.nowMs);
    }));

  test("accounts that were added together are not refreshed together", async () => {
    const aheadMs: number[] = [];
    for (let index = 0; index < 5; index += 1) {
      await withBench(async (bench, storage) => {
        bench.nowMs += index * 200;
        const expiresAtMs = bench.nowMs + 8 * HOUR_MS;
        await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs }), null);
        await bench.settle();
        aheadMs.push(expiresAtMs - 10_000 - ((await storage.getAlarm()) ?? 0));
      });
    }
    expect(Math.max(...aheadMs)).toBeLessThanOrEqual(10 * 60_000);
    expect(Math.min(...aheadMs)).toBeGreaterThanOrEqual(5 * 60_000);
    expect(Math.max(...aheadMs) - Math.min(...aheadMs)).toBeGreaterThan(2 * 60_000);
  });

  test("an alarm whose refresh fails comes again, later", () =>
    withBench(async (bench, storage) => {
      bench.answer = () => new Response("", { status: 500 });
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await bench.settle();
      bench.nowMs = (await storage.getAlarm()) ?? 0;
      await bench.account.alarm();
      await bench.settle();
      expect(await storage.getAlarm()).toBe(bench.nowMs + 2_000);
    }));
});

describe("there is one object for an account's id", () => {
  test("two who make it at once make it once", () =>
    withBench(async (bench) => {
      const [first, second] = await Promise.all([
        bench.account.create(SETTINGS, oauthCredential(), null),
        bench.account.create(SETTINGS, oauthCredential({ access: "another" }), null),
      ]);
      expect(first).toMatchObject({ generation: 1 });
      expect(second).toBeNull();
      expect(await secretOf(bench)).toBe("access-1");
    }));

  /** A token endpoint in place of the network, which holds its answers back until it is told. */
  const tokenEndpoint = () => {
    const endpoint = { calls: 0, isHeld: true };
    vi.stubGlobal("fetch", async () => {
      endpoint.calls += 1;
      const access = `access-${endpoint.calls + 1}`;
      while (endpoint.isHeld) await scheduler.wait(5);
      return Response.json({ access_token: access, refresh_token: "r", expires_in: 3600 });
    });
    return endpoint;
  };
  afterEach(() => {
    vi.unstubAllGlobals();
  });
  const secretFrom = async (stub: DurableObjectStub<ClaudeAccount>) => {
    const acquired = await stub.acquire(null);
    return acquired.ok ? acquired.value.secret : acquired.error.kind;
  };
  const objectOf = (id: string) => env.CLAUDE_ACCOUNT.get(env.CLAUDE_ACCOUNT.idFromName(id));

  test("a thousand ask for a token that has run out while it is evicted: one refresh, all served", async () => {
    const id = crypto.randomUUID();
    const endpoint = tokenEndpoint();
    const expired = oauthCredential({ expiresAtMs: Date.now() - 1_000 });
    await objectOf(id).create(SETTINGS, expired, null);
    const askedFirst = Array.from({ length: 500 }, () => secretFrom(objectOf(id)));
    await vi.waitFor(() => expect(endpoint.calls).toBe(1));
    const evicted = evictDurableObject(objectOf(id));
    const askedThen = Array.from({ length: 500 }, () => secretFrom(objectOf(id)));
    await scheduler.wait(50);
    endpoint.isHeld = false;
    const secrets = await Promise.all([...askedFirst, ...askedThen]);
    await evicted;
    expect(new Set(secrets)).toEqual(new Set(["access-2"]));
    for (let wave = 0; wave < 3; wave += 1) {
      expect(await secretFrom(objectOf(id))).toBe("access-2");
      await evictDurableObject(objectOf(id));
    }
    expect(endpoint.calls).toBe(1);
  });

  test("one that is torn down in the middle of a refresh sends the refresh token once", async () => {
    const id = crypto.randomUUID();
    const endpoint = tokenEndpoint();
    await objectOf(id).create(
      SETTINGS,
      oauthCredential({ expiresAtMs: Date.now() + HOUR_MS }),
      null,
    );
    const refreshing = objectOf(id)
      .refreshNow()
      .catch(() => "torn down");
    await vi.waitFor(() => expect(endpoint.calls).toBe(1));
    await runInDurableObject(objectOf(id), (_, state) => state.abort("restart")).catch(() => {});
    expect(await refreshing).toBe("torn down");
    const secrets = await Promise.all(Array.from({ length: 100 }, () => secretFrom(objectOf(id))));
    expect(new Set(secrets)).toEqual(new Set(["access-1"]));
    await runDurableObjectAlarm(objectOf(id));
    expect(await objectOf(id).refreshNow()).toMatchObject({ ok: false });
    expect(endpoint.calls).toBe(1);
    endpoint.isHeld = false;
  });
});
