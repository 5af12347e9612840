import { describe, expect, test, vi } from "vitest";
import { CredentialCache } from "../../src/accounts/credential-cache.ts";
import { AccountLoad } from "../../src/accounts/load.ts";
import { Pool } from "../../src/accounts/pool.ts";
import { EgressFailed } from "../../src/egress/fault.ts";
import { Gate } from "../../src/relay/gate.ts";
import { relay } from "../../src/relay/relay.ts";
import type { RelayCall } from "../../src/relay/relay-call.ts";
import { Reported } from "../../src/relay/report.ts";
import { Sender, type SendResult } from "../../src/relay/send.ts";
import type { Services } from "../../src/relay/services.ts";
import { settle } from "../../src/relay/settle.ts";
import type { Outcome, Settlement } from "../../src/relay/settlement.ts";
import { fail, ok } from "../../src/result.ts";
import { LISTED_PRICES } from "../../src/upstream/price-list.ts";
import { emptyReading } from "../../src/upstream/usage.ts";
import { rowOf } from "./roster-rows.ts";

describe("a request whose admission was not heard of", () => {
  test("is settled as refused: it may have been let in, and would count as running", async () => {
    const settled: Settlement[] = [];
    const background: Promise<unknown>[] = [];
    const services = {
      keys: { peek: () => ({ id: "k", version: 1, limits: {}, boundTo: null }) },
      failedKeys: null,
      importedKeys: null,
      config: { clientAddressHeader: "" },
      pins: new Map(),
      threads: new Map(),
      roster: { peek: () => null, pool: async () => null, isLedgerWatched: false },
      gate: new Gate(() => {}),
      meterLink: {
        admit: async () => {
          throw new Error("the answer was lost");
        },
        settle: async (_: string, settlement: Settlement) => void settled.push(settlement),
      },
      log: () => {},
    } as unknown as Services;
    const request = new Request("https://relay.example/v1/messages", {
      method: "POST",
      headers: { "x-api-key": `cr_${"0123456789abcdef".repeat(4)}` },
      body: JSON.stringify({ model: "claude-sonnet-5", max_tokens: 1, messages: [] }),
    });
    const ctx = {
      waitUntil: (work: Promise<unknown>) => background.push(work),
    } as unknown as ExecutionContext;
    const answer = await relay(request, services, ctx, "/v1/messages", true);
    await Promise.all(background);
    expect(answer.status).toBe(503);
    expect(settled).toMatchObject([{ outcome: "refused", status: 503, accountId: null }]);
  });
});

describe("an answer of which nothing was read", () => {
  async function billed(
    outcome: Outcome,
    isServed: boolean,
    mayBeBilled = false,
  ): Promise<boolean> {
    const settled: Settlement[] = [];
    const call = {
      services: {
        roster: { isLedgerWatched: false, prices: LISTED_PRICES },
        meterLink: { settle: async (_: string, one: Settlement) => void settled.push(one) },
        log: () => {},
      },
      key: { id: "k" },
      fields: { model: "claude-sonnet-5" },
      startedAtMs: 0,
    } as unknown as RelayCall;
    const served = { row: { id: "a" }, chosenBy: "hash" };
    const outcomeOf = isServed ? ok(served) : fail({ kind: "internal" });
    const attempts = isServed ? [{ accountId: "a" }] : [];
    const sent = { outcome: outcomeOf, attempts, mayBeBilled } as unknown as SendResult;
    await settle(call, sent, { outcome, reading: emptyReading() }, 200, null);
    return settled[0]?.bill.estimated ?? false;
  }

  test("is an estimate where the client left: upstream had begun it, and bills it", async () => {
    expect(await billed("client_closed", true)).toBe(true);
  });

  test("is an estimate where an attempt may have reached upstream, and nobody heard its answer", async () => {
    expect(await billed("refused", false, true)).toBe(true);
    expect(await billed("completed", true, true)).toBe(true);
  });

  test("is no estimate where upstream refused, or none was asked", async () => {
    expect(await billed("upstream_error", true)).toBe(false);
    expect(await billed("client_closed", false)).toBe(false);
  });
});

describe("a request to which no answer came", () => {
  const senderOn = (
    pool: Pool,
    request: Request,
    fetchFails: () => Promise<Response>,
    load = new AccountLoad(),
  ) =>
    new Sender({
      services: {
        roster: { pool: async () => pool, newerPool: async () => null, patch: () => {} },
        credentials: { peek: () => ({ kind: "api_key", access: "sk", generation: 1 }) },
        load,
        egress: { of: () => ({ fetch: fetchFails }) },
        reported: new Reported(),
        account: () => ({ report: async () => null }),
        config: { failover: { maxAccounts: 1, budgetMs: 1 }, anthropicApiUrl: "https://a.example" },
        log: () => {},
      } as unknown as Services,
      ctx: { waitUntil: () => {} },
      request,
      key: { id: "k", boundTo: null },
      fields: { stream: false },
      startedAtMs: 0,
      family: "sonnet",
      session: null,
      pinnedTo: null,
    } as unknown as RelayCall);

  test.each([
    // Refused, or broken off with the request on its way: it cannot be told apart.
    { code: "forward_proxy_unreachable", mayBeBilled: true },
    { code: "upstream_broke", mayBeBilled: true },
    { code: "proxy_unreachable", mayBeBilled: false },
    { code: "token_refused", mayBeBilled: false },
  ] as const)("$code: may be billed: $mayBeBilled", async ({ code, mayBeBilled }) => {
    const pool = new Pool([rowOf("a")], { canReachProxies: true, nearLimit: 1 });
    const sender = senderOn(pool, new Request("https://relay.example/"), async () => {
      throw new EgressFailed(code, null);
    });
    expect(await sender.send(null)).toMatchObject({ outcome: { ok: false }, mayBeBilled });
  });

  test.each([
    { why: "its own client left", isClientGone: true, mayAnotherEnter: true },
    { why: "its account failed", isClientGone: false, mayAnotherEnter: false },
  ])("because $why: the account's trial goes on: $isClientGone", async (each) => {
    const row = rowOf("a", { isHalfOpen: true });
    const load = new AccountLoad();
    load.enter(row, Date.now()).judged(false); // two may run at once from here on
    const client = new AbortController();
    const request = new Request("https://relay.example/", { signal: client.signal });
    const pool = new Pool([row], { canReachProxies: false, nearLimit: 1 });
    const sender = senderOn(
      pool,
      request,
      async () => {
        if (each.isClientGone) client.abort();
        throw new Error("the connection is closed");
      },
      load,
    );
    expect((await sender.send(null)).outcome.ok).toBe(false);
    load.enter(row, Date.now());
    expect(load.mayEnter(row, Date.now())).toBe(each.mayAnotherEnter);
  });
});

describe("a place of an account that takes only so many at once", () => {
  const row = rowOf("a", { maxConcurrency: 1 });

  /** @param heard whether each call to give it back is heard */
  async function send(heard: boolean[]) {
    vi.spyOn(scheduler, "wait").mockResolvedValue(undefined);
    const released: string[] = [];
    const background: Promise<unknown>[] = [];
    const account = {
      // Given, and its answer lost.
      acquirePlace: async () => {
        throw new Error("the answer was lost");
      },
      releasePlace: async (requestId: string) => {
        if (heard.shift() === false) throw new Error("not heard");
        released.push(requestId);
      },
    };
    const pool = new Pool([row], { canReachProxies: false, nearLimit: 1 });
    const sender = new Sender({
      services: {
        roster: { pool: async () => pool, newerPool: async () => null },
        credentials: new CredentialCache(() => account as never),
        load: new AccountLoad(),
        account: () => account,
        config: { failover: { maxAccounts: 1, budgetMs: 1 } },
        log: () => {},
      } as unknown as Services,
      ctx: { waitUntil: (work: Promise<unknown>) => background.push(work) },
      request: new Request("https://relay.example/"),
      requestId: "rly_1",
      key: { id: "k", boundTo: null },
      startedAtMs: 0,
      family: "sonnet",
      session: null,
      pinnedTo: null,
    } as unknown as RelayCall);
    const { outcome } = await sender.send(null);
    await Promise.all(background);
    vi.restoreAllMocks();
    return { served: outcome.ok, released };
  }

  test("is given back where it may have been given, and nobody heard of it", async () => {
    expect(await send([true])).toEqual({ served: false, released: ["rly_1"] });
  });

  test("is given back until it is heard: it would be missed for a quarter of an hour", async () => {
    expect(await send([false, false, true])).toEqual({ served: false, released: ["rly_1"] });
  });
});
