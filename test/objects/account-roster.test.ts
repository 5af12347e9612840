import { evictDurableObject, reset, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import type { NewCredential } from "../../durable-objects/claude-account/contract.ts";
import type { RosterRow } from "../../src/accounts/roster-row.ts";
import { Vault } from "../../src/accounts/vault.ts";
import {
  Bench,
  HOUR_MS,
  KEY,
  oauthCredential,
  rosterRows,
  SETTINGS,
  START_MS,
  secretOf,
  withBench,
} from "./account-bench.ts";

afterEach(() => reset());

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
