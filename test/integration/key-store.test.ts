import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { KVNamespace } from "@cloudflare/workers-types";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { inBatches } from "../../src/keys/key-index.ts";
import {
  KEY_DESCRIPTION_MAX_CHARS,
  KEY_NAME_MAX_CHARS,
  type KeyRecord,
  MAX_MODEL_PATTERNS,
  MAX_TAGS,
  TAG_MAX_CHARS,
} from "../../src/keys/key-record.ts";
import {
  KEY_PAGE_MAX,
  type KeyQuery,
  type KeyStore,
  KeyStoreUnavailable,
  type StoredKey,
} from "../../src/keys/key-store.ts";
import { KvKeyStore } from "../../src/keys/kv.ts";
import { type KeyFields, newKey, rotateKey } from "../../src/keys/new-key.ts";
import { UpstashKeyStore } from "../../src/keys/upstash.ts";
import { TestRedis } from "../fixtures/redis/index.ts";
import { SCRATCH_DIR } from "../fixtures/scratch-dir.ts";

/** Redis may have to be installed first. */
const START_LIMIT_MS = 180_000;
const SEEDING_LIMIT_MS = 300_000;
const AT_ONCE = 40;
/** So many puts go into a store in one call. */
const PUTS_AT_ONCE = 500;
const HOUR_MS = 60 * 60_000;
/** Keys in a small store and in a large one: a page must cost the same in both. */
const SMALL = 1_000;
const LARGE = 10_000;

/** A kind of store with what it runs on. */
interface Bench {
  /** A store that holds nothing. */
  empty(): Promise<KeyStore>;
  /** Puts many new keys at once into the store that `empty` made last. */
  fill(keys: StoredKey[]): Promise<void>;
  /** Operations on what it runs on, so far. */
  operations(): number;
  /** How many values it holds. */
  size(): Promise<number>;
  breakDown(): Promise<void>;
  mend(): Promise<void>;
  close(): Promise<void>;
}

/** Miniflare takes writes from inside twice as fast as from here. */
const FILLING_WORKER = `export default {
  async fetch(request, env) {
    const { name, puts } = await request.json();
    await Promise.all(puts.map((put) => env[name].put(...put)));
    return new Response();
  },
};`;

/** Every fresh store takes one. */
const NAMESPACES = Array.from({ length: 60 }, (_, index) => `KEYS_${index}`);

class KvBench implements Bench {
  /** Called before each operation, with its number: what it throws is Workers KV failing. */
  onOperation: (operation: string) => void = () => {};
  kv: KVNamespace | null = null;
  writePausesMs: number[] = [];
  #operations = 0;
  #name = "";
  readonly #dir = mkdtempSync(join(SCRATCH_DIR, "relay-kv-"));
  readonly #unused = [...NAMESPACES];
  readonly #miniflare: Miniflare;

  constructor() {
    process.env.CLOUDFLARE_CF_FETCH_ENABLED = "false";
    this.#miniflare = new Miniflare(
      convertV4MiniflareOptions({
        host: "127.0.0.1",
        cf: false,
        telemetry: { enabled: false },
        resourcePersistencePath: this.#dir,
        modules: true,
        script: FILLING_WORKER,
        kvNamespaces: NAMESPACES,
      }),
    );
  }

  async empty(): Promise<KvKeyStore> {
    const name = this.#unused.pop();
    if (name === undefined) throw new Error("more namespaces are needed");
    const kv = (await this.#miniflare.getKVNamespace(name)) as unknown as KVNamespace;
    this.kv = kv;
    this.#name = name;
    const watched = new Proxy(kv, {
      get: (target, property) => {
        const method: unknown = Reflect.get(target, property);
        if (typeof method !== "function") return method;
        return async (...args: unknown[]) => {
          this.#operations += 1;
          this.onOperation(String(property));
          return method.apply(target, args);
        };
      },
    });
    // An outage here lasts: what is repeated, and how often, has a test of its own.
    return new KvKeyStore(watched, this.writePausesMs);
  }

  async fill(keys: StoredKey[]): Promise<void> {
    const puts: unknown[][] = [];
    const put = async (...args: unknown[]) => void puts.push(args);
    const recorder = new KvKeyStore({ put } as unknown as KVNamespace);
    for (const key of keys) await recorder.put(key, null);
    for (const batch of inBatches(puts, PUTS_AT_ONCE)) {
      const body = JSON.stringify({ name: this.#name, puts: batch });
      const answer = await this.#miniflare.dispatchFetch("http://127.0.0.1", {
        method: "POST",
        body,
      });
      expect(answer.status).toBe(200);
    }
  }

  operations = () => this.#operations;

  async size(): Promise<number> {
    return (await this.kv?.list())?.keys.length ?? 0;
  }

  async breakDown(): Promise<void> {
    this.onOperation = () => {
      throw new Error("KV is down");
    };
  }

  async mend(): Promise<void> {
    this.onOperation = () => {};
  }

  async close(): Promise<void> {
    await this.#miniflare.dispose();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

async function openUpstash(): Promise<Bench> {
  const redis = await TestRedis.start();
  return {
    async empty() {
      await redis.send("FLUSHALL");
      return new UpstashKeyStore(redis);
    },
    async fill(keys) {
      const store = new UpstashKeyStore(redis);
      for (const batch of inBatches(keys, AT_ONCE)) {
        await Promise.all(batch.map((key) => store.put(key, null)));
      }
    },
    operations: () => redis.commands,
    size: async () => Number(await redis.send("DBSIZE")),
    breakDown: () => redis.stop(),
    mend: () => redis.start(),
    close: () => redis.close(),
  };
}

async function made(fields: Partial<KeyFields> = {}): Promise<StoredKey> {
  return (await newKey({ name: "a key", ...fields }, Date.now())).stored;
}

async function add(store: KeyStore, fields: Partial<KeyFields> = {}): Promise<StoredKey> {
  const key = await made(fields);
  await store.put(key, null);
  return key;
}

function madeMany(count: number, fields: (n: number) => Partial<KeyFields>): Promise<StoredKey[]> {
  return Promise.all(Array.from({ length: count }, (_, n) => made(fields(n))));
}

/** Changes a key as the admin API does. */
async function change(store: KeyStore, key: StoredKey, patch: Partial<KeyRecord>) {
  const record = { ...key.record, ...patch, version: key.record.version + 1 };
  const changed = { hash: key.hash, record };
  await store.put(changed, key.record);
  return changed;
}

type Search = Pick<KeyQuery, "namePrefix" | "tag">;

/** All keys that a search finds, page by page. */
async function all(store: KeyStore, search: Search = {}, limit = KEY_PAGE_MAX, between = noop) {
  const records: KeyRecord[] = [];
  let cursor: string | null = null;
  do {
    const page = await store.list({ ...search, cursor, limit });
    expect(page.keys.length).toBeLessThanOrEqual(limit);
    records.push(...page.keys);
    cursor = page.cursor;
    await between();
  } while (cursor !== null);
  return records;
}

async function noop() {}

async function names(store: KeyStore, search: Search = {}): Promise<string[]> {
  return (await all(store, search, 3)).map(({ name }) => name);
}

describe.each([
  ["Workers KV", async (): Promise<Bench> => new KvBench()],
  ["Upstash Redis", openUpstash],
])("%s", (_, open) => {
  let bench: Bench;
  let store: KeyStore;

  beforeAll(async () => {
    bench = await open();
  }, START_LIMIT_MS);
  afterAll(() => bench?.close());
  beforeEach(async () => {
    store = await bench.empty();
  });

  test("a key is found by its hash and by its id; what is unknown is null", async () => {
    const key = await add(store, { name: "laptop", tags: ["home"] });
    expect(await store.findByHash(key.hash)).toEqual(key.record);
    expect(await store.findById(key.record.id)).toEqual(key);
    const other = await made();
    expect(await store.findByHash(other.hash)).toBeNull();
    expect(await store.findById(other.record.id)).toBeNull();
    expect(await store.list({ cursor: null, limit: 10, tag: "work" })).toEqual({
      keys: [],
      cursor: null,
    });
  });

  test("many keys are read at once, in the order asked for and without those that are not there", async () => {
    const keys = await madeMany(120, (n) => ({ name: `k${n}` }));
    await bench.fill(keys);
    const ids = keys.map(({ record }) => record.id);
    const before = bench.operations();
    const found = await store.findByIds([crypto.randomUUID(), ...ids]);
    expect(found).toEqual(keys);
    expect(bench.operations() - before).toBe(2);
    expect(await store.findByIds([])).toEqual([]);
  });

  test("a change is seen everywhere; what a key no longer has finds it no more", async () => {
    const other = await add(store, { name: "laptop", tags: ["home", "x"] });
    let key = await add(store, { name: "Laptop", tags: ["home", "x"] });
    key = await change(store, key, { name: "Server", tags: ["x", "work"], enabled: false });
    expect(await store.findByHash(key.hash)).toEqual(key.record);
    expect(await store.findById(key.record.id)).toEqual(key);
    expect(await all(store, { namePrefix: "serv" })).toEqual([key.record]);
    expect(await all(store, { namePrefix: "laptop" })).toEqual([other.record]);
    expect(await all(store, { tag: "home" })).toEqual([other.record]);
    expect(await all(store, { tag: "work" })).toEqual([key.record]);
    for (const search of [{}, { tag: "x" }]) {
      const found = await all(store, search);
      expect(found.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toEqual(found);
      expect(found.map(({ name }) => name).toSorted()).toEqual(["Server", "laptop"]);
    }
    for (const each of [key, other]) await store.remove(each);
    expect(await bench.size()).toBe(0);
  });

  test("a search by name finds what begins so, in any script and whatever the case", async () => {
    const texts = [
      ...["Production", "production 2", "PROD", "pro", "生产环境", "生产", "🦊 fox", "🦊🐻", "🐻"],
      ...["Straße", "STRASSE", "ΣΑΣ", "σασα", "Élan", "E\u0301lite", "a:b", "a", "100%", ".", ""],
    ];
    for (const name of texts) await add(store, { name });
    const expectFound = async (namePrefix: string, ...expected: string[]) =>
      expect((await names(store, { namePrefix })).toSorted()).toEqual(expected.toSorted());
    await expectFound("PRO", "Production", "production 2", "PROD", "pro");
    await expectFound("prod", "Production", "production 2", "PROD");
    await expectFound("production ", "production 2");
    await expectFound("生产", "生产环境", "生产");
    await expectFound("生产环", "生产环境");
    await expectFound("🦊", "🦊 fox", "🦊🐻");
    await expectFound("strass", "Straße", "STRASSE");
    await expectFound("σας", "ΣΑΣ", "σασα");
    await expectFound("él", "Élan", "E\u0301lite");
    await expectFound("a:", "a:b");
    await expectFound("100%", "100%");
    await expectFound(".", ".");
    await expectFound("nothing");
    await expectFound("", ...texts);
    const inOrder = ["pro", "PROD", "Production", "production 2"];
    expect(await names(store, { namePrefix: "p" })).toEqual(inOrder);
  });

  test("names of the full length differ to the last character", async () => {
    const long = (text: string) => text.repeat(KEY_NAME_MAX_CHARS).slice(0, KEY_NAME_MAX_CHARS - 1);
    for (const text of ["x", "生", "🦊", "ΐ", "\u{1d160}", "ß"]) {
      const base = text.length === 2 ? long(text).slice(0, -1) : long(text);
      await add(store, { name: `${base}1` });
      await add(store, { name: `${base}2` });
      expect(await names(store, { namePrefix: base })).toHaveLength(2);
      expect(await names(store, { namePrefix: `${base}2` })).toEqual([`${base}2`]);
    }
  });

  test("a search by tag takes the tag as it is", async () => {
    for (const tags of [["a"], ["a:b"], ["a", "A"], ["团队"], ["🦊".repeat(TAG_MAX_CHARS / 2)]]) {
      await add(store, { name: tags.join(), tags });
    }
    expect(await names(store, { tag: "a" })).toHaveLength(2);
    expect(await names(store, { tag: "A" })).toEqual(["a,A"]);
    expect(await names(store, { tag: "a:b" })).toEqual(["a:b"]);
    expect(await names(store, { tag: "团队" })).toEqual(["团队"]);
    expect(await names(store, { tag: "团" })).toEqual([]);
    expect(await names(store, { tag: "🦊".repeat(TAG_MAX_CHARS / 2) })).toHaveLength(1);
  });

  test("a record with everything at its maximum is listed whole", async () => {
    const fill = (length: number, n = 0) => `${n}`.padStart(2, "0").padEnd(length, "限");
    const patterns = Array.from({ length: MAX_MODEL_PATTERNS }, (_, n) => fill(100, n));
    const cost = Number.MAX_SAFE_INTEGER;
    const { hash, record } = await made({
      name: fill(KEY_NAME_MAX_CHARS),
      description: fill(KEY_DESCRIPTION_MAX_CHARS),
      tags: Array.from({ length: MAX_TAGS }, (_, n) => fill(TAG_MAX_CHARS, n)),
      models: { allowed: patterns, denied: patterns },
      boundTo: { kind: "tag", value: fill(TAG_MAX_CHARS) },
      expiresAtMs: Date.now(),
      activeForMs: cost,
      limits: {
        concurrency: cost,
        window: { minutes: 1440, requests: cost, tokens: cost, cost },
        costPerDay: cost,
        costPerWeek: cost,
        costPerMonth: cost,
        costTotal: cost,
        familyCostPerWeek: { family: "sonnet", cost },
      },
    });
    await add(store, { name: "short" });
    await store.put({ hash, record }, null);
    await add(store, { name: "short too" });
    expect(await store.findByHash(hash)).toEqual(record);
    expect(await all(store)).toContainEqual(record);
    expect(await all(store)).toHaveLength(3);
    expect(await all(store, { namePrefix: record.name })).toEqual([record]);
    expect(await all(store, { tag: record.tags[9] ?? "" })).toEqual([record]);
    await store.remove({ hash, record });
    expect(await all(store)).toHaveLength(2);
  });

  test("a removed key is gone from everywhere, and can be removed again", async () => {
    const kept = await add(store, { name: "same", tags: ["t"] });
    const key = await add(store, { name: "same", tags: ["t", "u"] });
    for (let times = 0; times < 2; times += 1) {
      await store.remove(key);
      expect(await store.findByHash(key.hash)).toBeNull();
      expect(await store.findById(key.record.id)).toBeNull();
      for (const search of [{}, { namePrefix: "same" }, { tag: "t" }]) {
        expect(await all(store, search)).toEqual([kept.record]);
      }
      expect(await all(store, { tag: "u" })).toEqual([]);
    }
  });

  test("the mark of changes is none at first, and another one after each", async () => {
    expect(await store.changeMark()).toBeNull();
    await store.noteChange();
    const first = await store.changeMark();
    expect(first).not.toBeNull();
    expect(await store.changeMark()).toBe(first);
    await store.noteChange();
    expect(await store.changeMark()).not.toBe(first);
    expect((await store.list({ cursor: null, limit: 10 })).keys).toEqual([]);
  });

  test("after a rotation the old hash works until it is retired, and the key is listed once", async () => {
    const old = await add(store, { tags: ["t"] });
    const { stored } = await rotateKey(old, HOUR_MS, Date.now());
    await store.put(stored, old.record);
    await store.retire(old.hash, stored.record, Date.now() + HOUR_MS);
    expect(await store.findByHash(old.hash)).toEqual(stored.record);
    expect(await store.findByHash(stored.hash)).toEqual(stored.record);
    expect(await store.findById(old.record.id)).toEqual(stored);
    for (const search of [{}, { tag: "t" }]) {
      expect(await all(store, search)).toEqual([stored.record]);
    }
    await store.dropHash(old.hash);
    expect(await store.findByHash(old.hash)).toBeNull();
    expect(await store.findById(old.record.id)).toEqual(stored);
  });

  test("a key whose rotation failed half-way leaves no hash behind when it is removed", async () => {
    const old = await add(store);
    const { stored } = await rotateKey(old, 0, Date.now());
    // The key's meter knows the new hash, this store does not.
    await store.remove(stored);
    expect(await store.findByHash(old.hash)).toBeNull();
    expect(await all(store)).toEqual([]);
  });

  const calls: [string, (key: StoredKey) => Promise<unknown>][] = [
    ["findByHash", ({ hash }) => store.findByHash(hash)],
    ["findById", ({ record }) => store.findById(record.id)],
    ["findByIds", ({ record }) => store.findByIds([record.id])],
    ["put", (key) => store.put(key, null)],
    ["put of a change", (key) => change(store, key, { name: "other" })],
    ["retire", ({ hash, record }) => store.retire(hash, record, Date.now() + HOUR_MS)],
    ["dropHash", ({ hash }) => store.dropHash(hash)],
    ["changeMark", () => store.changeMark()],
    ["noteChange", () => store.noteChange()],
    ["remove", (key) => store.remove(key)],
    ["list", () => store.list({ cursor: null, limit: 10 })],
    ["list by name", () => store.list({ cursor: null, limit: 10, namePrefix: "a" })],
    ["list by tag", () => store.list({ cursor: null, limit: 10, tag: "t" })],
  ];

  test("an outage is never 'no such key', and changes nothing", async () => {
    const key = await add(store, { name: "a key", tags: ["t"] });
    await bench.breakDown();
    try {
      for (const [name, call] of calls) {
        await expect(call(key), name).rejects.toBeInstanceOf(KeyStoreUnavailable);
      }
    } finally {
      await bench.mend();
    }
    expect(await store.findByHash(key.hash)).toEqual(key.record);
    for (const search of [{}, { namePrefix: "a" }, { tag: "t" }]) {
      expect(await all(store, search)).toEqual([key.record]);
    }
  });

  test("ten thousand keys: pages show each exactly once, and cost the same however many there are", {
    timeout: SEEDING_LIMIT_MS,
  }, async () => {
    const searches: Search[] = [{}, { namePrefix: "KEY" }, { tag: "even" }];
    const costs = async () => {
      const counts: number[] = [];
      for (const search of searches) {
        for (const limit of [50, 120]) {
          const first = await store.list({ ...search, cursor: null, limit });
          expect(first.keys).toHaveLength(limit);
          const before = bench.operations();
          const next = await store.list({ ...search, cursor: first.cursor, limit });
          counts.push(bench.operations() - before);
          expect(next.keys).toHaveLength(limit);
        }
      }
      return counts;
    };
    const fields = (n: number) => ({ name: `Key ${n}`, tags: n % 2 === 0 ? ["even"] : [] });
    await bench.fill(await madeMany(SMALL - 10, fields));
    await bench.fill(await madeMany(10, (n) => ({ name: `another ${n}` })));
    const costsOfSmall = await costs();
    expect(Math.max(...costsOfSmall)).toBeLessThanOrEqual(3);

    await bench.fill(await madeMany(LARGE - SMALL, fields));
    expect(await costs()).toEqual(costsOfSmall);

    const total = await all(store);
    expect(new Set(total.map(({ id }) => id)).size).toBe(LARGE);
    expect(total).toHaveLength(LARGE);
    const ids = total.map(({ id }) => id);
    expect(ids).toEqual(ids.toSorted());

    // Small pages, with keys coming in between: those that were there are all seen, none twice.
    for (const search of searches) {
      const known = new Set((await all(store, search)).map(({ id }) => id));
      const between = (n: number) => ({ name: `Key in between ${n}`, tags: ["even"] });
      const add3 = async () => bench.fill(await madeMany(3, between));
      const seen = (await all(store, search, 190, add3)).map(({ id }) => id);
      expect(new Set(seen).size).toBe(seen.length);
      const isSeen = new Set(seen);
      expect([...known].filter((id) => !isSeen.has(id))).toEqual([]);
    }
  });
});

describe("Workers KV alone", () => {
  let bench: KvBench;
  let store: KeyStore;

  beforeAll(() => {
    bench = new KvBench();
  });
  afterAll(() => bench.close());
  beforeEach(async () => {
    store = await bench.empty();
  });

  /** Carries out an act whose nth write fails. @returns whether there was an nth write */
  async function failsAtWrite(n: number, act: () => Promise<unknown>): Promise<boolean> {
    let writes = 0;
    bench.onOperation = (operation) => {
      if (operation === "put" || operation === "delete") writes += 1;
      if (writes === n) throw new Error("KV is down");
    };
    try {
      await act();
      return false;
    } catch (error) {
      expect(error).toBeInstanceOf(KeyStoreUnavailable);
      return true;
    } finally {
      await bench.mend();
    }
  }

  const isListed = async ({ record }: StoredKey) =>
    (await all(store)).some(({ id }) => id === record.id);

  const isNowhere = async (key: StoredKey) => {
    expect(await store.findByHash(key.hash)).toBeNull();
    expect(await store.findById(key.record.id)).toBeNull();
    expect(await all(store)).toEqual([]);
    expect(await bench.size()).toBe(0);
  };

  test("a write that is refused for a moment is made again, twice; a read is not", async () => {
    onTestFinished(() => {
      bench.writePausesMs = [];
    });
    bench.writePausesMs = [1, 1];
    store = await bench.empty();
    const refused = new Map<string, number>();
    const refuse = (times: number) => {
      refused.clear();
      let tries = 0;
      // Each act below is one write at a time.
      bench.onOperation = (operation) => {
        if (operation === "get" || operation === "list") return;
        tries = tries === times ? 0 : tries + 1;
        refused.set(operation, (refused.get(operation) ?? 0) + 1);
        if (tries > 0) throw new Error("KV PUT failed: 429 Too Many Requests");
      };
    };
    const key = await made({ name: "laptop" });
    refuse(2);
    await store.put(key, null);
    expect(refused).toEqual(new Map([["put", 9]]));
    refuse(2);
    await store.retire(key.hash, key.record, Date.now() + HOUR_MS);
    await store.dropHash(key.hash);
    await store.remove(key);
    expect(refused).toEqual(
      new Map([
        ["put", 3],
        ["delete", 12],
      ]),
    );
    await isNowhere(key);

    refuse(3);
    await expect(store.put(key, null)).rejects.toBeInstanceOf(KeyStoreUnavailable);
    expect(refused).toEqual(new Map([["put", 3]]));
    let reads = 0;
    bench.onOperation = () => {
      reads += 1;
      throw new Error("KV is down");
    };
    await expect(store.findByHash(key.hash)).rejects.toBeInstanceOf(KeyStoreUnavailable);
    expect(reads).toBe(1);
    await bench.mend();
  });

  test("a new key of which only a part was written does not work, or is listed", async () => {
    const key = await made({ name: "laptop", tags: ["t", "u"] });
    let n = 1;
    for (; await failsAtWrite(n, () => store.put(key, null)); n += 1) {
      if ((await store.findByHash(key.hash)) !== null) expect(await isListed(key)).toBe(true);
      if (await isListed(key)) expect(await store.findById(key.record.id)).toEqual(key);
      await store.remove(key);
      await isNowhere(key);
    }
    expect(n - 1).toBe(5);
  });

  test("a change of which only a part was written is made whole by the next", async () => {
    for (let n = 1; ; n += 1) {
      store = await bench.empty();
      const key = await add(store, { name: "laptop", tags: ["t", "u"] });
      const patch = { name: "server", tags: ["u", "v"] };
      const failed = { hash: key.hash, record: { ...key.record, ...patch, version: 2 } };
      if (!(await failsAtWrite(n, () => store.put(failed, key.record)))) {
        expect(n - 1).toBe(6);
        return;
      }
      expect(await store.findByHash(key.hash)).not.toBeNull();
      expect(await isListed(key)).toBe(true);
      for (const { name } of await all(store, { namePrefix: "lap" })) expect(name).toBe("laptop");
      // The key's meter has the change: to the admin API it is what was before.
      const { record } = await change(store, failed, { enabled: false });
      expect(await all(store)).toEqual([record]);
      expect(await all(store, { namePrefix: "server" })).toEqual([record]);
      expect(await all(store, { tag: "v" })).toEqual([record]);
      expect(await all(store, { namePrefix: "laptop" })).toEqual([]);
      expect(await all(store, { tag: "t" })).toEqual([]);
    }
  });

  test("a key of which only a part was removed works no more, or is listed", async () => {
    for (let n = 1; ; n += 1) {
      store = await bench.empty();
      const key = await add(store, { name: "laptop", tags: ["t", "u"] });
      if (!(await failsAtWrite(n, () => store.remove(key)))) {
        expect(n - 1).toBe(5);
        return;
      }
      if (n > 1) expect(await store.findByHash(key.hash)).toBeNull();
      expect(await isListed(key)).toBe(true);
      expect(await store.findById(key.record.id)).toEqual(key);
      await store.remove(key);
      await isNowhere(key);
    }
  });

  test("entries that a change does not concern are not written again", async () => {
    const key = await add(store, { name: "laptop", tags: ["t", "u"] });
    const writes: string[] = [];
    bench.onOperation = (operation) => void writes.push(operation);
    await change(store, key, { enabled: false });
    await bench.mend();
    expect(writes.filter((operation) => operation !== "get")).toEqual(["put", "put"]);
  });

  test("a retired hash expires, at the earliest after the minute that KV asks for", async () => {
    const { hash, record } = await made();
    const nowMs = Date.now();
    for (const [inMs, expectedMs] of [
      [HOUR_MS, HOUR_MS],
      [1_000, 60_000],
      [-1_000, 60_000],
    ] as const) {
      await store.retire(hash, record, nowMs + inMs);
      const entry = (await bench.kv?.list({ prefix: `key:${hash}` }))?.keys[0];
      const lifeMs = (entry?.expiration ?? 0) * 1000 - nowMs;
      expect(Math.abs(lifeMs - expectedMs)).toBeLessThan(5_000);
    }
  });

  test("a record that cannot be read is an outage", async () => {
    const key = await made();
    await bench.kv?.put(`key:${key.hash}`, "no JSON");
    await expect(store.findByHash(key.hash)).rejects.toBeInstanceOf(KeyStoreUnavailable);
    await bench.kv?.put(`key:${key.hash}`, JSON.stringify({ ...key.record, schema: 2 }));
    await expect(store.findByHash(key.hash)).rejects.toBeInstanceOf(KeyStoreUnavailable);
  });
});

describe("Upstash alone", () => {
  let redis: TestRedis;
  let store: UpstashKeyStore;

  beforeAll(async () => {
    redis = await TestRedis.start();
    store = new UpstashKeyStore(redis);
  }, START_LIMIT_MS);
  afterAll(() => redis?.close());
  beforeEach(async () => {
    await redis.send("FLUSHALL");
  });

  test("a store that hangs is an outage within seconds", { timeout: 10_000 }, async () => {
    const key = await add(store);
    onTestFinished(() => redis.resume());
    redis.hang();
    const startedMs = performance.now();
    await Promise.all([
      expect(store.findByHash(key.hash)).rejects.toThrow(/TimeoutError/),
      expect(store.put(key, null)).rejects.toThrow(KeyStoreUnavailable),
      expect(store.remove(key)).rejects.toThrow(KeyStoreUnavailable),
      expect(store.list({ cursor: null, limit: 1 })).rejects.toThrow(KeyStoreUnavailable),
    ]);
    expect(performance.now() - startedMs).toBeLessThan(4_000);
    redis.resume();
    expect(await store.findByHash(key.hash)).toEqual(key.record);
  });

  test("a store that refuses the token, or is not there, is an outage", async () => {
    const { hash } = await made();
    const refused = new UpstashKeyStore({ url: redis.url, token: "another" });
    await expect(refused.findByHash(hash)).rejects.toThrow(/WRONGPASS/);
    const nobody = new UpstashKeyStore({ url: "http://127.0.0.1:9", token: "another" });
    await expect(nobody.findByHash(hash)).rejects.toThrow(KeyStoreUnavailable);
  });

  test("what fails says why, without the record", async () => {
    const key = await add(store, { name: "private name" });
    await redis.send("CONFIG", "SET", "min-replicas-to-write", "1");
    onTestFinished(async () => {
      await redis.send("CONFIG", "SET", "min-replicas-to-write", "0");
    });
    for (const call of [
      () => change(store, key, {}),
      () => store.retire(key.hash, key.record, Date.now() + HOUR_MS),
    ]) {
      const failure = await call().catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(KeyStoreUnavailable);
      expect(String(failure)).toContain("NOREPLICAS");
      for (const part of ["private", key.hash, key.record.id]) {
        expect(String(failure)).not.toContain(part);
      }
    }
  });

  test("a record that cannot be read is an outage", async () => {
    const key = await add(store);
    for (const broken of ["no JSON", "null", JSON.stringify({ ...key.record, schema: 2 })]) {
      await redis.send("SET", `relay:key:${key.hash}`, broken);
      await expect(store.findByHash(key.hash)).rejects.toBeInstanceOf(KeyStoreUnavailable);
    }
    await redis.send("SET", `relay:id:${key.record.id}`, "{}");
    await expect(store.list({ cursor: null, limit: 1 })).rejects.toThrow(KeyStoreUnavailable);
  });

  test("a retired hash is gone at its time", async () => {
    const { hash, record } = await made();
    await store.retire(hash, record, Date.now() + 300);
    expect(await store.findByHash(hash)).toEqual(record);
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(await store.findByHash(hash)).toBeNull();
    await store.put({ hash, record }, null);
    await store.retire(hash, record, Date.now() - 1);
    expect(await store.findByHash(hash)).toBeNull();
  });

  test("everything that is written is below one prefix, and is gone after a removal", async () => {
    const key = await add(store, { tags: ["t"] });
    const written = (await redis.send("KEYS", "*")) as string[];
    expect(written).toHaveLength(5);
    for (const name of written) expect(name).toMatch(/^relay:/);
    await store.remove(key);
    expect(await redis.send("KEYS", "*")).toEqual([]);
  });
});
