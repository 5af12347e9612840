import { createCipheriv, createHash, randomBytes, randomUUID, scryptSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Encrypter } from "age-encryption";
import { compactDecrypt, exportJWK, generateKeyPair } from "jose";
import { createClient } from "redis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cliHere, cliProcess, outcomeOf, startCli, untilSaid } from "../fixtures/cli.ts";
import { RedisServer } from "../fixtures/redis/server.ts";
import { ADMIN, TestRelay } from "../fixtures/relay.ts";

/** Redis may have to be installed first. */
const SETUP_MAX_MS = 180_000;
const OLD_KEY = "the-32-characters-of-another-key";
const REDIS_PASSWORD = "a redis password for tests";
/** Enough for several calls of the import, and for progress to be told. */
const KEYS = 80;
const WRITES =
  /^cmdstat_(?!(?:scan|hgetall|smembers|mget|ping|auth|hello|info|config|client|select)\b)/;

let redis: RedisServer;
let client: ReturnType<typeof connectTo>;
let relay: TestRelay;
let address = "";
const home = mkdtempSync(join(tmpdir(), "relay-import-test-"));
const plainKeys: string[] = [];
const credentials: string[] = [];
const ids = {
  oauth: randomUUID(),
  dedicated: randomUUID(),
  console: randomUUID(),
  foreign: randomUUID(),
  damaged: randomUUID(),
  group: randomUUID(),
  proxied: randomUUID(),
};
const keyIds = {
  whole: randomUUID(),
  bound: randomUUID(),
  grouped: randomUUID(),
  lost: randomUUID(),
  gemini: randomUUID(),
  deleted: randomUUID(),
  spent: randomUUID(),
};
const plain: Record<keyof typeof keyIds, string> = {
  whole: newPlainKey(),
  bound: newPlainKey(),
  grouped: newPlainKey(),
  lost: newPlainKey(),
  gemini: newPlainKey(),
  deleted: newPlainKey(),
  spent: newPlainKey(),
};

function newPlainKey(): string {
  return `cr_${randomBytes(32).toString("hex")}`;
}

function connectTo(port: number) {
  return createClient({
    socket: { host: "127.0.0.1", port },
    password: REDIS_PASSWORD,
    RESP: 2,
    disableClientInfo: true,
  });
}

const hashOf = (key: string) =>
  createHash("sha256")
    .update(key + OLD_KEY)
    .digest("hex");

/** As that system seals: a fresh iv, and both as hex. */
function sealed(text: string, salt = "salt"): string {
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-256-cbc", scryptSync(OLD_KEY, salt, 32), iv);
  return `${iv.toString("hex")}:${cipher.update(text, "utf8", "hex")}${cipher.final("hex")}`;
}

const keyFields = (id: string, plainKey: string, fields: Record<string, string> = {}) => ({
  ...{ id, name: "a key", description: "", apiKey: hashOf(plainKey), isActive: "true" },
  ...{ tokenLimit: "0", concurrencyLimit: "0", rateLimitWindow: "0", rateLimitRequests: "0" },
  ...{ claudeAccountId: "", claudeConsoleAccountId: "", permissions: "[]", tags: "[]" },
  ...{ enableModelRestriction: "false", restrictedModels: "[]", dailyCostLimit: "0" },
  ...{ totalCostLimit: "0", weeklyOpusCostLimit: "0", expirationMode: "fixed", expiresAt: "" },
  ...{ createdAt: "2026-01-05T10:00:00.000Z", isDeleted: "false" },
  ...fields,
});

async function fill(): Promise<void> {
  const login = relay.fake.accounts.addOAuth({ name: "team" });
  const second = relay.fake.accounts.addOAuth({ name: "second" });
  const { apiKey } = relay.fake.accounts.addApiKey({ name: "console" });
  credentials.push(login.accessToken, login.refreshToken ?? "", second.accessToken, apiKey);
  const account = (name: string, fields: Record<string, string>) => ({
    ...{ name, description: "from before", isActive: "true", accountType: "shared" },
    ...{ priority: "50", schedulable: "true", status: "active", proxy: "" },
    ...fields,
  });
  await client.hSet(
    `claude:account:${ids.oauth}`,
    account("team", {
      claudeAiOauth: sealed(JSON.stringify({ accessToken: "stale", refreshToken: "stale" })),
      accessToken: sealed(login.accessToken),
      refreshToken: sealed(login.refreshToken ?? ""),
      expiresAt: String(login.expiresAtMs),
      scopes: login.scope,
      priority: "20",
    }),
  );
  await client.hSet(
    `claude:account:${ids.dedicated}`,
    account("second", {
      accountType: "dedicated",
      claudeAiOauth: sealed(
        JSON.stringify({
          accessToken: second.accessToken,
          refreshToken: second.refreshToken,
          expiresAt: second.expiresAtMs,
          scopes: second.scope.split(" "),
        }),
      ),
    }),
  );
  await client.hSet(
    `claude:account:${ids.damaged}`,
    account("damaged", { accessToken: `${"0".repeat(32)}:${"0".repeat(32)}` }),
  );
  await client.hSet(
    `claude:account:${ids.proxied}`,
    account("proxied", {
      accessToken: "a-token-whose-encryption-failed-open",
      proxy: JSON.stringify({
        ...{ type: "socks5", host: "proxy.example", port: 1080 },
        ...{ username: "u", password: "proxy-secret" },
      }),
    }),
  );
  await client.sAdd("claude:account:index", [ids.oauth, ids.dedicated]);
  await client.hSet(`claude_console_account:${ids.console}`, {
    ...account("console", { apiUrl: "https://api.anthropic.com", maxConcurrentTasks: "7" }),
    apiKey: sealed(apiKey, "claude-console-salt"),
  });
  await client.hSet(`claude_console_account:${ids.foreign}`, {
    ...account("foreign", { apiUrl: "https://elsewhere.example/v1" }),
    apiKey: sealed("sk-foreign", "claude-console-salt"),
  });
  await client.hSet(`account_group:${ids.group}`, { id: ids.group, name: "night/shift" });
  await client.sAdd(`account_group_members:${ids.group}`, [ids.oauth, ids.console]);

  const keys: [keyof typeof keyIds, Record<string, string>][] = [
    [
      "whole",
      {
        ...{ name: "Ada's laptop", tags: '["team a","b/c"]', concurrencyLimit: "4" },
        ...{ rateLimitWindow: "60", rateLimitRequests: "100", tokenLimit: "5000" },
        ...{ rateLimitCost: "0.5", dailyCostLimit: "5.25", totalCostLimit: "400" },
        ...{ weeklyOpusCostLimit: "10", enableModelRestriction: "true" },
        ...{ restrictedModels: '["claude-opus-4-5"]', expiresAt: "2030-01-31T00:00:00.000Z" },
      },
    ],
    ["bound", { name: "bound", claudeAccountId: ids.dedicated }],
    ["grouped", { name: "grouped", claudeAccountId: `group:${ids.group}` }],
    ["lost", { name: "lost", claudeConsoleAccountId: ids.foreign }],
    ["gemini", { name: "gemini", permissions: '["gemini"]' }],
    ["deleted", { name: "gone", isDeleted: "true", deletedAt: "2026-02-01T00:00:00.000Z" }],
    ["spent", { name: "spent", totalCostLimit: "12.5" }],
  ];
  for (const [which, fields] of keys) {
    const id = keyIds[which];
    await client.hSet(`apikey:${id}`, keyFields(id, plain[which], fields));
    await client.hSet("apikey:hash_map", hashOf(plain[which]), id);
  }
  await client.hSet(`usage:${keyIds.spent}`, {
    ...{ totalRequests: "321", totalInputTokens: "1000", totalOutputTokens: "200" },
    ...{ totalCacheCreateTokens: "30", totalCacheReadTokens: "4", totalAllTokens: "1234" },
  });
  await client.set(`usage:cost:total:${keyIds.spent}`, "12.5");
  await client.hSet(`usage:daily:${keyIds.spent}:2026-02-01`, { totalRequests: "1" });
  await client.sAdd("apikey:idx:all", Object.values(keyIds));
}

beforeAll(async () => {
  redis = await RedisServer.start();
  address = `redis://127.0.0.1:${redis.port}/0`;
  const opener = createClient({ socket: { host: "127.0.0.1", port: redis.port }, RESP: 2 });
  await opener.connect();
  await opener.configSet("requirepass", REDIS_PASSWORD);
  opener.destroy();
  client = connectTo(redis.port);
  await client.connect();
  relay = await TestRelay.start();
  await fill();
}, SETUP_MAX_MS);

afterAll(async () => {
  client?.destroy();
  await redis?.close();
  await relay?.stop();
  rmSync(home, { recursive: true, force: true });
});

const env = (more: Record<string, string> = {}) => ({
  ...{ HOME: home, RELAY_URL: relay.url, ADMIN_PASSWORD: ADMIN.password },
  ...{ CRS_ENCRYPTION_KEY: OLD_KEY, CRS_REDIS_PASSWORD: REDIS_PASSWORD },
  ...more,
});
const args = (...more: string[]) => ["import", "claude-relay-service", "--redis", address, ...more];
const message = (apiKey: string, body: Record<string, unknown> = {}) =>
  relay.message({ id: "", apiKey }, body);

/** Everything that the Redis holds, as bytes. */
async function contents(): Promise<string[]> {
  const all: string[] = [];
  for await (const page of client.scanIterator({ COUNT: 500 })) {
    for (const name of page) {
      const kind = await client.type(name);
      const value =
        kind === "hash"
          ? Object.entries(await client.hGetAll(name)).sort()
          : kind === "set"
            ? (await client.sMembers(name)).sort()
            : await client.get(name);
      all.push(JSON.stringify([name, kind, value]));
    }
  }
  return [...new Set(all)].sort();
}

describe("before anything is written", () => {
  test("a run shows what would come along and what would not, and writes nothing anywhere", async () => {
    const before = await contents();
    await client.sendCommand(["CONFIG", "RESETSTAT"]);
    const shown = await cliHere(args(), env());
    const stats = String(await client.sendCommand(["INFO", "commandstats"]));
    const used = [...stats.matchAll(/^cmdstat_[\w|]+/gm)].map(([name]) => name);
    expect(used).toContain("cmdstat_scan");
    expect(used).not.toContain("cmdstat_keys");
    expect(used.filter((name) => WRITES.test(name))).toEqual([]);
    expect(await contents()).toEqual(before);

    expect(shown).toMatchObject({ exitCode: 0 });
    expect(shown.stdout).toContain("Accounts to write: 4 of 6.");
    expect(shown.stdout).toContain('"proxied": login, with its proxy');
    expect(shown.stdout).toContain("Keys to write: 6 of 7, 1 with their usage.");
    expect(shown.stderr).toContain(
      "account \"foreign\" is left out: it is not Anthropic's but elsewhere.example's",
    );
    expect(shown.stderr).toMatch(
      /account "damaged" is left out: its credential cannot be decrypted/,
    );
    expect(shown.stderr).toContain(
      'key "gemini" is left out: it is for gemini only, which this relay does not serve',
    );
    expect(shown.stderr).toMatch(/key "lost": it is off here: the account or group/);
    expect(shown.stderr).toContain('its tag "b/c" is "b-c" here');
    expect(shown.stderr).toContain("Nothing was written. Run it with --apply");
    const { data } = await relay.admin<{ accounts: unknown[] }>("GET", "/claude-accounts");
    expect(data.accounts).toEqual([]);
    expect((await message(plain.whole)).status).toBe(401);
  });

  test("nothing that it says holds a secret", async () => {
    const { stdout, stderr } = await cliHere(args("--json"), env());
    const said = stdout + stderr;
    for (const secret of [
      ...credentials,
      ...[OLD_KEY, REDIS_PASSWORD, "proxy-secret", hashOf(plain.whole)],
    ]) {
      expect(said).not.toContain(secret);
    }
  });

  test("a wrong encryption key, a wrong password and a missing one are told in words", async () => {
    // Also with --apply: keys would be written without the accounts that they are bound to.
    const wrongKey = await cliHere(args("--apply"), env({ CRS_ENCRYPTION_KEY: "x".repeat(32) }));
    expect(wrongKey).toMatchObject({ exitCode: 1, stdout: "" });
    expect(wrongKey.stderr).toContain("opens with this encryption key: it is not the one that");
    const { data } = await relay.admin<{ keys: unknown[] }>("GET", "/api-keys");
    expect(data.keys).toEqual([]);
    const wrongPassword = await cliHere(args(), env({ CRS_REDIS_PASSWORD: "wrong" }));
    expect(wrongPassword).toMatchObject({ exitCode: 1, stdout: "" });
    expect(wrongPassword.stderr).toContain("Set CRS_REDIS_PASSWORD to it.");
    const noKey = await cliHere(args(), env({ CRS_ENCRYPTION_KEY: "" }));
    expect(noKey).toMatchObject({ exitCode: 2 });
    const flag = await cliHere(args("--encryption-key", OLD_KEY), env({ CRS_ENCRYPTION_KEY: "" }));
    expect(flag).toMatchObject({ exitCode: 0 });
    expect(flag.stderr).toContain("stands in the shell's history");
  });
});

describe("the import", () => {
  test("brings accounts and keys, and goes on after it was killed in the middle", async () => {
    for (let index = 0; index < KEYS; index += 1) {
      const id = randomUUID();
      const plainKey = newPlainKey();
      plainKeys.push(plainKey);
      await client.hSet(`apikey:${id}`, keyFields(id, plainKey, { name: `n${index}` }));
    }
    const before = await contents();
    const child = startCli(args("--apply"), env());
    const ended = outcomeOf(child);
    await untilSaid(child, /Keys: \d+ of \d+/);
    child.kill("SIGKILL");
    await ended;
    const done = await relay.admin<{ keys: unknown[] }>("GET", "/api-keys?limit=1000");
    expect(done.data.keys.length).toBeGreaterThan(0);
    expect(done.data.keys.length).toBeLessThan(KEYS + 6);

    const again = await cliHere(args("--apply"), env());
    expect(again.stdout).toContain("Accounts: 0 written, 4 there already, 0 refused.");
    const [, created, there] =
      /Keys: (\d+) written, (\d+) there already, 0 refused\./.exec(again.stdout) ?? [];
    expect(Number(there)).toBeGreaterThan(0);
    expect(Number(created) + Number(there)).toBe(KEYS + 6);
    expect(again).toMatchObject({ exitCode: 0 });
    expect(again.stderr).toContain("IMPORTED_KEY_PEPPER");
    expect(await contents()).toEqual(before);

    const third = await cliHere(args("--apply"), env());
    expect(third.stdout).toContain(`Keys: 0 written, ${KEYS + 6} there already, 0 refused.`);
    const list = await relay.admin<{ keys: unknown[] }>("GET", "/api-keys?limit=1000");
    expect(list.data.keys).toHaveLength(KEYS + 6);
  });

  test("keeps names, limits, tags, ends and bindings", async () => {
    const { data } = await relay.admin("GET", `/api-keys/${keyIds.whole}`);
    expect(data).toMatchObject({
      name: "Ada's laptop",
      tags: ["team a", "b-c"],
      status: "active",
      expiresAt: "2030-01-31T00:00:00.000Z",
      createdAt: "2026-01-05T10:00:00.000Z",
      deniedModels: ["claude-opus-4-5"],
      limits: {
        concurrency: 4,
        window: { minutes: 60, requests: 100, tokens: 5000, cost: 0.5 },
        dailyCost: 5.25,
        weeklyCost: null,
        monthlyCost: null,
        totalCost: 400,
        weeklyFamilyCost: { family: "opus", cost: 10 },
      },
    });
    const of = async (id: string) => (await relay.admin("GET", `/api-keys/${id}`)).data;
    expect(await of(keyIds.bound)).toMatchObject({ accountId: ids.dedicated, accountTag: null });
    expect(await of(keyIds.grouped)).toMatchObject({ accountId: null, accountTag: "night-shift" });
    expect(await of(keyIds.lost)).toMatchObject({ status: "disabled" });
    expect(await of(keyIds.deleted)).toMatchObject({ status: "deleted" });
    expect((await relay.admin("GET", `/api-keys/${keyIds.gemini}`)).status).toBe(404);
  });

  test("keeps an account's priority, switches, proxy and places", async () => {
    const of = async (id: string) => (await relay.admin("GET", `/claude-accounts/${id}`)).data;
    expect(await of(ids.oauth)).toMatchObject({
      ...{ name: "team", kind: "oauth", priority: 20, tags: ["night-shift"], schedulable: true },
      description: "from before",
    });
    // It served nothing but the keys that are bound to it, and so it does here.
    expect(await of(ids.dedicated)).toMatchObject({ schedulable: false });
    expect(await of(ids.console)).toMatchObject({
      ...{ kind: "api_key", maxConcurrency: 7, tags: ["night-shift"] },
    });
    expect(await of(ids.proxied)).toMatchObject({
      proxy: { type: "socks5", host: "proxy.example", port: 1080, hasPassword: true },
    });
  });

  test("lets a client keep its key once the relay has the old pepper, and the account serves", async () => {
    expect((await message(plain.bound)).status).toBe(401);
    await relay.restart({ vars: { IMPORTED_KEY_PEPPER: OLD_KEY } });
    const answer = await message(plain.bound);
    expect(answer.status).toBe(200);
    expect(((await answer.json()) as { type: string }).type).toBe("message");
    expect((await message(plain.grouped)).status).toBe(200);
    // A limit of models holds as before.
    const denied = await message(plain.whole, { model: "claude-opus-4-5" });
    expect(denied.status).toBe(403);
    expect((await message(plain.lost)).status).toBe(403);
    expect((await message(plain.deleted)).status).toBe(401);
    for (const key of [plainKeys.at(0), plainKeys.at(-1)]) {
      expect((await message(key ?? "")).status).toBe(200);
    }
    expect((await message(newPlainKey())).status).toBe(401);
    // A key of the relay's own works beside them.
    const own = await relay.createKey();
    expect((await relay.message(own)).status).toBe(200);
  });

  test("counts what was used before: a spent total refuses the next request", async () => {
    const { data } = await relay.admin<{ usage: { total: object; byModel: object[] } }>(
      "GET",
      `/api-keys/${keyIds.spent}`,
    );
    expect(data.usage.total).toMatchObject({
      ...{ requests: 321, inputTokens: 1000, outputTokens: 200 },
      ...{ cacheCreateTokens: 30, cacheReadTokens: 4, allTokens: 1234, cost: 12.5 },
    });
    expect(data.usage.byModel).toHaveLength(1);
    const refused = await message(plain.spent);
    expect(refused.status).toBe(429);
    expect(await refused.text()).toContain("billing_error");
  });

  test("an imported key can be given a new secret, and the old one ends", async () => {
    const rotated = await relay.admin<{ apiKey: string }>(
      "POST",
      `/api-keys/${keyIds.bound}/rotate`,
    );
    expect((await message(rotated.data.apiKey)).status).toBe(200);
    expect((await message(plain.bound)).status).toBe(401);
  });
});

describe("an archive of the whole relay", () => {
  const file = join(home, "relay.age");
  const PASSPHRASE = "a passphrase for tests only";
  /** A key pair as each export makes one. */
  const ownKey = async () => {
    const pair = await generateKeyPair("ECDH-ES", { crv: "P-256", extractable: true });
    const { kty, crv, x, y } = await exportJWK(pair.publicKey);
    const open = async (sealed: string) =>
      new TextDecoder().decode((await compactDecrypt(sealed, pair.privateKey)).plaintext);
    return { recipient: { kty, crv, x, y }, open };
  };
  const archiveEnv = (more: Record<string, string> = {}) =>
    env({ RELAY_ARCHIVE_PASSPHRASE: PASSPHRASE, ...more });

  test("needs the admin's password again, and a viewer's or a stolen session does not do", async () => {
    for (const part of ["accounts", "keys"]) {
      const { recipient } = await ownKey();
      const wrong = await relay.admin("POST", `/archive/${part}`, { password: "wrong", recipient });
      expect(wrong).toMatchObject({ status: 401, error: "login_failed" });
      const none = await relay.admin("POST", `/archive/${part}`, {});
      expect(none).toMatchObject({ status: 400 });
    }
  });

  test("has no credential in the clear on its way: only the key that was asked with opens it", async () => {
    const { recipient, open } = await ownKey();
    const ask = (of: object) =>
      relay.admin<{ sealed: string }>("POST", "/archive/accounts", {
        ...{ password: ADMIN.password, recipient: of },
      });
    const answer = await ask(recipient);
    const onItsWay = JSON.stringify(answer);
    for (const secret of [...credentials, "proxy-secret"]) expect(onItsWay).not.toContain(secret);
    const opened = await open(answer.data.sealed);
    for (const secret of ["proxy-secret", "a-token-whose-encryption-failed-open"]) {
      expect(opened).toContain(secret);
    }
    await expect((await ownKey()).open(answer.data.sealed)).rejects.toThrow();
    const noPoint = await ask({ ...recipient, x: "A".repeat(43) });
    expect(noPoint).toMatchObject({ status: 400, message: "recipient is no point on P-256." });
  });

  test("is written for its owner alone, sealed, and only where no file is", async () => {
    const price = { input: 3, output: 15, cacheWrite5m: 3.75, cacheWrite1h: 6, cacheRead: 0.3 };
    await relay.admin("PUT", "/prices", {
      ...{ model: "claude-sonnet-5", effectiveFrom: "2026-01-01", force: true },
      ...price,
    });
    const short = await cliHere(
      ["export", file],
      archiveEnv({ RELAY_ARCHIVE_PASSPHRASE: "short" }),
    );
    expect(short).toMatchObject({ exitCode: 2 });
    // A process of its own: stretching a passphrase would hold up this one for seconds.
    const made = await cliProcess(["export", file], archiveEnv());
    expect(made).toMatchObject({ exitCode: 0 });
    expect(made.stdout).toBe(
      `4 accounts, ${KEYS + 7} keys and 1 prices were written to ${file}.\n`,
    );
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const bytes = readFileSync(file, "latin1");
    expect(bytes.startsWith("age-encryption.org/v1\n-> scrypt ")).toBe(true);
    for (const secret of [...credentials, "Ada's laptop", hashOf(plain.whole)]) {
      expect(bytes).not.toContain(secret);
    }
    const second = await cliHere(["export", file], archiveEnv());
    expect(second).toMatchObject({ exitCode: 1, stdout: "" });
    expect(second.stderr).toContain("is there already");
    expect(readFileSync(file, "latin1")).toBe(bytes);
    expect(relay.log).not.toContain(credentials[0] ?? "-");
  });

  test("is refused whole where the passphrase is wrong, or the file is cut, changed or another", async () => {
    // Stretched less than a real one: what is tested is what the CLI makes of a damaged file.
    const encrypter = new Encrypter();
    encrypter.setPassphrase(PASSPHRASE);
    encrypter.setScryptWorkFactor(10);
    const bytes = Buffer.from(await encrypter.encrypt("x".repeat(100_000)));
    const changed = Buffer.from(bytes);
    changed[changed.length - 100] = (changed[changed.length - 100] ?? 0) ^ 1;
    const header = Buffer.from(bytes.toString("latin1").replace("scrypt ", "scrypt A"), "latin1");
    const damaged = "was cut off or changed since it was written. Nothing was done.";
    const broken = join(home, "broken.age");
    for (const [content, words] of [
      [bytes, "its content is not known to this version of the CLI. Nothing was done."],
      [bytes.subarray(0, bytes.length - 1), damaged],
      [bytes.subarray(0, 70_000), damaged],
      [changed, damaged],
      [header, "Nothing was done."],
      [Buffer.from("{}"), "is no archive of a relay"],
    ] as const) {
      writeFileSync(broken, content);
      const outcome = await cliHere(["restore", broken], archiveEnv());
      expect(outcome).toMatchObject({ exitCode: 1, stdout: "" });
      expect(outcome.stderr).toContain(words);
    }
    writeFileSync(broken, bytes);
    const wrong = archiveEnv({ RELAY_ARCHIVE_PASSPHRASE: "another passphrase" });
    expect((await cliHere(["restore", broken], wrong)).stderr).toBe(
      `The passphrase does not open ${broken}. Nothing was done.\n`,
    );
  });

  test("makes the same relay elsewhere: keys, limits, bindings, credentials and usage", async () => {
    const before = await relay.admin("GET", `/api-keys/${keyIds.spent}`);
    const other = await TestRelay.start({
      vars: { IMPORTED_KEY_PEPPER: OLD_KEY, ANTHROPIC_API_URL: relay.fake.url },
    });
    try {
      const there = archiveEnv({ RELAY_URL: other.url, HOME: join(home, "other") });
      const shown = await cliProcess(["restore", file, "--dry-run"], there);
      expect(shown.stdout).toContain(`is whole: 4 accounts, ${KEYS + 7} keys and 1 prices`);
      expect((await other.admin<{ keys: [] }>("GET", "/api-keys")).data.keys).toEqual([]);

      const child = startCli(["restore", file], there);
      const ended = outcomeOf(child);
      await untilSaid(child, /Keys: \d+ of \d+/);
      child.kill("SIGKILL");
      await ended;
      const again = await cliProcess(["restore", file], there);
      expect(again).toMatchObject({ exitCode: 0 });
      expect(again.stdout).toMatch(/^Prices: 0 written\.\nAccounts: 0 written, 4 there already/);
      const list = await other.admin<{ keys: unknown[] }>("GET", "/api-keys?limit=1000");
      expect(list.data.keys).toHaveLength(KEYS + 7);

      for (const [, id] of Object.entries(keyIds).filter(([which]) => which !== "gemini")) {
        const [mine, theirs] = await Promise.all([
          relay.admin<Record<string, unknown>>("GET", `/api-keys/${id}`),
          other.admin<Record<string, unknown>>("GET", `/api-keys/${id}`),
        ]);
        const { usage, inUse, ...key } = mine.data;
        expect(theirs.data).toMatchObject(key);
      }
      const after = await other.admin<{ usage: { total: object } }>(
        "GET",
        `/api-keys/${keyIds.spent}`,
      );
      expect(after.data.usage.total).toEqual(
        (before.data as { usage: { total: object } }).usage.total,
      );
      const accountOf = async (from: TestRelay, id: string) => {
        const { data } = await from.admin("GET", `/claude-accounts/${id}`);
        const { createdAt, profile, windows, ...kept } = data;
        return kept;
      };
      for (const id of [ids.oauth, ids.dedicated, ids.console, ids.proxied]) {
        expect(await accountOf(other, id)).toEqual(await accountOf(relay, id));
      }
      const answer = await other.message({ id: "", apiKey: plain.grouped });
      expect(answer.status).toBe(200);
      await answer.text();
      const prices = await other.admin<{ prices: { model: string }[] }>("GET", "/prices");
      expect(prices.data.prices.map(({ model }) => model)).toEqual(["claude-sonnet-5"]);
    } finally {
      await other.stop();
    }
  });
});
