import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, test } from "vitest";
import { Vault } from "../../src/accounts/vault.ts";
import { ok } from "../../src/result.ts";
import { HOUR_MS, MINUTE_MS, OPS, START_MS, withBench } from "./alert-bench.ts";

afterEach(() => reset());

test("a webhook that is switched off gets nothing and keeps nobody awake; on again, it is tried at once", () =>
  withBench(async (bench) => {
    const id = await bench.add({ kinds: ["account_unusable"] });
    bench.fails = 100;
    await bench.observe(["a"]);
    await bench.runUntil(START_MS + HOUR_MS);
    await bench.desk.update(id, { enabled: false });
    expect(await bench.storage.getAlarm()).toBeNull();
    expect(bench.delivery).toMatchObject({ nextTryAtMs: null, waiting: 1 });
    const tries = bench.tries.length;
    await bench.observe([]);
    expect(bench.tries).toHaveLength(tries);
    bench.fails = 0;
    await bench.desk.update(id, { enabled: true });
    expect(bench.delivery).toMatchObject({ failures: 0, nextTryAtMs: 0 });
    await bench.runUntil(bench.nowMs);
    expect(bench.told).toEqual(["account_unusable raised"]);
  }));

test("a new address is used at once, and what is not given stays", () =>
  withBench(async (bench) => {
    const id = await bench.add({ format: "feishu", secret: "s3cret" });
    bench.fails = 10;
    await bench.observe(["a"]);
    await bench.runUntil(START_MS + MINUTE_MS);
    bench.fails = 0;
    expect(await bench.desk.update(id, { address: "https://new.example/other" })).toMatchObject({
      value: { name: "ops", host: "new.example", isSigned: true, enabled: true },
    });
    await bench.runUntil(bench.nowMs);
    expect(bench.targets.at(-1)).toEqual({
      ...{ format: "feishu", address: "https://new.example/other", secret: "s3cret" },
    });
    expect(bench.told).toEqual(["account_unusable raised"]);
    const failures = bench.delivery?.failures;
    await bench.desk.update(id, { name: "renamed" });
    expect(bench.delivery?.failures).toBe(failures);
    expect(await bench.desk.update(id, { secret: null })).toMatchObject({
      value: { host: "new.example", isSigned: false },
    });
  }));

test("names are taken once, there are twenty webhooks at most, and none is changed that is not there", () =>
  withBench(async (bench) => {
    const id = await bench.add();
    const refused = (problem: string) => ({ ok: false, error: problem });
    expect(await bench.desk.create(OPS)).toEqual(refused("name_taken"));
    await bench.add({ name: "other" });
    expect(await bench.desk.update(id, { name: "other" })).toEqual(refused("name_taken"));
    expect((await bench.desk.update(id, { name: "ops" })).ok).toBe(true);
    for (let count = 2; count < 20; count += 1) await bench.add({ name: `ops ${count}` });
    expect(await bench.desk.create({ ...OPS, name: "one more" })).toEqual(refused("too_many"));
    expect(await bench.desk.update("no-id", { name: "x" })).toEqual(refused("unknown"));
    expect([await bench.desk.remove("no-id"), await bench.desk.test("no-id")]).toEqual([
      false,
      null,
    ]);
  }));

test("what waits for a webhook goes with it", () =>
  withBench(async (bench) => {
    const id = await bench.add();
    bench.fails = 1_000;
    await bench.observe(["a"]);
    expect(await bench.desk.remove(id)).toBe(true);
    expect(bench.storage.sql.exec("SELECT * FROM deliveries").toArray()).toEqual([]);
    expect(await bench.storage.getAlarm()).toBeNull();
  }));

test("a test is sent beside what waits: in vain it changes nothing of that, and where it works that goes out", () =>
  withBench(async (bench) => {
    const id = await bench.add();
    bench.fails = 10;
    await bench.observe(["a"]);
    await bench.runUntil(START_MS + MINUTE_MS);
    const before = bench.delivery;
    expect(await bench.desk.test(id)).toEqual({ ok: false, error: "it answered 500" });
    expect(bench.delivery).toEqual({ ...before, lastFailureAtMs: bench.nowMs });
    bench.fails = 0;
    expect(await bench.desk.test(id)).toEqual(ok(null));
    expect(bench.delivery).toMatchObject({ failures: 0, lastSuccessAtMs: bench.nowMs, waiting: 1 });
    await bench.runUntil(bench.nowMs);
    expect(bench.told).toEqual(["test report", "account_unusable raised"]);
  }));

test("under another ENCRYPTION_KEY nothing is sent, it is said in words, and resealing mends what it can", () =>
  withBench(async (bench) => {
    const NEW_KEY = "another-encryption-key-0123456789";
    const oldVault = bench.vault;
    const signed = await bench.add({ name: "signed", format: "feishu", secret: "s3cret" });
    bench.vault = await Vault.open(NEW_KEY);
    const plain = await bench.wake().create({ ...OPS, name: "plain" });
    await bench.observe(["a"]);
    expect(bench.targets.map(({ format }) => format)).toEqual(["slack"]);
    const [, stuck] = bench.desk.webhooks();
    expect(stuck?.delivery.lastFailure).toContain("ENCRYPTION_KEY_PREVIOUS");
    expect(await bench.desk.test(signed)).toMatchObject({
      ok: false,
      error: expect.stringContaining("ENCRYPTION_KEY_PREVIOUS"),
    });
    expect(await bench.desk.reseal()).toEqual({
      ...{ resealed: 0, failed: [{ id: signed, name: "signed" }] },
    });
    bench.vault = await Vault.open(NEW_KEY, [env.ENCRYPTION_KEY]);
    expect(await bench.wake().reseal()).toEqual({ resealed: 1, failed: [] });
    expect(await bench.desk.reseal()).toEqual({ resealed: 0, failed: [] });
    bench.vault = await Vault.open(NEW_KEY);
    await bench.wake().test(signed);
    expect(bench.targets.at(-1)).toMatchObject({ address: OPS.address, secret: "s3cret" });
    // A secret alone under the old key is sealed anew as well.
    const sealed = await oldVault.seal(signed, "secret", "older");
    bench.storage.sql.exec("UPDATE webhooks SET sealed_secret = ? WHERE id = ?", sealed, signed);
    bench.vault = await Vault.open(NEW_KEY, [env.ENCRYPTION_KEY]);
    expect(await bench.wake().reseal()).toEqual({ resealed: 1, failed: [] });
    expect(plain.ok).toBe(true);
  }));

test("address and secret cannot stand in for each other: each is sealed for its own field", () =>
  withBench(async (bench) => {
    const id = await bench.add({ format: "feishu", secret: "s3cret" });
    bench.storage.sql.exec("UPDATE webhooks SET sealed_secret = sealed_address");
    expect(await bench.desk.test(id)).toMatchObject({ ok: false });
    expect(bench.targets).toEqual([]);
  }));
