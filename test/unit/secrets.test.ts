import { describe, expect, test } from "vitest";
import { Vault } from "../../src/accounts/vault.ts";
import { hashPassword, parsePasswordHash, verifyPassword } from "../../src/admin/password.ts";
import { networkOf } from "../../src/client-network.ts";
import { type ConfigSource, readConfig } from "../../src/config.ts";
import { generateKey, hashKey, isKeyShape, keyHint } from "../../src/keys/key-format.ts";
import { parsePastedCode } from "../../src/upstream/oauth.ts";

const KEY_A = "fedcba9876543210fedcba9876543210";
const KEY_B = "0123456789abcdef0123456789abcdef";

describe("the vault", () => {
  test("opens what it sealed, for the same account and field only", async () => {
    const vault = await Vault.open(KEY_A);
    const sealed = await vault.seal("account", "field", "secret ✓");
    expect(await vault.unseal("account", "field", sealed)).toEqual({ ok: true, value: "secret ✓" });
    expect(await vault.unseal("other", "field", sealed)).toMatchObject({ ok: false });
    expect(await vault.unseal("account", "other", sealed)).toMatchObject({ ok: false });
  });

  test("never seals twice alike, and shows nothing of what it holds", async () => {
    const vault = await Vault.open(KEY_A);
    const seals = await Promise.all(
      Array.from({ length: 500 }, () => vault.seal("a", "f", "sk-ant-secret")),
    );
    expect(new Set(seals).size).toBe(500);
    expect(new Set(seals.map((sealed) => sealed.split(".")[2])).size).toBe(500);
    expect(seals[0]).toMatch(/^v1\.[0-9a-f]{12}\.[\w-]{16}\.[\w-]+$/);
    expect(seals.join()).not.toContain("sk-ant");
  });

  test("says that another key is needed, rather than that the data is damaged", async () => {
    const sealed = await (await Vault.open(KEY_A)).seal("a", "f", "s");
    const other = await Vault.open(KEY_B);
    expect(await other.unseal("a", "f", sealed)).toMatchObject({ error: { kind: "other_key" } });
    expect(other.knows(sealed.split(".")[1] ?? "")).toBe(false);
  });

  test("an old key still opens, and the new one seals", async () => {
    const old = await Vault.open(KEY_A);
    const sealed = await old.seal("a", "f", "s");
    const rotated = await Vault.open(KEY_B, [KEY_A]);
    expect(await rotated.unseal("a", "f", sealed)).toEqual({ ok: true, value: "s" });
    expect((await rotated.seal("a", "f", "s")).split(".")[1]).toBe(rotated.kid);
    expect(rotated.kid).not.toBe(old.kid);
  });

  test.each(["", "v1", "v1.a.b.c", "v2.a.b.c", "v1.a.b.c.d", "plain text"])(
    "%j is damaged, not a crash",
    async (sealed) => {
      const vault = await Vault.open(KEY_A);
      expect((await vault.unseal("a", "f", sealed)).ok).toBe(false);
      const [version, kid, iv, text] = (await vault.seal("a", "f", "s")).split(".");
      const bent = `${text?.startsWith("A") ? "B" : "A"}${text?.slice(1)}`;
      expect(await vault.unseal("a", "f", [version, kid, iv, bent].join("."))).toMatchObject({
        error: { kind: "damaged" },
      });
    },
  );
});

describe("passwords", () => {
  test("only the right one matches, and equal ones hash differently", () => {
    const stored = hashPassword("correct horse");
    expect(verifyPassword("correct horse", stored)).toBe(true);
    expect(verifyPassword("correct hors", stored)).toBe(false);
    expect(verifyPassword("", stored)).toBe(false);
    expect(hashPassword("correct horse")).not.toBe(stored);
    expect(stored).not.toContain("correct");
  });

  test.each([
    "",
    "plain",
    "$scrypt$ln=4,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "$scrypt$ln=30,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "$argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA",
  ])("%j is not a hash that this relay runs: too weak, too costly or another kind", (stored) => {
    expect(parsePasswordHash(stored)).toBeNull();
    expect(verifyPassword("x", stored)).toBe(false);
  });
});

describe("relay keys", () => {
  test("carry 64 random hex characters behind cr_, and are stored under their hash", async () => {
    const key = generateKey();
    expect(isKeyShape(key)).toBe(true);
    expect(generateKey()).not.toBe(key);
    expect(await hashKey("cr_abc")).toBe(
      "8ccfa87625a54c8642aa5a49565524b769d96a984fbcc7bd5fd9e135c4d2ba00",
    );
    expect(keyHint(key)).toBe(`${key.slice(0, 7)}...${key.slice(-4)}`);
  });
});

describe("the configuration", () => {
  const good: ConfigSource = {
    ANTHROPIC_API_URL: "https://api.anthropic.com/",
    OAUTH_AUTHORIZE_URL: "https://claude.com/cai/oauth/authorize",
    OAUTH_TOKEN_URL: "https://platform.claude.com/v1/oauth/token",
    OAUTH_CLIENT_ID: "client",
    OAUTH_REDIRECT_URI: "https://platform.claude.com/oauth/code/callback",
    OAUTH_SCOPES: "user:inference",
    KEY_STORE: "kv",
    JWT_SECRET: KEY_B,
    ENCRYPTION_KEY: KEY_A,
    ADMIN_USERNAME: "admin",
    ADMIN_PASSWORD_HASH: hashPassword("a long enough password"),
  };
  const problemsOf = (patch: ConfigSource) => {
    const config = readConfig({ ...good, ...patch });
    return config.ok ? [] : config.error.map(({ name }) => name);
  };

  test("a whole one is read, without a trailing slash", () => {
    const config = readConfig(good);
    expect(config.ok && config.value.anthropicApiUrl).toBe("https://api.anthropic.com");
  });

  test.each([
    ["JWT_SECRET", ""],
    ["JWT_SECRET", "short"],
    ["ENCRYPTION_KEY", "0".repeat(64)],
    ["ENCRYPTION_KEY_PREVIOUS", `${KEY_B},short`],
    ["ADMIN_USERNAME", " "],
    ["ADMIN_PASSWORD_HASH", "admin123"],
    ["ANTHROPIC_API_URL", "ftp://x"],
    ["ANTHROPIC_API_URL", "not a url"],
    ["KEY_STORE", "memory"],
    ["RATE_LIMIT_HEADERS", "hide"],
    ["LOG_LEVEL", "loud"],
    ["FORWARD_PROXY_URL", "socks5://x"],
    ["METRICS_TOKEN", "short"],
    ["METRICS_TOKEN", "ab".repeat(32)],
  ] as const)("%s = %j is refused by name", (name, value) => {
    expect(problemsOf({ [name]: value })).toEqual([name]);
  });

  const SENDS_SECRETS = [
    "ANTHROPIC_API_URL",
    "OAUTH_AUTHORIZE_URL",
    "OAUTH_TOKEN_URL",
    "OAUTH_REDIRECT_URI",
    "UPSTASH_REDIS_REST_URL",
  ] as const;
  const withUpstash = { KEY_STORE: "upstash", UPSTASH_REDIS_REST_TOKEN: "token" };

  describe.each(SENDS_SECRETS)("%s", (name) => {
    const problems = (value: string) =>
      problemsOf({
        UPSTASH_REDIS_REST_URL: "https://redis.example",
        ...withUpstash,
        [name]: value,
      });

    test.each([
      "http://api.example.com",
      "HTTP://api.example.com",
      "http://1.1.1.1:8080",
      "http://172.32.0.1",
      "http://localhost.example.com",
      "http://10.0.0.1.nip.io",
      "http://168.63.129.16",
      // They begin with the bits of networks of the other kind.
      "http://[a00::1]",
      "http://252.1.1.1",
      "http://[2606:4700::1111]",
      // Each stands for 8.8.8.8.
      "http://[::ffff:8.8.8.8]",
      "http://[64:ff9b::808:808]",
      "http://[2002:808:808::]",
    ])("would send secrets in the clear to %s, and is refused", (value) => {
      expect(problems(value)).toEqual([name]);
    });

    test.each([
      "https://api.example.com",
      "http://localhost:8080",
      "http://relay.localhost:8080",
      "http://127.0.0.1:8080",
      "http://127.1.2.3",
      "http://[::1]:8080",
      "http://10.1.2.3",
      "http://172.31.0.1",
      "http://192.168.1.1",
      "http://100.64.0.1",
      "http://[fd12::1]",
      "http://redis-door:8079",
      "http://host.docker.internal:8079",
      "http://redis.data.svc.cluster.local",
    ])("may be %s, which keeps them", (value) => {
      expect(problems(value)).toEqual([]);
    });
  });

  test("an address in the clear is refused in words that say what to do, and not what it was", () => {
    const config = readConfig({ ...good, ANTHROPIC_API_URL: "http://hunter2.example" });
    const [problem] = config.ok ? [] : config.error;
    expect(problem?.message).toMatch(
      /^ANTHROPIC_API_URL must be an https:\/\/ address, since credentials pass there; http:\/\//,
    );
    expect(problem?.message).not.toContain("hunter2");
  });

  test("every problem is told at once, and no message shows a value", () => {
    const config = readConfig({ ...good, JWT_SECRET: "hunter2", ENCRYPTION_KEY: undefined });
    expect(config.ok).toBe(false);
    const messages = config.ok ? "" : config.error.map(({ message }) => message).join("\n");
    expect(messages).toMatch(/JWT_SECRET.*\n.*ENCRYPTION_KEY/);
    expect(messages).toContain("npm run setup");
    expect(messages).not.toContain("hunter2");
  });
});

test.each([
  ["192.0.2.7", "192.0.2.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:db8:1:2::9", "2001:db8:1:2::/64"],
  ["2001:DB8:0001:0002::", "2001:db8:1:2::/64"],
  ["::1", "0:0:0:0::/64"],
])("logins from %s are counted under %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});

test.each([
  ["abc", { code: "abc", state: null }],
  [" abc#st \n", { code: "abc", state: "st" }],
  ["https://x/callback?code=abc&state=st", { code: "abc", state: "st" }],
  ["https://x/callback?code=abc%23st", { code: "abc", state: "st" }],
  ["https://x/callback?error=denied", null],
  ["", null],
  ["#st", null],
  ["a b", null],
  ["a#b#c", null],
  ["code=abc&state=st", null],
])("the paste %j is read as %j", (paste, expected) => {
  expect(parsePastedCode(paste)).toEqual(expected);
});
