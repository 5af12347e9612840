import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { AdminClient } from "../../scripts/cli/admin-client.ts";
import { rotate } from "../../scripts/cli/admin-rotate.ts";
import { deployedKeys, type KeyHolder, kidOf } from "../../scripts/cli/encryption-keys.ts";
import type { RelayAddress } from "../../scripts/cli/relay-address.ts";
import { putSecrets } from "../../scripts/cli/wrangler-secrets.ts";
import { passwordProblem } from "../../scripts/host/password-rules.ts";
import { readSecrets, secretsPath, writeSecrets } from "../../scripts/host/secrets-file.ts";
import { cliHere, cliProcess, type Outcome, startCli, untilSaid } from "../fixtures/cli.ts";
import { ADMIN, TestRelay } from "../fixtures/relay.ts";

const FILE_MODE_BITS = 0o777;
/** More than one page of a reseal, and enough that progress is told. */
const ACCOUNTS = 130;
const AT_ONCE = 20;
const OLD_KEY = "fedcba9876543210fedcba9876543210";

let relay: TestRelay;
const home = mkdtempSync(join(tmpdir(), "relay-cli-admin-test-"));

beforeAll(async () => {
  relay = await TestRelay.start({ ownsSecrets: true });
});

afterAll(async () => {
  await relay.stop();
  rmSync(home, { recursive: true, force: true });
});

const env = (more: Record<string, string> = {}) => ({
  HOME: home,
  RELAY_STATE_DIR: relay.stateDir,
  ...more,
});
const mkdirFor = (path: string) => {
  mkdirSync(path, { recursive: true });
  return path;
};
const secrets = () => readSecrets(relay.stateDir) ?? {};

describe("admin rotate-encryption-key", () => {
  interface KeysAnswer {
    current: string;
    accounts: { total: number; sealedUnder: Record<string, number> };
  }
  const run = (...flags: string[]) =>
    cliHere(["admin", "rotate-encryption-key", ...flags], asAdmin());
  const asAdmin = () => env({ ADMIN_PASSWORD: ADMIN.password });
  const relayKeys = async () => (await relay.admin<KeysAnswer>("GET", "/encryption-key")).data;
  const names: string[] = [];

  /** Every account is asked for: the one that answers is told by its credential. */
  async function expectAllServe(): Promise<void> {
    const { data } = await relay.admin<{ accounts: { id: string; status: string }[] }>(
      "GET",
      "/claude-accounts",
    );
    expect(data.accounts).toHaveLength(names.length);
    for (let at = 0; at < data.accounts.length; at += AT_ONCE) {
      const tests = data.accounts
        .slice(at, at + AT_ONCE)
        .map(({ id }) => relay.admin("POST", `/claude-accounts/${id}/test`));
      for (const { data: tested } of await Promise.all(tests)) {
        expect(tested).toMatchObject({ ok: true });
      }
    }
  }

  test("a kill at any moment leaves every account readable, and the same command goes on", async () => {
    for (let at = 0; at < ACCOUNTS; at += AT_ONCE) {
      const batch = Array.from(
        { length: Math.min(AT_ONCE, ACCOUNTS - at) },
        (_, n) => `a${at + n}`,
      );
      names.push(...batch);
      await Promise.all(
        batch.map((name, n) =>
          n % 4 === 0 ? relay.addOAuthAccount(name) : relay.addApiKeyAccount(name),
        ),
      );
    }
    const { ENCRYPTION_KEY: oldKey = "" } = secrets();
    const oldKid = await kidOf(oldKey);

    const begun = await run();
    expect(begun).toMatchObject({ exitCode: 0 });
    expect(begun.stdout).toMatch(/^Step 1 of 3 is done: a new key, [0-9a-f]{12}, is written down/);
    expect(begun.stderr).toMatch(/^Next: stop the relay \(kill \d+, .*\nThen: npm run cli/);
    const { ENCRYPTION_KEY: newKey = "", ENCRYPTION_KEY_PREVIOUS } = secrets();
    expect(newKey).toMatch(/^[0-9a-f]{64}$/);
    expect(ENCRYPTION_KEY_PREVIOUS).toBe(oldKey);
    expect(statSync(secretsPath(relay.stateDir)).mode & FILE_MODE_BITS).toBe(0o600);
    const newKid = await kidOf(newKey);
    // Before the restart the relay seals under the old key: nothing is done, and it is said why.
    const early = await run();
    expect(early).toMatchObject({ exitCode: 1, stdout: "" });
    expect(early.stderr).toContain(
      `still seals under the old key, ${oldKid}.\nNext: stop the relay`,
    );
    expect(secrets().ENCRYPTION_KEY).toBe(newKey);
    expect((await relayKeys()).accounts.sealedUnder).toEqual({ [oldKid]: ACCOUNTS });

    await relay.restart();
    await relay.admin("POST", "/encryption-key/reseal", { limit: 40 });
    const half = { [newKid]: 40, [oldKid]: ACCOUNTS - 40 };
    expect((await relayKeys()).accounts.sealedUnder).toEqual(half);
    await relay.restart({ how: "kill" });
    expect((await relayKeys()).accounts.sealedUnder).toEqual(half);
    await expectAllServe();
    // The command is killed after its first page, and the relay in the middle of the second.
    const child = startCli(["admin", "rotate-encryption-key"], asAdmin());
    await untilSaid(child, /Accounts sealed: 100 of 130/);
    child.kill("SIGKILL");
    await relay.restart({ how: "kill" });
    await expectAllServe();
    // A page that the relay is killed in.
    const cut = relay.admin("POST", "/encryption-key/reseal", { limit: 100 }).then(
      () => "answered",
      () => "cut",
    );
    await new Promise((settle) => setTimeout(settle, 20));
    await relay.restart({ how: "kill" });
    expect(["answered", "cut"]).toContain(await cut);
    await expectAllServe();

    const status = await run("--status");
    expect(status.stdout).toContain(`Old key        ${oldKid}`);
    expect(status.stdout).toContain("A change is under way");
    const sealed = await run();
    expect(sealed, sealed.stderr).toMatchObject({ exitCode: 0 });
    expect(sealed.stdout).toMatch(
      new RegExp(`^All 130 accounts are sealed under ${newKid}; \\d+ were sealed anew just now\\.`),
    );
    expect(await relayKeys()).toMatchObject({
      current: newKid,
      accounts: { sealedUnder: { [newKid]: ACCOUNTS } },
    });
    expect(secrets().ENCRYPTION_KEY_PREVIOUS).toBe(oldKey);

    const dropped = await run("--drop-previous", "--json");
    expect(JSON.parse(dropped.stdout)).toMatchObject({
      step: "dropped",
      accounts: { total: ACCOUNTS, resealed: 0, failed: [] },
    });
    expect(secrets()).toMatchObject({ ENCRYPTION_KEY: newKey });
    expect(secrets().ENCRYPTION_KEY_PREVIOUS).toBeUndefined();
    await relay.restart();
    await expectAllServe();
    const outcomes: Outcome[] = [begun, early, status, sealed, dropped];
    for (const { stdout, stderr } of outcomes) {
      for (const key of [oldKey, newKey]) expect(stdout + stderr).not.toContain(key);
    }
    expect(relay.log).not.toContain(newKey);
  });

  test("the old key is not dropped while one account is not sealed under the new one", async () => {
    await run();
    await relay.restart();
    const { data } = await relay.admin<{ id: string }>("POST", "/claude-accounts", {
      name: "with a proxy",
      apiKey: "sk-ant-api03-x",
      proxy: { type: "http", host: "proxy.example", port: 80 },
    });
    // Sealed under a key that this relay does not have: as after a restore of another backup.
    const { ENCRYPTION_KEY: newKey = "", ENCRYPTION_KEY_PREVIOUS: oldKey = "" } = secrets();
    await relay.restart({ vars: { ENCRYPTION_KEY: `${"x".repeat(24)}12345678` } });
    await relay.admin("PUT", `/claude-accounts/${data.id}`, {
      proxy: { type: "http", host: "other.example", port: 80 },
    });
    await relay.restart({ vars: { ENCRYPTION_KEY: newKey } });
    const refused = await run("--drop-previous");
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toContain(`with a proxy (${data.id}): Its credential was stored under`);
    expect(refused.stderr).toContain("1 account is not sealed under the new key yet.");
    expect(secrets().ENCRYPTION_KEY_PREVIOUS).toBe(oldKey);
    await relay.admin("DELETE", `/claude-accounts/${data.id}`);
    expect(await run("--drop-previous")).toMatchObject({ exitCode: 0 });
    const nothing = await run("--drop-previous");
    expect(nothing).toMatchObject({ exitCode: 0 });
    expect(nothing.stdout).toContain("holds no previous key");
  });

  test("a key that the file does not decide is not changed there, and another relay is not meant", async () => {
    const before = secrets();
    const elsewhere = { ...asAdmin(), ENCRYPTION_KEY: "given in the environment, and so it wins" };
    const wins = await cliHere(["admin", "rotate-encryption-key"], elsewhere);
    expect(wins).toMatchObject({ exitCode: 1, stdout: "" });
    expect(wins.stderr).toContain("ENCRYPTION_KEY is given in .dev.vars or the environment");
    const other = await run("--url", "https://relay.example.com");
    expect(other).toMatchObject({ exitCode: 2 });
    expect(other.stderr).toContain("add --remote");
    expect(await run("--remote")).toMatchObject({ exitCode: 2 });
    expect(secrets()).toEqual(before);
  });
});

test("a deployed relay is given the key by the command, again where that was cut off, and goes on", async () => {
  const deployed = await TestRelay.start({ vars: { ENCRYPTION_KEY: OLD_KEY } });
  process.env.RELAY_STATE_DIR = join(home, "not-the-relays");
  // Where `npm run setup` made what the deployed relay was given.
  writeSecrets(mkdirFor(process.env.RELAY_STATE_DIR), { ENCRYPTION_KEY: OLD_KEY });
  const written = vi.spyOn(process.stdout, "write").mockImplementation(() => true);
  const said = vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  try {
    for (const name of ["one", "two"]) await deployed.addApiKeyAccount(name);
    const address: RelayAddress = {
      get url() {
        return deployed.url;
      },
      ...{ isLoopback: true, isGiven: true, runsHere: false, sessionDir: home },
      username: ADMIN.username,
      password: ADMIN.password,
    };
    let isCutOff = true;
    const holder: KeyHolder = {
      ...deployedKeys(),
      async handOver({ current, previous }) {
        if (isCutOff) throw new Error("no network");
        const vars = { ENCRYPTION_KEY: current, ENCRYPTION_KEY_PREVIOUS: previous.join() };
        await deployed.restart({ vars });
      },
    };
    const next = (flags = {}) =>
      rotate({ address, api: new AdminClient(address), json: true, holder }, flags);
    const answer = () => JSON.parse(String(written.mock.lastCall?.[0])) as Record<string, unknown>;

    await expect(next()).rejects.toThrow("no network");
    const keys = holder.read();
    expect(keys?.previous).toEqual([OLD_KEY]);
    isCutOff = false;
    await next();
    expect(answer()).toMatchObject({ step: "sealed", accounts: { total: 2, resealed: 2 } });
    expect(holder.read()).toEqual(keys);
    await next({ dropPrevious: true });
    expect(answer()).toMatchObject({ step: "dropped", accounts: { resealed: 0, failed: [] } });
    expect(holder.read()).toEqual({ ...keys, previous: [] });
    const { data } = await deployed.admin<{ previous: string[] }>("GET", "/encryption-key");
    expect(data).toMatchObject({ current: await kidOf(keys?.current ?? ""), previous: [] });
    expect(
      (await deployed.admin<{ accounts: unknown }>("GET", "/claude-accounts")).data,
    ).toMatchObject({
      accounts: [{ status: "ready" }, { status: "ready" }],
    });
    const all = JSON.stringify([written.mock.calls, said.mock.calls]);
    for (const key of [OLD_KEY, keys?.current ?? ""]) expect(all).not.toContain(key);
  } finally {
    written.mockRestore();
    said.mockRestore();
    delete process.env.RELAY_STATE_DIR;
    await deployed.stop();
  }
});

describe("the deployed relay's secrets", () => {
  /** Stands in for wrangler: writes down what it is given, and says what wrangler would say. */
  function recorder(says: string): {
    script: string;
    calls: () => { args: string[]; stdin: string }[];
  } {
    const file = join(home, "calls.jsonl");
    const script = join(home, "wrangler.mjs");
    rmSync(file, { force: true });
    writeFileSync(
      script,
      `import { appendFileSync, readFileSync } from "node:fs";
const call = { args: process.argv.slice(2), stdin: readFileSync(0, "utf8") };
appendFileSync(${JSON.stringify(file)}, JSON.stringify(call) + "\\n");
console.log(${JSON.stringify(says)});
`,
    );
    return {
      script,
      calls: () =>
        readFileSync(file, "utf8")
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line)),
    };
  }

  test("go over standard input, all in one step, and never as an argument", async () => {
    const { script, calls } = recorder("created ENCRYPTION_KEY, ENCRYPTION_KEY_PREVIOUS");
    process.env.RELAY_STATE_DIR = join(home, "deployed");
    try {
      const holder = deployedKeys(script);
      expect(holder.read()).toBeNull();
      const keys = { current: "n".repeat(64), previous: ["o".repeat(64)] };
      holder.write(keys);
      expect(statSync(holder.place).mode & FILE_MODE_BITS).toBe(0o600);
      expect(holder.read()).toEqual(keys);
      await holder.handOver(keys);
      const dropped = { ...keys, previous: [] };
      holder.write(dropped);
      await holder.handOver(dropped);
      expect(holder.read()).toEqual(dropped);
      expect(readFileSync(holder.place, "utf8")).not.toContain(keys.previous[0]);
      expect(calls().map(({ stdin }) => JSON.parse(stdin))).toEqual([
        { ENCRYPTION_KEY: keys.current, ENCRYPTION_KEY_PREVIOUS: keys.previous[0] },
        { ENCRYPTION_KEY: keys.current, ENCRYPTION_KEY_PREVIOUS: null },
      ]);
      for (const { args } of calls()) {
        expect(args.slice(0, 2)).toEqual(["secret", "bulk"]);
        expect(args.join(" ")).not.toMatch(/n{64}|o{64}/);
      }
    } finally {
      delete process.env.RELAY_STATE_DIR;
    }
  });

  test("are not called given where wrangler does not say so", async () => {
    const { script } = recorder("There is no such Worker.");
    await expect(putSecrets({ ADMIN_PASSWORD_HASH: "x" }, script)).rejects.toThrow(
      /did not say that it changed the secrets/,
    );
    const broken = join(home, "broken.mjs");
    writeFileSync(broken, 'console.error("[ERROR] no network"); process.exit(1);');
    await expect(putSecrets({ ADMIN_PASSWORD_HASH: "x" }, broken)).rejects.toThrow(
      "wrangler could not change the deployed relay's secrets: no network",
    );
  });
});

describe("admin set-password", () => {
  const NEW = "a wholly new pass phrase";
  const signIn = async (password: string) => {
    const answer = await fetch(`${relay.url}/admin/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ username: ADMIN.username, password }),
    });
    return answer.status;
  };

  test("writes a hash where the relay has its secrets; a weak password is refused in words", async () => {
    const before = secrets();
    for (const [password, words] of [
      ["short", "must have at least 12 characters"],
      ["aaaaaaaaaaaaaaaa", "repeats few characters"],
      ["123456789012345", "neighbours on the keyboard"],
      ["", "on standard input"],
    ] as const) {
      const refused = await cliProcess(["admin", "set-password"], env(), `${password}\n`);
      expect(refused.exitCode, password).toBe(password === "" ? 2 : 1);
      expect(refused.stderr).toContain(words);
      if (password !== "") expect(refused.stdout + refused.stderr).not.toContain(password);
    }
    expect(secrets()).toEqual(before);

    const set = await cliProcess(["admin", "set-password"], env(), `${NEW}\n`);
    expect(set).toMatchObject({ exitCode: 0 });
    expect(set.stdout).toBe(`The admin has another password, in ${secretsPath(relay.stateDir)}.\n`);
    expect(set.stderr).toContain(`The relay at ${relay.url} goes on with the old password`);
    expect(set.stdout + set.stderr).not.toContain(NEW);
    const { ADMIN_PASSWORD_HASH: hash, ...others } = secrets();
    const { ADMIN_PASSWORD_HASH: oldHash, ...othersBefore } = before;
    expect(hash).not.toBe(oldHash);
    expect(others).toEqual(othersBefore);
    const again = await cliHere(["admin", "set-password"], env({ ADMIN_PASSWORD: NEW }));
    expect(again.stdout).toContain("That is the admin's password already.");
    expect(secrets().ADMIN_PASSWORD_HASH).toBe(hash);

    // As it was said: the old one holds until the restart, and with it its sessions.
    expect(await signIn(NEW)).toBe(401);
    expect((await relay.admin("GET", "/session")).status).toBe(200);
    await relay.restart();
    expect(await signIn(ADMIN.password)).toBe(401);
    expect(await signIn(NEW)).toBe(200);
  });

  test.each([
    ["correct-horse-battery", null],
    ["a password for tests only", null],
    ["Password123!", "guessed first"],
    ["adminadmin42", "guessed first"],
    ["qwertyuiopasdf", "neighbours"],
    ["zyxwvutsrqponm", "neighbours"],
    [" leading-and-more", "begin or end with a space"],
    ["line\nbreak-in-it-x", "control character"],
    ["x1".repeat(600), "at most 1000"],
  ])("%j is judged rightly", (password, problem) => {
    const judged = passwordProblem(password, "admin");
    if (problem === null) expect(judged).toBeNull();
    else expect(judged).toContain(problem);
  });
});
