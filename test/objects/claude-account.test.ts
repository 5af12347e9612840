import {
  evictDurableObject,
  reset,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Account } from "../../durable-objects/claude-account/account.ts";
import type {
  AccountDependencies,
  NewCredential,
} from "../../durable-objects/claude-account/contract.ts";
import type { ClaudeAccount } from "../../durable-objects/claude-account.ts";
import { LATER_SETTINGS, parseRosterRow, type RosterRow } from "../../src/accounts/roster-row.ts";
import { Vault } from "../../src/accounts/vault.ts";
import { Egresses } from "../../src/egress/egress.ts";
import type { ForwardProxy } from "../../src/egress/forward-proxies.ts";

afterEach(() => reset());

const KEY = "fedcba9876543210fedcba9876543210";
/** Far ahead: the runtime fires an alarm of the past at once, and the test would not move the clock. */
const START_MS = Date.UTC(2099, 10, 23, 12, 0, 0);
const HOUR_MS = 3_600_000;
const SETTINGS = {
  ...LATER_SETTINGS,
  name: "A",
  description: "",
  tags: [],
  priority: 50,
  enabled: true,
};
const OAUTH = {
  authorizeUrl: "https://login.example/authorize",
  tokenUrl: "https://login.example/token",
  clientId: "client",
  redirectUri: "https://login.example/callback",
  scopes: "user:inference",
};

function oauthCredential(patch: Partial<NewCredential> = {}): NewCredential {
  return {
    kind: "oauth",
    access: "access-1",
    refresh: "refresh-1",
    expiresAtMs: START_MS + HOUR_MS,
    scopes: ["user:inference"],
    ...patch,
  };
}

interface TokenCall {
  grant_type: string;
  refresh_token?: string;
  code?: string;
  code_verifier?: string;
  state?: string;
}

/** An account's core with a clock, a token endpoint and a Fleet that the test moves. */
class Bench {
  readonly account: Account;
  readonly pushed: RosterRow[] = [];
  readonly removed: string[] = [];
  readonly calls: TokenCall[] = [];
  /** Who was asked for each of them. */
  readonly hosts: string[] = [];
  readonly logged: string[] = [];
  nowMs = START_MS;
  fleetIsDown = false;
  /** What the token endpoint answers; by default it rotates. */
  answer: (call: TokenCall, count: number) => Response | Promise<Response> = (_, count) =>
    Response.json({
      access_token: `access-${count + 1}`,
      refresh_token: `refresh-${count + 1}`,
      expires_in: 3600,
      scope: "user:inference",
    });
  readonly #background: Promise<void>[] = [];

  constructor(
    storage: DurableObjectStorage,
    vault: Vault,
    forwardProxies: readonly ForwardProxy[] = [],
  ) {
    const deps: AccountDependencies = {
      id: "account-id",
      storage,
      vault,
      oauth: OAUTH,
      egress: new Egresses({ forwardProxies, forwardProxySecret: KEY }, async (url, init) => {
        this.hosts.push(new URL(url).host);
        const call = JSON.parse(String(init.body)) as TokenCall;
        this.calls.push(call);
        return this.answer(call, this.calls.length);
      }),
      now: () => this.nowMs,
      pushRow: async (row) => {
        if (this.fleetIsDown) throw new Error("the Fleet is down");
        this.pushed.push(row);
      },
      pushRemoval: async (id) => {
        this.removed.push(id);
      },
      background: (_, work) => {
        this.#background.push(work);
      },
      log: (level, event, detail) => {
        this.logged.push(`${level} ${event} ${JSON.stringify(detail ?? {})}`);
      },
    };
    this.account = new Account(deps);
  }

  async settle(): Promise<void> {
    await Promise.all(this.#background);
  }

  get lastRow(): RosterRow | undefined {
    return this.pushed.at(-1);
  }
}

async function withBench(
  run: (bench: Bench, storage: DurableObjectStorage, again: () => Promise<Bench>) => Promise<void>,
): Promise<void> {
  const stub = env.CLAUDE_ACCOUNT.get(env.CLAUDE_ACCOUNT.idFromName(crypto.randomUUID()));
  await runInDurableObject(stub, async (_, state) => {
    const make = async () => new Bench(state.storage, await Vault.open(KEY));
    await run(await make(), state.storage, make);
  });
}

const secretOf = async (bench: Bench, rejected: number | null = null) => {
  const acquired = await bench.account.acquire(rejected);
  return acquired.ok ? acquired.value.secret : acquired.error.kind;
};

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

describe("while a refresh is under way", () => {
  /** Holds the token endpoint's answer back until the test lets it go. */
  const held = (bench: Bench) => {
    const answer = bench.answer;
    let letGo = () => {};
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    bench.answer = async (call, count) => {
      await gate;
      return answer(call, count);
    };
    return () => letGo();
  };

  test("whoever comes later waits for it, although the old token has a few seconds left", () =>
    withBench(async (bench) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      bench.nowMs = START_MS + HOUR_MS - 5_000;
      const letGo = held(bench);
      const first = secretOf(bench);
      await vi.waitFor(() => expect(bench.calls).toHaveLength(1));
      const second = secretOf(bench);
      letGo();
      expect(await Promise.all([first, second])).toEqual(["access-2", "access-2"]);
    }));

  test("a proxy that is set or removed does not lose what comes back", () =>
    withBench(async (bench) => {
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      const letGo = held(bench);
      const asked = secretOf(bench);
      await bench.account.update({}, null, null);
      letGo();
      expect(await asked).toBe("access-2");
      bench.nowMs += 2 * HOUR_MS;
      await secretOf(bench);
      expect(bench.calls.map((call) => call.refresh_token)).toEqual(["refresh-1", "refresh-2"]);
    }));

  test("a credential that a person gives wins over what comes back", () =>
    withBench(async (bench) => {
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      const letGo = held(bench);
      const asked = secretOf(bench);
      const given = oauthCredential({ access: "given", refresh: "refresh-given" });
      await bench.account.update({}, undefined, given);
      letGo();
      expect(await asked).toBe("given");
      expect(await secretOf(bench)).toBe("given");
    }));

  test("an account that is removed gets no credential back", () =>
    withBench(async (bench, storage) => {
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      const letGo = held(bench);
      const asked = secretOf(bench);
      await bench.account.remove();
      letGo();
      expect(await asked).toBe("account_unknown");
      expect(storage.sql.exec("SELECT * FROM credential").toArray()).toEqual([]);
    }));

  test.each([
    ["a lifetime as text", { expires_in: "3600" }],
    ["a lifetime of nothing", { expires_in: 0 }],
    ["scopes as a list", { scope: ["user:inference"] }],
    ["an account that is no object", { account: "a" }],
    ["an organisation that is no object", { organization: false }],
  ])("an answer with %s does not cost the login", (_, odd) =>
    withBench(async (bench) => {
      bench.answer = () =>
        Response.json({ access_token: "new", refresh_token: "r2", expires_in: 3600, ...odd });
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      expect(await secretOf(bench)).toBe("new");
      bench.nowMs += 24 * HOUR_MS;
      await secretOf(bench);
      expect(bench.calls[1]?.refresh_token).toBe("r2");
    }),
  );
});

describe("a refresh that got no answer may have used up its refresh token", () => {
  /** The refresh of an account has been sent, and nobody is left to take the answer. */
  async function cutOff(bench: Bench, begin: () => Promise<unknown>): Promise<void> {
    bench.answer = () => new Promise(() => {});
    void begin();
    await vi.waitFor(() => expect(bench.calls).toHaveLength(1));
  }
  const begunRows = (storage: DurableObjectStorage) =>
    storage.sql.exec("SELECT at_ms FROM refresh_begun").toArray();

  test("so an object that was evicted meanwhile goes on with the access token, and sends it to nobody", () =>
    withBench(async (bench, storage, again) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await bench.settle();
      bench.nowMs = (await storage.getAlarm()) ?? 0;
      const begunAtMs = bench.nowMs;
      await cutOff(bench, () => bench.account.alarm());
      const woken = await again();
      woken.nowMs = begunAtMs + 1_000;
      await woken.account.alarm();
      expect(await storage.getAlarm()).toBe(START_MS + HOUR_MS);
      expect(await secretOf(woken)).toBe("access-1");
      const asked = await woken.account.refreshNow();
      expect(asked).toMatchObject({
        ok: false,
        error: { kind: "refresh_failed", retryAtMs: START_MS + HOUR_MS },
      });
      expect(JSON.stringify(asked)).toContain(new Date(begunAtMs).toISOString());
      woken.nowMs = START_MS + HOUR_MS - 1;
      await woken.account.alarm();
      expect(await secretOf(woken)).toBe("access-1");
      expect(woken.calls).toEqual([]);
    }));

  test("it is tried once more, by alarm, when the access token has run out; and all may be well", () =>
    withBench(async (bench, storage, again) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await cutOff(bench, () => bench.account.refreshNow());
      const woken = await again();
      woken.nowMs = START_MS + HOUR_MS;
      await woken.account.alarm();
      expect(woken.calls).toMatchObject([{ refresh_token: "refresh-1" }]);
      expect(await secretOf(woken)).toBe("access-2");
      expect(woken.calls).toHaveLength(1);
      expect(begunRows(storage)).toEqual([]);
      expect(woken.logged.join()).toContain("account.refresh_repeated");
    }));

  test("where it was used up, the need for a new login says what happened", () =>
    withBench(async (bench, _, again) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await cutOff(bench, () => bench.account.refreshNow());
      const woken = await again();
      woken.nowMs = START_MS + HOUR_MS;
      woken.answer = () =>
        Response.json(
          { error: "invalid_grant", error_description: "Refresh token not found or invalid" },
          { status: 400 },
        );
      expect(await secretOf(woken)).toBe("needs_relogin");
      expect(await secretOf(woken)).toBe("needs_relogin");
      expect(woken.calls).toHaveLength(1);
      expect(woken.account.describe()?.trouble?.detail).toBe(
        `Refresh token not found or invalid: the refresh that began at ${new Date(START_MS).toISOString()} got no answer, and has most likely used up the refresh token.`,
      );
    }));

  test("an access token that upstream refuses leaves nothing to lose: it is tried at once", () =>
    withBench(async (bench, _, again) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await cutOff(bench, () => bench.account.refreshNow());
      const woken = await again();
      expect(await secretOf(woken, 1)).toBe("access-2");
      expect(woken.calls).toHaveLength(1);
    }));

  test("a new login takes its place, and is refreshed ahead of time as ever", () =>
    withBench(async (bench, storage, again) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await cutOff(bench, () => bench.account.refreshNow());
      const woken = await again();
      const given = oauthCredential({ access: "given", refresh: "refresh-given" });
      await woken.account.update({}, undefined, given);
      await woken.settle();
      expect(begunRows(storage)).toEqual([]);
      woken.nowMs = (await storage.getAlarm()) ?? 0;
      expect(woken.nowMs).toBeLessThan(START_MS + HOUR_MS);
      await woken.account.alarm();
      expect(woken.calls).toMatchObject([{ refresh_token: "refresh-given" }]);
    }));

  const gateway = (status: number) => () => new Response("", { status });
  test.each([
    ["the connection breaks", true, () => Promise.reject(new Error("connection lost"))],
    ["a gateway answers 502", true, gateway(502)],
    ["a gateway answers 504", true, gateway(504)],
    ["a gateway answers 524", true, gateway(524)],
    ["the answer holds no token", true, () => Response.json({ hello: 1 })],
    ["upstream says that it failed", false, gateway(500)],
    ["upstream says that it is not there", false, gateway(503)],
    ["upstream says later", false, gateway(429)],
    ["upstream refuses", false, () => Response.json({ error: "invalid_client" }, { status: 400 })],
  ])("%s: the object that lives on waits for the end of the access token: %j", (_, waits, answer) =>
    withBench(async (bench, storage) => {
      bench.answer = answer;
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await bench.settle();
      bench.nowMs = (await storage.getAlarm()) ?? 0;
      await bench.account.alarm();
      expect(begunRows(storage)).toHaveLength(waits ? 1 : 0);
      expect(await storage.getAlarm()).toBe(waits ? START_MS + HOUR_MS : bench.nowMs + 2_000);
      bench.nowMs += 2_000;
      await bench.account.alarm();
      expect(bench.calls).toHaveLength(waits ? 1 : 2);
      expect(await secretOf(bench)).toBe("access-1");
      expect(bench.account.describe()?.trouble).toBeNull();
      expect(bench.logged.filter((line) => line.startsWith("error"))).toEqual([]);
    }),
  );

  test("a refusal of the second try does not make the first one's outcome known", () =>
    withBench(async (bench, storage) => {
      bench.answer = () => Promise.reject(new Error("connection lost"));
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      await secretOf(bench);
      bench.answer = gateway(503);
      bench.nowMs += 2_000;
      await secretOf(bench);
      expect(bench.calls).toHaveLength(2);
      expect(begunRows(storage)).toEqual([{ at_ms: START_MS }]);
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

describe("a login", () => {
  const begin = async (bench: Bench) => {
    const { authUrl } = await bench.account.beginLogin(null);
    return new URL(authUrl).searchParams;
  };
  const kindOf = async (bench: Bench, paste: string) => {
    const finished = await bench.account.finishLogin(paste);
    return finished.ok ? "ok" : finished.error.kind;
  };

  test("sends S256 of the verifier that the exchange then shows, and its own state", () =>
    withBench(async (bench) => {
      const query = await begin(bench);
      expect(query.get("code_challenge_method")).toBe("S256");
      expect(query.get("client_id")).toBe("client");
      expect(query.get("state")?.length).toBeGreaterThanOrEqual(43);
      expect(await kindOf(bench, `code#${query.get("state")}`)).toBe("ok");
      const [call] = bench.calls;
      expect(call).toMatchObject({ grant_type: "authorization_code", code: "code" });
      expect(call?.state).toBe(query.get("state"));
      const digest = await crypto.subtle.digest(
        "SHA-256",
        new TextEncoder().encode(call?.code_verifier),
      );
      const challenge = btoa(String.fromCharCode(...new Uint8Array(digest)))
        .replaceAll("+", "-")
        .replaceAll("/", "_")
        .replaceAll("=", "");
      expect(query.get("code_challenge")).toBe(challenge);
    }));

  test("with another login's state is refused, and nothing is sent", () =>
    withBench(async (bench) => {
      await begin(bench);
      expect(await kindOf(bench, "code#someone-elses-state")).toBe("state_mismatch");
      expect(bench.calls).toEqual([]);
    }));

  test("a wrong paste can be mended until ten minutes have passed", () =>
    withBench(async (bench) => {
      await begin(bench);
      const working = bench.answer;
      expect(await kindOf(bench, "not a code")).toBe("bad_paste");
      bench.answer = () => Response.json({ error: "invalid_grant" }, { status: 400 });
      expect(await kindOf(bench, "wrong")).toBe("token_error");
      bench.answer = working;
      expect(await kindOf(bench, "right")).toBe("ok");
      await begin(bench);
      bench.nowMs += 10 * 60_000;
      expect(await kindOf(bench, "right")).toBe("no_login");
    }));

  test("spends a code once, although it was pasted twice at the same moment", () =>
    withBench(async (bench) => {
      await begin(bench);
      const kinds = await Promise.all([kindOf(bench, "code"), kindOf(bench, "code")]);
      expect(kinds.sort()).toEqual(["bad_paste", "ok"]);
      expect(bench.calls).toHaveLength(1);
    }));

  test("becomes an account once, and its tokens serve", () =>
    withBench(async (bench) => {
      expect(await bench.account.createFromLogin(SETTINGS)).toBeNull();
      await begin(bench);
      expect(await bench.account.createFromLogin(SETTINGS)).toBeNull();
      await kindOf(bench, "code");
      expect(await secretOf(bench)).toBe("account_unknown");
      expect(await bench.account.createFromLogin(SETTINGS)).toMatchObject({ kind: "oauth" });
      expect(await bench.account.createFromLogin(SETTINGS)).toBeNull();
      expect(await secretOf(bench)).toBe("access-2");
    }));

  test("that was never finished leaves nothing behind", () =>
    withBench(async (bench, storage) => {
      await begin(bench);
      bench.nowMs = (await storage.getAlarm()) ?? 0;
      await bench.account.alarm();
      expect(storage.sql.exec("SELECT * FROM login").toArray()).toEqual([]);
      expect(await storage.getAlarm()).toBeNull();
    }));

  test("of an account that exists replaces its credential and ends its trouble", () =>
    withBench(async (bench) => {
      bench.answer = () => Response.json({ error: "invalid_grant" }, { status: 400 });
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
      await secretOf(bench);
      bench.answer = () =>
        Response.json({ access_token: "fresh", refresh_token: "r", expires_in: 60 });
      await begin(bench);
      expect(await kindOf(bench, "code")).toBe("ok");
      expect(await secretOf(bench)).toBe("fresh");
      expect(bench.lastRow).toMatchObject({ trouble: null, generation: 2 });
    }));
});

describe("the roster", () => {
  test("hears of every change, and again after it could not be reached", () =>
    withBench(async (bench, storage) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      bench.fleetIsDown = true;
      await bench.account.update({ enabled: false }, undefined, null);
      await bench.settle();
      expect(bench.lastRow?.enabled).toBe(true);
      expect(await storage.getAlarm()).toBe(START_MS + 5_000);
      bench.fleetIsDown = false;
      await bench.account.alarm();
      expect(bench.lastRow?.enabled).toBe(false);
    }));

  test("never sees a secret", () =>
    withBench(async (bench, storage) => {
      const proxy = {
        type: "socks5",
        host: "h",
        port: 1,
        username: "u",
        password: "proxy-pass",
      } as const;
      await bench.account.create(SETTINGS, oauthCredential(), proxy);
      await bench.settle();
      const shown = JSON.stringify([
        bench.pushed,
        await bench.account.describeProxy(),
        bench.logged,
      ]);
      expect(shown).not.toMatch(/access-1|refresh-1|proxy-pass/);
      const tables = ["account", "credential", "proxy", "login", "refresh_begun", "outbox"];
      const stored = tables.map((table) => storage.sql.exec(`SELECT * FROM ${table}`).toArray());
      expect(JSON.stringify(stored)).not.toMatch(/access-1|refresh-1|proxy-pass/);
    }));

  test("a proxy that is set makes Workers drop the credential they hold, and with it the old way", () =>
    withBench(async (bench) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      const proxy = { type: "http", host: "h", port: 1 } as const;
      const row = await bench.account.update({}, proxy, null);
      expect(row).toMatchObject({ hasProxy: true, generation: 2 });
      expect(await bench.account.update({}, null, null)).toMatchObject({
        hasProxy: false,
        generation: 3,
      });
    }));

  test("an account with a proxy that cannot be dialled never goes direct", () =>
    withBench(async (bench) => {
      const proxy = { type: "http", host: "h", port: 1 } as const;
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), proxy);
      expect(await secretOf(bench)).toBe("no_egress");
      expect(bench.calls).toEqual([]);
    }));

  test("an account with a proxy refreshes through a forward proxy, and hands its proxy out with its credential", () =>
    withBench(async (_, storage) => {
      const forwardProxies = [{ name: "one", url: "https://one.example" }];
      const bench = new Bench(storage, await Vault.open(KEY), forwardProxies);
      const answered = bench.answer;
      bench.answer = async (call, count) => {
        const answer = await answered(call, count);
        answer.headers.set("x-forward-proxy-answer", "upstream");
        return answer;
      };
      const proxy = { type: "http", host: "h", port: 1, password: "p" } as const;
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), proxy);
      expect(await bench.account.acquire(null)).toMatchObject({
        ok: true,
        value: { secret: "access-2", proxy },
      });
      expect(bench.hosts).toEqual(["one.example"]);
      await bench.account.update({}, null, null);
      expect(await bench.account.acquire(null)).toMatchObject({ value: { proxy: null } });
      bench.nowMs += 2 * HOUR_MS;
      await secretOf(bench);
      expect(bench.hosts).toEqual(["one.example", "login.example"]);
    }));

  test("the true reason of a refresh whose way failed is kept, and the login with it", () =>
    withBench(async (_, storage) => {
      const forwardProxies = [{ name: "one", url: "https://one.example" }];
      const bench = new Bench(storage, await Vault.open(KEY), forwardProxies);
      bench.answer = () =>
        new Response("{}", {
          status: 502,
          headers: {
            "x-forward-proxy-answer": "own",
            "x-forward-proxy-error": "proxy_auth_failed",
          },
        });
      const proxy = { type: "http", host: "h", port: 1 } as const;
      await bench.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), proxy);
      const acquired = await bench.account.acquire(null);
      expect(acquired).toMatchObject({ ok: false, error: { kind: "refresh_failed" } });
      expect(acquired.ok ? "" : acquired.error.message).toContain(
        "its proxy refused the user name",
      );
      expect(bench.account.describe()?.trouble).toBeNull();
    }));

  test("a credential whose proxy cannot be read is not handed out: it would go direct", () =>
    withBench(async (bench, storage) => {
      await bench.account.create(SETTINGS, oauthCredential(), {
        type: "http",
        host: "h",
        port: 1,
      });
      const [credential] = storage.sql.exec("SELECT sealed_access FROM credential").toArray();
      storage.sql.exec("UPDATE proxy SET sealed = ?", String(credential?.sealed_access));
      expect(await secretOf(bench)).toBe("damaged_credential");
    }));

  test("a credential that is copied into another account's object does not open there", async () => {
    const copied = await rowsOfOther();
    await withBench(async (bench, storage) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      expect(await secretOf(bench)).toBe("access-1");
      storage.sql.exec(
        "UPDATE credential SET sealed_access = ?, sealed_refresh = ?",
        copied.access,
        copied.refresh,
      );
      const woken = new Bench(storage, await Vault.open(KEY));
      expect(await secretOf(woken)).toBe("damaged_credential");
      expect(woken.calls).toEqual([]);
    });
  });

  /** Another account's credential, sealed under the same key. */
  async function rowsOfOther(): Promise<{ access: string; refresh: string }> {
    const vault = await Vault.open(KEY);
    const [access, refresh] = await Promise.all([
      vault.seal("another-account", "credential.access", "access-of-another"),
      vault.seal("another-account", "credential.refresh", "refresh-of-another"),
    ]);
    return { access, refresh };
  }

  test("an account that was removed is gone, and a late report does not bring it back", () =>
    withBench(async (bench, storage) => {
      await bench.account.create(SETTINGS, oauthCredential(), null);
      await bench.account.remove();
      expect(bench.removed).toEqual(["account-id"]);
      const verdict = { kind: "rate_limited", scope: "account", untilMs: null } as const;
      const late = bench.account.report({ verdict, family: "opus", windows: {}, atMs: START_MS });
      expect(late).toBeNull();
      expect(await secretOf(bench)).toBe("account_unknown");
      expect(storage.sql.exec("SELECT * FROM credential").toArray()).toEqual([]);
    }));
});

test("under another ENCRYPTION_KEY nothing is read and nothing is overwritten", async () => {
  const stub = env.CLAUDE_ACCOUNT.get(env.CLAUDE_ACCOUNT.idFromName(crypto.randomUUID()));
  await runInDurableObject(stub, async (_, state) => {
    const right = new Bench(state.storage, await Vault.open(KEY));
    await right.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
    const rows = () => JSON.stringify(state.storage.sql.exec("SELECT * FROM credential").toArray());
    const before = rows();
    const wrong = new Bench(state.storage, await Vault.open("0123456789abcdef0123456789abcdef"));
    expect(await secretOf(wrong)).toBe("other_encryption_key");
    expect(await secretOf(wrong, 1)).toBe("other_encryption_key");
    await wrong.account.alarm();
    expect(rows()).toBe(before);
    expect(wrong.calls).toEqual([]);
    expect(await secretOf(right)).toBe("access-2");
  });
});

async function rosterRows(): Promise<RosterRow[]> {
  const { rows } = await env.FLEET.get(env.FLEET.idFromName("fleet")).snapshot(null);
  return (rows ?? []).map(parseRosterRow);
}
describe("sealed anew under another key", () => {
  const NEW_KEY = "0123456789abcdef0123456789abcdef";
  const PROXY = { type: "http" as const, host: "proxy.example", port: 80, password: "hidden" };
  const TABLES = ["credential", "proxy", "login"];

  interface Rotated {
    /** The account as it was, under the old key. */
    old: Bench;
    /** The same under the new key, with the old one to open what is there. */
    both: Bench;
    /** Under the new key alone. */
    alone: () => Promise<Bench>;
    storage: DurableObjectStorage;
    /** Every sealed text that is stored. */
    sealed: () => string[];
    kid: string;
  }

  /** @param slowly may hold the vault's seals back */
  async function withRotation(
    run: (rotated: Rotated) => Promise<void>,
    slowly: () => Promise<void> = async () => {},
  ): Promise<void> {
    const stub = env.CLAUDE_ACCOUNT.get(env.CLAUDE_ACCOUNT.idFromName(crypto.randomUUID()));
    await runInDurableObject(stub, async (_, { storage }) => {
      const old = new Bench(storage, await Vault.open(KEY));
      const vault = await Vault.open(NEW_KEY, [KEY]);
      const slow = {
        kid: vault.kid,
        unseal: (...args: Parameters<Vault["unseal"]>) => vault.unseal(...args),
        async seal(...args: Parameters<Vault["seal"]>) {
          await slowly();
          return vault.seal(...args);
        },
      } as unknown as Vault;
      await run({
        old,
        both: new Bench(storage, slow),
        alone: async () => new Bench(storage, await Vault.open(NEW_KEY)),
        storage,
        sealed: () =>
          TABLES.flatMap((table) => storage.sql.exec(`SELECT * FROM ${table}`).toArray())
            .flatMap(Object.values)
            .filter((value): value is string => String(value).startsWith("v1.")),
        kid: vault.kid,
      });
    });
  }

  test("an account needs the old one no more: its credential, its proxy, and a login under way", () =>
    withRotation(async ({ old, both, alone, sealed, kid }) => {
      await old.account.create(SETTINGS, oauthCredential(), PROXY);
      const { authUrl } = await old.account.beginLogin(null);
      const before = old.account.describe();
      expect(sealed()).toHaveLength(5);
      expect(await both.account.reseal()).toEqual({
        ok: true,
        value: { isChanged: true, under: kid },
      });
      expect(sealed()).toHaveLength(5);
      for (const text of sealed()) expect(text).toMatch(new RegExp(`^v1\\.${kid}\\.`));
      const revision = (before?.revision ?? 0) + 1;
      expect(both.lastRow).toEqual({ ...before, sealedUnder: kid, revision });

      const later = await alone();
      expect(await secretOf(later)).toBe("access-1");
      expect(await later.account.describeProxy()).toMatchObject({ host: PROXY.host });
      await later.account.update({}, null, null);
      const state = new URL(authUrl).searchParams.get("state");
      expect(await later.account.finishLogin(`code#${state}`)).toMatchObject({ ok: true });
    }));

  test("a second time nothing is written", () =>
    withRotation(async ({ old, both, sealed }) => {
      await old.account.create(SETTINGS, oauthCredential(), PROXY);
      await both.account.reseal();
      const before = sealed();
      const pushes = both.pushed.length;
      expect(await both.account.reseal()).toMatchObject({ ok: true, value: { isChanged: false } });
      expect(sealed()).toEqual(before);
      expect(both.pushed).toHaveLength(pushes);
    }));

  test("what a refresh brings back meanwhile is not lost, whichever began first", async () => {
    for (const isRefreshFirst of [true, false]) {
      let letGo = () => {};
      const gate = new Promise<void>((resolve) => {
        letGo = resolve;
      });
      const slowly = () => (isRefreshFirst ? Promise.resolve() : gate);
      await withRotation(async ({ old, both, alone }) => {
        await old.account.create(SETTINGS, oauthCredential({ expiresAtMs: START_MS }), null);
        const answer = both.answer;
        both.answer = async (call, count) => {
          if (isRefreshFirst) await gate;
          return answer(call, count);
        };
        const resealed = isRefreshFirst ? null : both.account.reseal();
        const asked = secretOf(both);
        const late = resealed ?? both.account.reseal();
        letGo();
        expect(await asked).toBe("access-2");
        expect(await late).toMatchObject({ ok: true });
        const later = await alone();
        later.nowMs += 2 * HOUR_MS;
        await secretOf(later);
        expect(later.calls).toMatchObject([{ refresh_token: "refresh-2" }]);
      }, slowly);
    }
  });

  test("a credential and a proxy that a person gives meanwhile stay", async () => {
    let letGo = () => {};
    const gate = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    await withRotation(
      async ({ old, both, alone, storage }) => {
        await old.account.create(SETTINGS, oauthCredential(), PROXY);
        const resealed = both.account.reseal();
        // Another instance of the same account, whose seals do not wait.
        const giving = new Bench(storage, await Vault.open(NEW_KEY, [KEY]));
        const given = { ...oauthCredential(), access: "given" };
        await giving.account.update({}, { ...PROXY, host: "other.example" }, given);
        letGo();
        expect(await resealed).toMatchObject({ ok: true });
        const later = await alone();
        expect(await secretOf(later)).toBe("given");
        expect(await later.account.describeProxy()).toMatchObject({ host: "other.example" });
      },
      () => gate,
    );
  });

  test("an account that cannot be opened stays as it is, and says why", () =>
    withRotation(async ({ old, both, alone, storage, sealed }) => {
      await old.account.create(SETTINGS, oauthCredential(), PROXY);
      const before = sealed();
      const foreign = await (await alone()).account.reseal();
      expect(foreign).toMatchObject({ ok: false, error: { kind: "other_encryption_key" } });
      expect(sealed()).toEqual(before);
      storage.sql.exec("UPDATE proxy SET sealed = sealed || 'x'");
      const damaged = await both.account.reseal();
      expect(damaged).toMatchObject({ ok: false, error: { kind: "damaged_credential" } });
      // Its way out cannot be read, so it does not serve; nothing else was touched.
      expect(await secretOf(old)).toBe("damaged_credential");
      storage.sql.exec("UPDATE proxy SET sealed = substr(sealed, 1, length(sealed) - 1)");
      expect(await secretOf(old)).toBe("access-1");
      const nobody = env.CLAUDE_ACCOUNT.get(env.CLAUDE_ACCOUNT.idFromName(crypto.randomUUID()));
      expect(await nobody.reseal()).toMatchObject({ error: { kind: "account_unknown" } });
    }));
});

test("the object itself keeps its account over an eviction, and the Fleet lists it", async () => {
  const id = crypto.randomUUID();
  const stub = env.CLAUDE_ACCOUNT.get(env.CLAUDE_ACCOUNT.idFromName(id));
  const key: NewCredential = {
    kind: "api_key",
    access: "sk-ant-api03-x",
    refresh: null,
    expiresAtMs: null,
    scopes: [],
  };
  expect(await stub.create(SETTINGS, key, null)).toMatchObject({ id, kind: "api_key" });
  expect(await stub.create(SETTINGS, key, null)).toBeNull();
  await evictDurableObject(stub);
  expect(await stub.acquire(null)).toMatchObject({ ok: true, value: { secret: "sk-ant-api03-x" } });
  expect(await rosterRows()).toMatchObject([{ id, name: "A" }]);
  await stub.remove();
  expect(await rosterRows()).toEqual([]);
  expect(await runDurableObjectAlarm(stub)).toBe(false);
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

test("a roster row that arrives late never replaces a newer one, or a removed one", async () => {
  const fleet = env.FLEET.get(env.FLEET.idFromName("fleet"));
  const row = { id: "a", name: "new", revision: 2 } as RosterRow;
  await fleet.push(row);
  await fleet.push({ ...row, name: "old", revision: 1 });
  expect(await rosterRows()).toMatchObject([{ name: "new" }]);
  await fleet.remove("a");
  await fleet.push({ ...row, revision: 3 });
  expect(await rosterRows()).toEqual([]);
  await fleet.remove("never seen");
  await fleet.push({ ...row, id: "never seen" });
  expect(await rosterRows()).toEqual([]);
});
