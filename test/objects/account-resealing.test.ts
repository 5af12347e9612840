import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test } from "vitest";
import { Vault } from "../../src/accounts/vault.ts";
import {
  Bench,
  HOUR_MS,
  KEY,
  oauthCredential,
  SETTINGS,
  START_MS,
  secretOf,
} from "./account-bench.ts";

afterEach(() => reset());

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
