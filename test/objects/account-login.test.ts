import { reset } from "cloudflare:test";
import { afterEach, describe, expect, test } from "vitest";
import {
  type Bench,
  oauthCredential,
  SETTINGS,
  START_MS,
  secretOf,
  withBench,
} from "./account-bench.ts";

afterEach(() => reset());

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
