import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generateKey } from "../../src/keys/key-format.ts";
import { TestRedis } from "../fixtures/redis/index.ts";
import { type RelayKey, TestRelay } from "../fixtures/relay.ts";

/** Redis may have to be installed first. */
const START_LIMIT_MS = 180_000;
/** Longer than a record counts as fresh in the isolate: then known keys need the store, or go on without. */
const OUTAGE_MS = 33_000;
const TEST_LIMIT_MS = 120_000;
const SENDERS = 4;
const PAUSE_MS = 50;
/** The relay gives the store 2 s to answer. */
const ANSWER_LIMIT_MS = 6_000;

let redis: TestRedis;
let relay: TestRelay;

beforeAll(async () => {
  redis = await TestRedis.start();
  relay = await TestRelay.start({ vars: redis.vars });
  await relay.addApiKeyAccount("first");
}, START_LIMIT_MS);
afterAll(async () => {
  await relay?.stop();
  await redis?.close();
});

/** A key that the relay has served, so that its isolate has it in memory. */
async function knownKey(name: string): Promise<RelayKey> {
  const key = await relay.createKey({ name });
  expect(await statusOf(key)).toBe(200);
  return key;
}

async function statusOf(key: RelayKey): Promise<number> {
  const answer = await relay.message(key);
  await answer.arrayBuffer();
  return answer.status;
}

function keyThatIsNone(): RelayKey {
  return { id: "none", apiKey: generateKey() };
}

/** Requests of keys, several at once, one after the other, until `stop`. */
function load(keys: RelayKey[]) {
  const statuses = new Map<number, number>();
  let isOn = true;
  const send = async (first: number) => {
    for (let n = first; isOn; n += 1) {
      const key = keys[n % keys.length];
      if (key === undefined) return;
      const status = await statusOf(key);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      await sleep(PAUSE_MS);
    }
  };
  const senders = Array.from({ length: SENDERS }, (_, n) => send(n));
  return {
    /** @returns how often each status came */
    async stop(): Promise<Record<string, number>> {
      isOn = false;
      await Promise.all(senders);
      return Object.fromEntries(statuses);
    },
  };
}

async function expectToldToWait(key: RelayKey): Promise<void> {
  const sentMs = performance.now();
  const answer = await relay.message(key);
  expect(performance.now() - sentMs).toBeLessThan(ANSWER_LIMIT_MS);
  expect(answer.status).toBe(503);
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(answer.headers.get("x-should-retry")).not.toBe("false");
  expect(await answer.json()).toMatchObject({ type: "error", error: { type: "api_error" } });
}

test(
  "while Redis is gone known keys go on, others are told to wait; then everything is as before",
  async () => {
    const known = [await knownKey("one"), await knownKey("two"), await knownKey("three")];
    const unused = await relay.createKey({ name: "not used yet" });
    const upstreamBefore = relay.fake.ledger.totals().requests;
    const running = load(known);
    await sleep(500);

    await redis.stop();
    const untilMs = performance.now() + OUTAGE_MS;
    while (performance.now() < untilMs) {
      await expectToldToWait(unused);
      await expectToldToWait(keyThatIsNone());
      await sleep(1_000);
    }
    const refused = await relay.admin("POST", "/api-keys", { name: "made too early" });
    expect([refused.status, refused.error]).toEqual([503, "unavailable"]);

    await redis.start();
    expect(await statusOf(unused)).toBe(200);
    expect(await statusOf(keyThatIsNone())).toBe(401);
    const statuses = await running.stop();
    expect(Object.keys(statuses)).toEqual(["200"]);
    expect(statuses[200]).toBeGreaterThan(500);
    // What was refused for want of the store never went upstream.
    expect(relay.fake.ledger.totals().requests - upstreamBefore).toBe((statuses[200] ?? 0) + 1);
    expect(await statusOf(await relay.createKey({ name: "made after" }))).toBe(200);
    const found = await relay.admin<{ keys: unknown[] }>("GET", "/api-keys");
    expect([found.status, found.data.keys.length]).toEqual([200, 5]);
  },
  TEST_LIMIT_MS,
);

test(
  "a relay that is started while Redis is gone refuses no key as unknown",
  async () => {
    const key = await knownKey("before the restart");
    await redis.stop();
    await relay.restart();
    await expectToldToWait(key);
    await redis.start();
    expect(await statusOf(key)).toBe(200);
  },
  TEST_LIMIT_MS,
);

test(
  "while the store hangs known keys go on, and others do not wait for long",
  async () => {
    const known = await knownKey("known");
    const unused = await relay.createKey({ name: "not used" });
    redis.hang();
    const running = load([known]);
    await Promise.all([expectToldToWait(unused), expectToldToWait(keyThatIsNone())]);
    const statuses = await running.stop();
    redis.resume();
    expect(Object.keys(statuses)).toEqual(["200"]);
    expect(await statusOf(unused)).toBe(200);
    expect(await statusOf(keyThatIsNone())).toBe(401);
  },
  TEST_LIMIT_MS,
);
