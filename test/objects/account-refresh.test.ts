import { reset } from "cloudflare:test";
import { afterEach, describe, expect, test, vi } from "vitest";
import {
  type Bench,
  HOUR_MS,
  oauthCredential,
  SETTINGS,
  START_MS,
  secretOf,
  withBench,
} from "./account-bench.ts";

afterEach(() => reset());

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
