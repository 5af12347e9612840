import { describe, expect, test, vi } from "vitest";
import type { RelayConfig } from "../../src/config.ts";
import { FailedKeys } from "../../src/keys/failed-keys.ts";
import { ImportedKeys } from "../../src/keys/imported-keys.ts";
import type { KeyLookup } from "../../src/keys/key-cache.ts";
import { KeyCache } from "../../src/keys/key-cache.ts";
import { hashKey } from "../../src/keys/key-format.ts";
import type { KeyRecord } from "../../src/keys/key-record.ts";
import { type KeyStore, KeyStoreUnavailable } from "../../src/keys/key-store.ts";
import { identify } from "../../src/relay/identify.ts";

describe("whose request it is", () => {
  const plainKey = `cr_${"0123456789abcdef".repeat(4)}`;
  const record = { id: "k", enabled: true } as KeyRecord;
  const keys = {
    peek: () => null,
    hasSeen: () => false,
    find: async (): Promise<KeyLookup> => ({ kind: "found", record }),
  } as unknown as KeyCache;
  const failedKeys = new FailedKeys({ limit: async () => ({ success: true }) });
  const config = { clientAddressHeader: "" } as RelayConfig;
  const who = async (headers: Record<string, string>) => {
    const result = await identify(new Headers(headers), {
      keys,
      importedKeys: null,
      failedKeys,
      config,
    });
    return result.ok ? result.value.record.id : result.error.kind;
  };

  test.each([
    ["x-api-key", { "x-api-key": plainKey }],
    ["a bearer", { authorization: `Bearer ${plainKey}` }],
    ["a bearer in lower case", { authorization: `bearer  ${plainKey}` }],
    ["api-key", { "api-key": plainKey }],
    [
      "a foreign x-api-key beside a relay key as bearer",
      {
        "x-api-key": "sk-ant-api03-x",
        authorization: `Bearer ${plainKey}`,
      },
    ],
  ])("a key counts in %s", async (_, headers) => {
    expect(await who(headers as unknown as Record<string, string>)).toBe("k");
  });

  test("nothing sent, and something of another shape, are two different answers", async () => {
    expect(await who({})).toBe("key_missing");
    expect(await who({ "x-api-key": "" })).toBe("key_missing");
    expect(await who({ "x-api-key": "sk-ant-api03-x" })).toBe("key_malformed");
    expect(await who({ "x-api-key": plainKey.toUpperCase() })).toBe("key_malformed");
    expect(await who({ "x-api-key": `${plainKey}0` })).toBe("key_malformed");
  });
});

test("a key is looked for by its hash alone: no comparison can tell how much of it is right", async () => {
  const asked: string[] = [];
  const note = <T>(hash: string, answer: T): T => {
    asked.push(hash);
    return answer;
  };
  const keys = {
    peek: (hash: string) => note(hash, null),
    hasSeen: (hash: string) => note(hash, false),
    find: async (hash: string): Promise<KeyLookup> => note(hash, { kind: "unknown" }),
  } as unknown as KeyCache;
  const shown = `cr_${"0123456789abcdef".repeat(4)}`;
  const almost = shown.replace(/.$/, "e");
  for (const key of [shown, almost]) {
    await identify(new Headers({ "x-api-key": key }), {
      keys,
      importedKeys: new ImportedKeys("pepper"),
      failedKeys: new FailedKeys({ limit: async () => ({ success: true }) }),
      config: { clientAddressHeader: "" } as RelayConfig,
    });
  }
  const hashes = [...new Set(asked)];
  // Two keys, each under the relay's own hash and under the other system's.
  expect(hashes).toHaveLength(4);
  for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{64}$/);
  expect(hashes.some((hash) => shown.includes(hash) || almost.includes(hash))).toBe(false);
  // Keys that differ in their last character share no beginning to feel one's way along.
  expect(new Set(hashes.map((hash) => hash.slice(0, 8))).size).toBe(4);
});

describe("keys of another system", () => {
  const plainKey = `cr_${"c".repeat(64)}`;
  const pepper = "the encryption key of the other system";
  const record = { id: "imported" } as KeyRecord;
  /** A cache that knows these hashes, and writes down what it is asked. */
  const cacheOf = (known: Record<string, KeyRecord>, isFresh: () => boolean) => {
    const asked: string[] = [];
    const keys = {
      peek: (hash: string) => (isFresh() ? (known[hash] ?? null) : null),
      hasSeen: (hash: string) => hash in known,
      find: async (hash: string): Promise<KeyLookup> => {
        asked.push(hash);
        const found = known[hash];
        return found === undefined ? { kind: "unknown" } : { kind: "found", record: found };
      },
    } as unknown as KeyCache;
    return { asked, keys };
  };
  const config = { clientAddressHeader: "x-address" } as RelayConfig;
  const headers = new Headers({ "x-api-key": plainKey, "x-address": "192.0.2.1" });
  const open = () => new FailedKeys({ limit: async () => ({ success: true }) });

  test("are found under the hash that they had there, and then at once", async () => {
    const own = await hashKey(plainKey);
    const other = await hashKey(plainKey + pepper);
    let isFresh = false;
    const { asked, keys } = cacheOf({ [other]: record }, () => isFresh);
    const services = { keys, importedKeys: new ImportedKeys(pepper), failedKeys: open(), config };
    const first = await identify(headers, services);
    expect(first).toEqual({ ok: true, value: { record, mark: other.slice(0, 16) } });
    expect(asked).toEqual([own, other]);
    // Known from now on: neither hashed twice nor looked up in vain.
    const hashed = vi.spyOn(services.importedKeys, "hash");
    expect(await identify(headers, services)).toMatchObject({ ok: true });
    expect(asked).toEqual([own, other, other]);
    isFresh = true;
    expect(await identify(headers, services)).toMatchObject({ ok: true });
    expect(asked).toHaveLength(3);
    expect(hashed).not.toHaveBeenCalled();
  });

  test("cost the relay's own keys nothing: neither a hash nor a look-up", async () => {
    const own = await hashKey(plainKey);
    const { asked, keys } = cacheOf({ [own]: record }, () => false);
    const services = { keys, importedKeys: new ImportedKeys(pepper), failedKeys: open(), config };
    const hashed = vi.spyOn(services.importedKeys, "hash");
    expect(await identify(headers, services)).toMatchObject({ ok: true });
    expect(asked).toEqual([own]);
    expect(hashed).not.toHaveBeenCalled();
  });

  test("are unknown without that system's encryption key, and one that is wrong counts as wrong once", async () => {
    const other = await hashKey(plainKey + pepper);
    const noted: string[] = [];
    const failedKeys = new FailedKeys({
      limit: async ({ key }) => {
        noted.push(key);
        return { success: true };
      },
    });
    const { keys } = cacheOf({ [other]: record }, () => false);
    const without = await identify(headers, { keys, importedKeys: null, failedKeys, config });
    expect(without).toEqual({ ok: false, error: { kind: "key_unknown" } });
    const importedKeys = new ImportedKeys("another pepper");
    const wrong = await identify(headers, { keys, importedKeys, failedKeys, config });
    expect(wrong).toEqual({ ok: false, error: { kind: "key_unknown" } });
    expect(noted).toEqual(["192.0.2.1", "192.0.2.1"]);
  });
});

describe("wrong keys", () => {
  const limiterOf = (most: number) => {
    const counts = new Map<string, number>();
    return {
      counts,
      limit: async ({ key }: { key: string }) => {
        counts.set(key, (counts.get(key) ?? 0) + 1);
        return { success: (counts.get(key) ?? 0) <= most };
      },
    };
  };

  test("of one network are slowed, and never stopped for good; others are not touched", async () => {
    let nowMs = 0;
    const failedKeys = new FailedKeys(limiterOf(5), () => nowMs);
    for (let index = 0; index < 5; index += 1) await failedKeys.note("a");
    expect(failedKeys.mayLookUp("a")).toBe(true);
    await failedKeys.note("a");
    const tries = () => Array.from({ length: 100 }, () => failedKeys.mayLookUp("a"));
    expect(tries().filter(Boolean)).toHaveLength(3);
    expect(failedKeys.mayLookUp("b")).toBe(true);
    nowMs += 1_000;
    expect(tries().filter(Boolean)).toHaveLength(3);
    nowMs += 10_000;
    expect(tries().filter(Boolean)).toHaveLength(100);
  });

  test("a key that is known here passes although its network is slowed", async () => {
    const limiter = limiterOf(0);
    const failedKeys = new FailedKeys(limiter, () => 0);
    const config = { clientAddressHeader: "x-address" } as RelayConfig;
    const known = `cr_${"a".repeat(64)}`;
    const knownHash = await hashKey(known);
    const record = { id: "known" } as KeyRecord;
    // Seen a while ago: the record has to be read anew, and the store is asked for it.
    const keys = {
      peek: () => null,
      hasSeen: (hash: string) => hash === knownHash,
      find: async (hash: string): Promise<KeyLookup> =>
        hash === knownHash ? { kind: "found", record } : { kind: "unknown" },
    } as unknown as KeyCache;
    const kinds: string[] = [];
    for (let index = 0; index < 10; index += 1) {
      const wrong = `cr_${index.toString().padStart(64, "0")}`;
      const headers = new Headers({ "x-api-key": wrong, "x-address": "192.0.2.1" });
      const result = await identify(headers, { keys, importedKeys: null, failedKeys, config });
      kinds.push(result.ok ? "ok" : result.error.kind);
    }
    expect(kinds.slice(0, 4)).toEqual(kinds.slice(0, 4).map(() => "key_unknown"));
    expect(kinds.slice(4)).toEqual(kinds.slice(4).map(() => "too_many_wrong_keys"));
    expect([...limiter.counts.keys()]).toEqual(["192.0.2.1"]);
    const headers = new Headers({ "x-api-key": known, "x-address": "192.0.2.1" });
    expect((await identify(headers, { keys, importedKeys: null, failedKeys, config })).ok).toBe(
      true,
    );
  });
});

describe("the key cache", () => {
  const record = { id: "k", version: 1 } as KeyRecord;
  const storeOf = (answers: (KeyRecord | null | "down")[]) => {
    const reads = { count: 0 };
    const findByHash = async () => {
      const answer = answers[Math.min(reads.count, answers.length - 1)];
      reads.count += 1;
      if (answer === "down") throw new KeyStoreUnavailable("down");
      return answer ?? null;
    };
    const marks = { read: 0, mark: null as string | null | "down" };
    const changeMark = async () => {
      marks.read += 1;
      if (marks.mark === "down") throw new KeyStoreUnavailable("down");
      return marks.mark;
    };
    return { reads, marks, store: { findByHash, changeMark } as unknown as KeyStore };
  };
  const MINUTE_MS = 60_000;

  test("a known key keeps working for a quarter of an hour of an outage; an unknown one is not judged", async () => {
    let nowMs = 0;
    const { store, marks } = storeOf([record, "down"]);
    const cache = new KeyCache(store, () => nowMs);
    expect(await cache.find("h")).toEqual({ kind: "found", record });
    marks.mark = "down";
    nowMs = 14 * MINUTE_MS;
    expect(await cache.find("h")).toEqual({ kind: "found", record });
    expect(await cache.find("other")).toEqual({ kind: "unavailable" });
    nowMs = 16 * MINUTE_MS;
    expect(await cache.find("h")).toEqual({ kind: "unavailable" });
  });

  test("while the store is down, known keys ask it once in five seconds, not with every request", async () => {
    let nowMs = 0;
    const { store, marks } = storeOf([record, "down"]);
    const cache = new KeyCache(store, () => nowMs);
    await cache.find("h");
    marks.mark = "down";
    nowMs = MINUTE_MS;
    for (let times = 0; times < 100; times += 1) await cache.find("h");
    expect(marks.read).toBe(1);
    nowMs += 5_000;
    await cache.find("h");
    expect(marks.read).toBe(2);
  });

  test("an unknown key is remembered for seconds, so that it cannot load the store", async () => {
    let nowMs = 0;
    const { store, reads } = storeOf([null, record]);
    const cache = new KeyCache(store, () => nowMs);
    for (let times = 0; times < 100; times += 1) {
      expect(await cache.find("h")).toEqual({ kind: "unknown" });
    }
    expect(reads.count).toBe(1);
    nowMs = 6_000;
    expect(await cache.find("h")).toEqual({ kind: "found", record });
  });

  test("a record is fresh for half a minute, and as long as no key was changed past the relay", async () => {
    let nowMs = 0;
    const { store, reads, marks } = storeOf([record]);
    const cache = new KeyCache(store, () => nowMs);
    await cache.find("h");
    nowMs = 29_000;
    expect(cache.peek("h")).toBe(record);
    nowMs = 31_000;
    expect(cache.peek("h")).toBeNull();
    // The first record was read before any mark was known: it is read once more.
    await cache.find("h");
    expect(reads.count).toBe(2);
    for (nowMs = 60_000; nowMs < 15 * MINUTE_MS; nowMs += 10_000) {
      if (cache.peek("h") === null) await cache.find("h");
      expect(cache.peek("h")).toBe(record);
    }
    expect(reads.count).toBe(2);
    expect(marks.read).toBeLessThan(32);
    nowMs = 16 * MINUTE_MS;
    expect(cache.peek("h")).toBeNull();
    await cache.find("h");
    expect(reads.count).toBe(3);
  });

  test("one read of the mark in half a minute serves all keys", async () => {
    let nowMs = 0;
    const { store, reads, marks } = storeOf([record]);
    const cache = new KeyCache(store, () => nowMs);
    const hashes = Array.from({ length: 200 }, (_, index) => `h${index}`);
    for (const hash of hashes) await cache.find(hash);
    for (nowMs = MINUTE_MS; nowMs < 13 * MINUTE_MS; nowMs += MINUTE_MS) {
      for (const hash of hashes) if (cache.peek(hash) === null) await cache.find(hash);
    }
    expect(reads.count).toBe(2 * hashes.length);
    expect(marks.read).toBe(12);
  });

  test("a change past the relay holds for every key within half a minute of its mark, late as it may come", async () => {
    let nowMs = 0;
    const changed = { ...record, version: 2 };
    // The store shows the mark before it shows the change.
    const { store, marks } = storeOf([record, record, record, changed]);
    const cache = new KeyCache(store, () => nowMs);
    await cache.find("h");
    nowMs = MINUTE_MS;
    await cache.find("h");
    marks.mark = "changed";
    nowMs = 2 * MINUTE_MS;
    expect(cache.peek("h")).toBeNull();
    expect(await cache.find("h")).toEqual({ kind: "found", record });
    nowMs += 31_000;
    expect(cache.peek("h")).toBeNull();
    expect(await cache.find("h")).toEqual({ kind: "found", record: changed });
  });
});
