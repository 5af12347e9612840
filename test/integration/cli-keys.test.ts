import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { replaceSecret } from "../../scripts/cli/key-change.ts";
import { findStoredKey } from "../../scripts/cli/key-find.ts";
import { LocalKv } from "../../scripts/cli/local-kv.ts";
import { keyIds, openStore, storedKeys, writeEach } from "../../scripts/cli/open-store.ts";
import { wranglerScript } from "../../scripts/host/project.ts";
import { startRelay } from "../../scripts/relay-process.ts";
import type { StoredKey } from "../../src/keys/key-store.ts";
import { newKey } from "../../src/keys/new-key.ts";
import { cliHere, type Outcome } from "../fixtures/cli.ts";
import { TestRedis } from "../fixtures/redis/index.ts";
import { ADMIN, type RelayKey, TestRelay } from "../fixtures/relay.ts";

const FILE_MODE_BITS = 0o777;
/** Redis may have to be installed first. */
const REDIS_LIMIT_MS = 180_000;
const NOT_TOLD = /^Not signed in to http\S+ \(.*\)\. The change holds within 30 seconds\.\n$/;

let relay: TestRelay;
/** Folders of these tests alone; a state below it has no relay unless one is started. */
const home = mkdtempSync(join(tmpdir(), "relay-cli-keys-test-"));

beforeAll(async () => {
  relay = await TestRelay.start();
  await relay.addApiKeyAccount("serving");
});

afterAll(async () => {
  await relay.stop();
  rmSync(home, { recursive: true, force: true });
});

interface ShownKey extends RelayKey {
  name: string;
  tags: string[];
  status: string;
  limits: { dailyCost: number | null };
}

/** @param env without more, no relay's address and no password is given */
function cli(stateDir: string, args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  return cliHere(args, { HOME: home, RELAY_STATE_DIR: stateDir, ...env });
}

async function json<T = ShownKey>(
  stateDir: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<T> {
  const { exitCode, stdout, stderr } = await cli(stateDir, ["keys", ...args, "--json"], env);
  expect(exitCode, stderr).toBe(0);
  return JSON.parse(stdout) as T;
}

const asAdmin = { ADMIN_PASSWORD: ADMIN.password };

test("a key made on a fresh state with no relay works at the relay that is started on it", async () => {
  const fresh = join(home, "fresh");
  const made = await cli(fresh, ["keys", "create", "--name", "first of all"]);
  expect(made).toMatchObject({ exitCode: 0, stderr: "" });
  const [apiKey = ""] = made.stdout.match(/cr_[0-9a-f]{64}/) ?? [];
  const started = await startRelay({ stateDir: fresh });
  try {
    const asked = await fetch(`${started.url}/api/v1/key-info`, {
      headers: { "x-api-key": apiKey },
    });
    expect(asked.status).toBe(200);
    expect(await asked.json()).toMatchObject({ keyInfo: { name: "first of all" } });
    const other = await fetch(`${started.url}/api/v1/key-info`, {
      headers: { "x-api-key": apiKey.replace(/.$/, (last) => (last === "0" ? "1" : "0")) },
    });
    expect(other.status).toBe(401);
  } finally {
    await started.stop();
  }
});

test("a key made beside a running relay works at once, without any password", async () => {
  const made = await cli(relay.stateDir, ["keys", "create", "--name", "beside"]);
  expect(made).toMatchObject({ exitCode: 0, stderr: "" });
  const [apiKey = ""] = made.stdout.match(/cr_[0-9a-f]{64}/) ?? [];
  expect(made.stdout).toContain(`ANTHROPIC_BASE_URL=${relay.url}\n`);
  expect((await relay.message({ id: "", apiKey })).status).toBe(200);
});

test("a relay that is told refuses a revoked, replaced or removed key on the next request", async () => {
  const made: ShownKey[] = [];
  for (const name of ["revoked", "replaced", "removed"]) {
    made.push(await json(relay.stateDir, ["create", "--name", name]));
  }
  const status = async (key: RelayKey | undefined) =>
    key === undefined ? null : (await relay.message(key)).status;
  // Each is in the relay's memory as it was.
  for (const key of made) expect(await status(key)).toBe(200);
  const [revoked, replaced, removed] = made;
  await json(relay.stateDir, ["revoke", "revoked", "--yes"], asAdmin);
  expect(await status(revoked)).toBe(403);
  // The session of the first command serves the others.
  const rotated = await json(relay.stateDir, ["rotate", "replaced"]);
  expect(await status(replaced)).toBe(401);
  expect(await status(rotated)).toBe(200);
  expect(await json(relay.stateDir, ["delete", "removed", "--permanent", "--yes"])).toEqual({
    id: removed?.id,
    deleted: true,
    permanent: true,
  });
  expect(await status(removed)).toBe(401);
  await cli(relay.stateDir, ["admin", "logout"]);
});

test("a replaced secret works on during its grace, beside the new one", async () => {
  const old = await json(relay.stateDir, ["create", "--name", "graceful"]);
  const rotated = await json(relay.stateDir, ["rotate", "graceful", "--grace", "24h"], asAdmin);
  expect(rotated.id).toBe(old.id);
  expect((await relay.message(old)).status).toBe(200);
  expect((await relay.message(rotated)).status).toBe(200);
  await cli(relay.stateDir, ["admin", "logout"]);
});

test("without a session nothing is asked: a line says when the change holds", async () => {
  await json(relay.stateDir, ["create", "--name", "untold"]);
  const disabled = await cli(relay.stateDir, ["keys", "disable", "untold"]);
  expect(disabled).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/ is disabled\.\n$/),
  });
  expect(disabled.stderr).toMatch(NOT_TOLD);
  const shown = await cli(relay.stateDir, ["keys", "show", "untold"]);
  expect(shown).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("disabled") });
  expect(shown.stderr).toMatch(/^What was used is not shown: Not signed in/);
  const told = await json<{ usage: object }>(relay.stateDir, ["show", "untold"], asAdmin);
  expect(told.usage).toMatchObject({ total: { requests: 0 } });
  await cli(relay.stateDir, ["admin", "logout"]);
});

test("a disabled key is refused, an enabled one works again, a revoked one never, a deleted one if restored", async () => {
  const state = relay.stateDir;
  const key = await json(state, ["create", "--name", "switched"]);
  const status = async () => (await relay.message(key)).status;
  expect(await status()).toBe(200);
  const disabled = await cli(state, ["keys", "disable", "switched"], asAdmin);
  expect(disabled).toMatchObject({ exitCode: 0, stderr: "" });
  expect(disabled.stdout).toMatch(/is disabled\.\n$/);
  expect(await status()).toBe(403);
  expect((await cli(state, ["keys", "enable", key.id])).stdout).toMatch(/is enabled\.\n$/);
  expect(await status()).toBe(200);
  const unsure = await cli(state, ["keys", "revoke", "switched"]);
  expect(unsure).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("add --yes") });
  const revoke = ["keys", "revoke", key.id.slice(0, 8), "--yes"];
  expect(await cli(state, revoke)).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await status()).toBe(403);
  const enabled = await cli(state, ["keys", "enable", "switched"]);
  expect(enabled).toMatchObject({ exitCode: 1, stdout: "" });
  expect(enabled.stderr).toContain("This key was revoked, for good.");

  expect(await cli(state, ["keys", "delete", "switched"])).toMatchObject({ exitCode: 0 });
  expect(await status()).toBe(401);
  const changed = await cli(state, ["keys", "update", "switched", "--expires", "never"]);
  expect(changed).toMatchObject({ exitCode: 1, stdout: "" });
  expect(changed.stderr).toContain("is deleted. Restore it first: npm run cli -- keys restore");
  const restored = await cli(state, ["keys", "restore", "switched"]);
  expect(restored.stdout).toMatch(/is restored\. It is still refused: revoked\.\n$/);
  expect(await status()).toBe(403);
  await json(state, ["delete", "switched", "--permanent", "--yes"]);
  expect(await status()).toBe(401);
  const gone = await cli(state, ["keys", "show", "switched"]);
  expect(gone).toMatchObject({ exitCode: 1, stdout: "" });
  expect(gone.stderr).toContain('No key is named "switched"');
  await cli(state, ["admin", "logout"]);
});

test("two keys with one name are told apart instead of one being guessed", async () => {
  const state = join(home, "twins");
  const first = await json(state, ["create", "--name", "twin"]);
  const second = await json(state, ["create", "--name", "twin"]);
  const { exitCode, stderr } = await cli(state, ["keys", "disable", "twin"]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(first.id);
  expect(stderr).toContain(second.id);
  // A deleted one is not meant, except where that is the point.
  await json(state, ["delete", first.id]);
  expect((await json(state, ["disable", "twin"])).id).toBe(second.id);
  expect((await json(state, ["restore", "twin"])).id).toBe(first.id);
});

test("tags come and go beside the others, for one key and for all with a tag", async () => {
  const state = join(home, "tagged");
  await json(state, ["create", "--count", "3", "--name-prefix", "t", "--tag", "course", "old"]);
  await json(state, ["update", "t1", "--add-tag", "first"]);
  const update = ["keys", "update", "--where-tag", "course", "--add-tag", "new", "--remove-tag"];
  const changed = await cli(state, [...update, "old"]);
  expect(changed).toMatchObject({ exitCode: 0, stdout: "3 keys were changed.\n" });
  const { keys } = await json<{ keys: ShownKey[] }>(state, ["list", "--name", "t"]);
  expect(keys.map(({ tags }) => tags)).toEqual([
    ["course", "first", "new"],
    ["course", "new"],
    ["course", "new"],
  ]);
  const again = await cli(state, [...update, "old"]);
  expect(again.stdout).toBe("0 keys were changed. 3 had these settings already.\n");
  const many = Array.from({ length: 8 }, (_, n) => `x${n}`);
  const full = await cli(state, ["keys", "update", "--where-tag", "course", "--add-tag", ...many]);
  expect(full).toMatchObject({ exitCode: 1, stdout: "" });
  expect(full.stderr).toContain('Key "t1": A key has at most 10 tags.');
  // All of them were checked first.
  expect((await json<{ keys: ShownKey[] }>(state, ["list", "--tag", "x0"])).keys).toEqual([]);
});

test("two hundred keys at once, found and changed by their tag, and written to a file of one's own", async () => {
  const state = join(home, "batch");
  const output = join(home, "batch.tsv");
  const create = ["keys", "create", "--count", "200", "--name-prefix", "class-", "--tag", "course"];
  const made = await cli(state, [...create, "--output", output]);
  expect(made).toMatchObject({ exitCode: 0, stdout: `200 keys were written to ${output}.\n` });
  expect(made.stderr).toMatch(/Keys made: 200 of 200\n$/);
  expect(statSync(output).mode & FILE_MODE_BITS).toBe(0o600);
  const lines = readFileSync(output, "utf8").trimEnd().split("\n");
  expect(lines).toHaveLength(200);
  expect(lines[6]).toMatch(/^class-007\t[0-9a-f-]{36}\tcr_[0-9a-f]{64}$/);
  const again = await cli(state, [...create, "--output", output]);
  expect(again).toMatchObject({ exitCode: 2, stdout: "" });

  const update = ["keys", "update", "--where-tag", "course", "--daily-cost", "2"];
  expect(await cli(state, update)).toMatchObject({
    exitCode: 0,
    stdout: "200 keys were changed.\n",
  });
  const all = await json<{ keys: ShownKey[]; cursor: null }>(state, ["list", "--all"]);
  expect(all.cursor).toBeNull();
  expect(all.keys).toHaveLength(200);
  expect(all.keys.every(({ limits }) => limits.dailyCost === 2)).toBe(true);
  const page = await json<{ keys: ShownKey[]; cursor: string }>(state, [
    ...["list", "--name", "CLASS-01", "--limit", "4"],
  ]);
  expect(page.keys.map(({ name }) => name)).toEqual([
    ...["class-010", "class-011", "class-012", "class-013"],
  ]);
  const next = ["list", "--name", "CLASS-01", "--limit", "4", "--cursor", page.cursor];
  const { keys } = await json<{ keys: ShownKey[] }>(state, next);
  expect(keys[0]?.name).toBe("class-014");
});

test("what is exported comes back as it was; the same and newer versions stay", async () => {
  const state = join(home, "copied");
  const to = join(home, "copied-to");
  const batch = await json<{ keys: ShownKey[] }>(state, [
    ...["create", "--count", "3", "--name-prefix", "k", "--tag", "x"],
  ]);
  expect(batch.keys.map(({ name }) => name)).toEqual(["k1", "k2", "k3"]);
  const exported = await cli(state, ["keys", "export"]);
  expect(exported).toMatchObject({ exitCode: 0, stderr: "" });
  expect(exported.stdout).not.toMatch(/cr_[0-9a-f]{64}/);
  const path = join(home, "copied.jsonl");
  writeFileSync(path, exported.stdout);

  expect(await json(to, ["import", path])).toEqual({ imported: 3, skipped: 0 });
  expect(await json(to, ["import", path])).toEqual({ imported: 0, skipped: 3 });
  await json(to, ["update", "k2", "--name", "renamed"]);
  expect(await json(to, ["import", path])).toEqual({ imported: 0, skipped: 3 });
  const { keys } = await json<{ keys: ShownKey[] }>(to, ["list", "--tag", "x"]);
  expect(keys.map(({ name }) => name).sort()).toEqual(["k1", "k3", "renamed"]);
  await json(state, ["update", "k1", "--tag", "none"]);
  writeFileSync(path, (await cli(state, ["keys", "export"])).stdout);
  expect(await json(to, ["import", path])).toEqual({ imported: 1, skipped: 2 });
  const left = await json<{ keys: ShownKey[] }>(to, ["list", "--tag", "x"]);
  expect(left.keys.map(({ name }) => name).sort()).toEqual(["k3", "renamed"]);

  writeFileSync(path, `${exported.stdout}{"hash":"x"}\n`);
  const damaged = await cli(to, ["keys", "import", path]);
  expect(damaged).toMatchObject({ exitCode: 1, stdout: "" });
  expect(damaged.stderr).toContain("Line 4 of");
});

test("every setting has its flag, none takes it away, and --json is the admin API's own shape", async () => {
  const account = "7f1d8f0e-3c41-4a53-9c0a-2f6a3a6c3f10";
  const made = await json(relay.stateDir, [
    ...["create", "--name", "full", "--description", "d", "--tag", "a", "b"],
    ...["--expires", "2099-01-31", "--active-for", "36h"],
    ...["--allow-model", "claude-*", "--deny-model", "claude-opus-*", "--account", account],
    ...["--concurrency", "3", "--window-minutes", "60", "--window-requests", "5"],
    ...["--window-tokens", "1000", "--window-cost", "0.5", "--daily-cost", "1.25"],
    ...[
      "--weekly-cost",
      "2",
      "--monthly-cost",
      "3",
      "--total-cost",
      "4",
      "--family-cost",
      "opus=5",
    ],
  ]);
  const { apiKey, ...shown } = made;
  expect(apiKey).toMatch(/^cr_[0-9a-f]{64}$/);
  expect((await relay.admin("GET", `/api-keys/${made.id}`)).data).toMatchObject(shown);
  expect(shown).toMatchObject({
    tags: ["a", "b"],
    activeForHours: 36,
    allowedModels: ["claude-*"],
    accountId: account,
    limits: {
      concurrency: 3,
      window: { minutes: 60, requests: 5, tokens: 1000, cost: 0.5 },
      dailyCost: 1.25,
      weeklyCost: 2,
      monthlyCost: 3,
      totalCost: 4,
      weeklyFamilyCost: { family: "opus", cost: 5 },
    },
  });
  const changed = await json(relay.stateDir, [
    ...[
      "update",
      "full",
      "--window-tokens",
      "none",
      "--account-tag",
      "team",
      "--daily-cost",
      "none",
    ],
    ...[
      "--allow-model",
      "none",
      "--active-for",
      "none",
      "--family-cost",
      "none",
      "--expires",
      "never",
    ],
  ]);
  expect(changed).toMatchObject({
    expiresAt: null,
    activeForHours: null,
    allowedModels: null,
    deniedModels: ["claude-opus-*"],
    accountId: null,
    accountTag: "team",
    limits: {
      window: { minutes: 60, requests: 5, tokens: null, cost: 0.5 },
      dailyCost: null,
      weeklyCost: 2,
      weeklyFamilyCost: null,
    },
  });
  for (const [flag, value] of [
    ["--daily-cost", "-1"],
    ["--concurrency", "1.5"],
    ["--window-requests", "many"],
    ["--family-cost", "gpt=5"],
    ["--tag", "no/slash"],
    ["--account", "somebody"],
  ]) {
    const args = ["keys", "create", "--name", "w", "--window-minutes", "5", `${flag}=${value}`];
    const wrong = await cli(join(home, "untouched"), args);
    expect(wrong, flag).toMatchObject({ exitCode: 2, stdout: "" });
    expect(wrong.stderr).toContain(`${flag} must`);
  }
  expect(existsSync(join(home, "untouched"))).toBe(false);
});

test("what is asked of the local store in one go is sent together; what is busy is asked again, alone", async () => {
  const sent: string[][] = [];
  let isBusy = true;
  const kv = new LocalKv(async (operations) => {
    sent.push(operations.map(([method, name]) => `${method} ${name}`));
    return operations.map(([method, name]) => {
      if (name === "b" && isBusy) return { error: "SQLITE_BUSY" };
      if (Array.isArray(name)) return { entries: [["x", { n: 1 }]] };
      return method === "get" ? { value: name } : {};
    });
  });
  const asked = Promise.all([kv.put("a", ""), kv.put("b", ""), kv.get("c", "json")]);
  await vi.waitFor(() => expect(sent.length).toBeGreaterThan(1));
  isBusy = false;
  expect(await asked).toEqual([undefined, undefined, "c"]);
  expect(sent[0]).toEqual(["put a", "put b", "get c"]);
  for (const repeated of sent.slice(1)) expect(repeated).toEqual(["put b"]);
  expect(await kv.get(["x", "y"], "json")).toEqual(new Map([["x", { n: 1 }]]));
  sent.length = 0;
  await Promise.all(Array.from({ length: 501 }, (_, n) => kv.delete(`k${n}`)));
  expect(sent.map(({ length }) => length)).toEqual([500, 1]);
  const gone = new LocalKv(async () => {
    throw new Error("the runtime has ended");
  });
  await expect(gone.put("a", "")).rejects.toThrow("the runtime has ended");
});

test("the keys of a relay elsewhere are not looked for on this machine", async () => {
  const elsewhere = ["keys", "list", "--url", "https://relay.example.com"];
  const refused = await cli(join(home, "none"), elsewhere);
  expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
  expect(refused.stderr).toContain("add --remote");
});

test("through wrangler a key is made, found, replaced and removed, and no argument tells of it", async () => {
  const state = join(home, "through-wrangler");
  const calls = join(home, "wrangler-calls.jsonl");
  const recorder = join(home, "recorder.mjs");
  writeFileSync(
    recorder,
    `import { appendFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
const args = process.argv.slice(2);
appendFileSync(${JSON.stringify(calls)}, JSON.stringify(args) + "\\n");
const wrangler = ${JSON.stringify(resolve(wranglerScript, "../../wrangler-dist/cli.js"))};
const done = spawnSync(process.execPath, [wrangler, ...args], { stdio: "inherit" });
process.exit(done.status ?? 1);
`,
  );
  const open = () =>
    openStore({ kind: "remote" }, { script: recorder, where: ["--local", "--persist-to", state] });
  const keys = await Promise.all(
    ["one", "two", "three"].map((name) => newKey({ name, tags: ["t"] }, Date.now())),
  );
  const writer = await open();
  await writeEach(
    writer,
    keys,
    ({ stored }) => writer.store.put(stored, null),
    () => {},
  );

  // Another process, which has nothing in mind.
  const reader = await open();
  const found: StoredKey[] = [];
  for await (const page of keyIds(reader, { tag: "t" })) {
    found.push(...(await storedKeys(reader, page)));
  }
  const named = (name: string) => findStoredKey(reader, nameToId(found, name));
  const two = await named("two");
  const three = await named("three");
  const { plainKey, record } = await replaceSecret(reader, two, 0);
  await reader.store.remove(three);
  await reader.commit();

  const local = await openStore({ kind: "local", stateDir: state, namespaceId: "RELAY_KEYS" });
  try {
    const ids: string[] = [];
    for await (const page of keyIds(local, { tag: "t" })) ids.push(...page);
    const stored = await storedKeys(local, ids);
    const names = stored.map(({ record: { name, version } }) => `${name} ${version}`).sort();
    expect(names).toEqual(["one 1", "two 2"]);
    expect(await local.store.findByHash(two.hash)).toBeNull();
    expect((await local.store.findById(record.id))?.record).toEqual(record);
  } finally {
    await local.close();
  }
  const told = readFileSync(calls, "utf8");
  const secrets = [plainKey, ...keys.flatMap(({ plainKey: key, stored }) => [key, stored.hash])];
  for (const secret of secrets) expect(told).not.toContain(secret);
  expect(told.trimEnd().split("\n").length).toBe(5);
});

test(
  "a migration moves every key and proves it, may be repeated, and tells what differs",
  async () => {
    const redis = await TestRedis.start();
    try {
      const state = join(home, "migrated");
      const env = { ...redis.vars, KEY_STORE: "kv" };
      await json(state, ["create", "--count", "5", "--name-prefix", "m"]);
      const there = ["keys", "migrate", "--from", "kv", "--to", "upstash"];
      const moved = await cli(state, there, env);
      expect(moved, moved.stderr).toMatchObject({ exitCode: 0 });
      expect(moved.stdout).toMatch(/^5 copied, 0 were there already in Upstash Redis at 127/);
      expect(moved.stdout).toContain("every hash and record was compared, both ways");
      expect(moved.stdout + moved.stderr).not.toContain(redis.token);
      expect(await json(state, there.slice(1), env)).toEqual({
        copied: 0,
        skipped: 5,
        differences: [],
      });
      const disabled = await json(state, ["disable", "m3"], redis.vars);
      const differs = await cli(state, there, env);
      expect(differs).toMatchObject({ exitCode: 1 });
      expect(differs.stderr).toContain(`${disabled.id}: is not the same in both`);
      const back = await json(state, ["migrate", "--from", "upstash", "--to", "kv"], env);
      expect(back).toEqual({ copied: 1, skipped: 4, differences: [] });
      expect(await json(state, ["show", "m3"])).toMatchObject({ status: "disabled" });
    } finally {
      await redis.close();
    }
  },
  REDIS_LIMIT_MS,
);

function nameToId(keys: readonly StoredKey[], name: string): string {
  return keys.find(({ record }) => record.name === name)?.record.id ?? "";
}
