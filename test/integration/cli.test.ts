import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WriteStream } from "node:tty";
import type { Command } from "commander";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { readExpiry } from "../../scripts/cli/moment.ts";
import { makeProgram } from "../../scripts/cli/program.ts";
import { readProxy } from "../../scripts/cli/proxy.ts";
import { fieldLines, tableLines } from "../../scripts/cli/table.ts";
import { textWidth } from "../../scripts/cli/text-width.ts";
import {
  cliHere,
  cliProcess,
  type Outcome,
  outcomeOf,
  startCli,
  untilSaid,
} from "../fixtures/cli.ts";
import { ADMIN, TestRelay } from "../fixtures/relay.ts";

const FILE_MODE_BITS = 0o777;

let relay: TestRelay;
/** A home of the CLI's own: nothing of this machine's is seen or written. */
const home = mkdtempSync(join(tmpdir(), "relay-cli-test-"));

beforeAll(async () => {
  relay = await TestRelay.start();
});

afterAll(async () => {
  await relay.stop();
  rmSync(home, { recursive: true, force: true });
});

interface CallOptions {
  /** Runs the command as a process of its own, with this on its standard input. */
  stdin?: string;
  env?: Record<string, string>;
  /** Leaves out the admin's password. */
  isStranger?: boolean;
}

function envOf({ isStranger, env }: CallOptions): Record<string, string> {
  return {
    HOME: home,
    // The store that the relay runs on: keys are managed there, not through the relay.
    RELAY_STATE_DIR: relay.stateDir,
    RELAY_URL: relay.url,
    ...(isStranger ? {} : { ADMIN_PASSWORD: ADMIN.password }),
    ...env,
  };
}

function cli(args: string[], options: CallOptions = {}): Promise<Outcome> {
  return options.stdin === undefined
    ? cliHere(args, envOf(options))
    : cliProcess(args, envOf(options), options.stdin);
}

const start = (args: string[]) => startCli(args, envOf({}));

async function json<T = Record<string, unknown>>(
  args: string[],
  options: CallOptions = {},
): Promise<T> {
  const { exitCode, stdout, stderr } = await cli([...args, "--json"], options);
  expect(stderr).toBe("");
  expect(exitCode).toBe(0);
  return JSON.parse(stdout) as T;
}

test("an API key from standard input becomes an account that serves, and is never shown", async () => {
  const { apiKey } = relay.fake.accounts.addApiKey({ name: "from stdin" });
  const added = await cli(["accounts", "add", "--name", "from stdin", "--api-key-stdin"], {
    stdin: `${apiKey}\n`,
  });
  expect(added.exitCode).toBe(0);
  expect(added.stdout).toMatch(/^Account "from stdin" \([0-9a-f]{8}\) was added\.\n$/);
  expect(added.stderr).toBe("Tested: Anthropic accepted the credential.\n");

  const secrets = [apiKey, apiKey.slice(-20)];
  for (const args of [
    ["accounts", "list"],
    ["accounts", "list", "--json"],
    ["accounts", "show", "from stdin"],
    ["accounts", "show", "from stdin", "--json"],
  ]) {
    const { stdout, stderr, exitCode } = await cli(args);
    expect(exitCode).toBe(0);
    expect(stdout).toContain("from stdin");
    for (const secret of secrets) expect(stdout + stderr).not.toContain(secret);
  }
  expect(added.stdout + added.stderr).not.toContain(apiKey.slice(-20));
});

test("a credentials file and a setup token become accounts; the notice comes with them", async () => {
  const login = relay.fake.accounts.addOAuth({ name: "file" });
  const path = join(home, "credentials.json");
  const claudeAiOauth = {
    accessToken: login.accessToken,
    refreshToken: login.refreshToken,
    expiresAt: login.expiresAtMs,
    scopes: login.scope.split(" "),
    subscriptionType: "max",
  };
  writeFileSync(path, JSON.stringify({ claudeAiOauth }));
  const fromFile = await cli(["accounts", "add", "--name", "file", "--credentials-file", path]);
  expect(fromFile).toMatchObject({ exitCode: 0 });
  expect(fromFile.stderr).toContain("API keys are the\nsupported credential for a shared gateway");
  expect(fromFile.stderr).toContain("Tested: Anthropic accepted the credential.");

  const token = relay.fake.accounts.addOAuth({ name: "token" });
  const fromToken = await cli(["accounts", "add", "--name", "token", "--setup-token-stdin"], {
    stdin: token.accessToken,
  });
  expect(fromToken).toMatchObject({ exitCode: 0 });
  const all = [fromFile, fromToken].map(({ stdout, stderr }) => stdout + stderr).join("");
  expect(all).not.toContain(login.accessToken);
  expect(all).not.toContain(token.accessToken);

  const refreshed = await cli(["accounts", "refresh", "file"]);
  expect(refreshed.stdout).toContain('Account "file"');
  expect(refreshed.stdout).toContain("has a new token, good until");
});

test("a damaged credentials file is refused without a word of its content", async () => {
  const path = join(home, "damaged.json");
  writeFileSync(path, '{"claudeAiOauth": {"accessToken": "sk-ant-oat01-secretpart');
  const add = ["accounts", "add", "--name", "damaged", "--credentials-file"];
  const damaged = await cli([...add, path]);
  expect(damaged.exitCode).toBe(1);
  expect(damaged.stderr).toContain("damaged.json holds no JSON");
  expect(damaged.stdout + damaged.stderr).not.toContain("secretpart");
  const missing = await cli([...add, join(home, "nowhere.json")]);
  expect(missing.exitCode).toBe(2);
  expect(missing.stderr).toMatch(/There is no file .*nowhere\.json\.\n$/);
});

test("the login walk says the terms first, tries wrong pastes again, and ends with an account", async () => {
  const child = start(["accounts", "login", "--priority", "70", "--json"]);
  const outcome = outcomeOf(child);
  const [said, link = ""] = await untilSaid(child, /^[\s\S]*\n(http\S+authorize\S+)\n[\s\S]*here/);
  expect(said.indexOf("third parties\nmay not route")).toBeGreaterThan(-1);
  expect(said.indexOf("third parties\nmay not route")).toBeLessThan(said.indexOf(link));

  child.stdin?.write("wrong-code#wrong-state\n");
  await untilSaid(child, /This code belongs to another login link/);
  child.stdin?.write("\n   \n");
  child.stdin?.end(`${relay.fake.oauth.authorize(link, { account: "walk" })}\n`);
  const { exitCode, stdout } = await outcome;
  expect(exitCode).toBe(0);
  const account = JSON.parse(stdout) as Record<string, unknown>;
  expect(account).toMatchObject({
    name: "walk@example.com",
    kind: "oauth",
    priority: 70,
    status: "ready",
  });

  // The first login's tokens are dead from here on: only those of the second can be refreshed.
  relay.fake.accounts.revoke("walk");
  expect(await cli(["accounts", "refresh", "walk@example.com"])).toMatchObject({ exitCode: 1 });
  relay.fake.accounts.restore("walk");
  const before = await json(["accounts", "show", "walk@example.com"]);
  expect(before.status).toBe("trouble");
  const again = start(["accounts", "login", "walk@example.com"]);
  const renewed = outcomeOf(again);
  const [, secondLink = ""] = await untilSaid(again, /\n(http\S+authorize\S+)\n/);
  again.stdin?.end(`${relay.fake.oauth.authorize(secondLink, { account: "walk" })}\n`);
  expect((await renewed).stdout).toMatch(/^Account "walk@.* is logged in again: ready\.\n$/);
  expect(await cli(["accounts", "refresh", "walk@example.com"])).toMatchObject({ exitCode: 0 });
  const { accounts } = await json<{ accounts: { name: string }[] }>(["accounts", "list"]);
  expect(accounts.filter(({ name }) => name === "walk@example.com")).toHaveLength(1);
});

test("a login whose input ends without a code adds nothing", async () => {
  const before = await json<{ accounts: unknown[] }>(["accounts", "list"]);
  const { exitCode, stderr } = await cli(["accounts", "login"], { stdin: "nonsense\n" });
  expect(exitCode).toBe(1);
  expect(stderr).toContain("Standard input ended before a code was accepted. Nothing was changed.");
  expect(await json(["accounts", "list"])).toEqual(before);
});

test("a new key is printed once, with the lines that point Claude Code at the relay, and works", async () => {
  await relay.addApiKeyAccount("serving");
  const { exitCode, stdout, stderr } = await cli([
    "keys",
    "create",
    "--name",
    "new",
    "--expires",
    "30d",
  ]);
  expect(exitCode).toBe(0);
  expect(stderr).toBe("");
  const [apiKey = ""] = stdout.match(/cr_[0-9a-f]{64}/) ?? [];
  expect(stdout.split(apiKey)).toHaveLength(2);
  expect(stdout).toContain(`ANTHROPIC_BASE_URL=${relay.url}\n`);
  expect(stdout).toContain(`ANTHROPIC_AUTH_TOKEN=${apiKey}\n`);
  expect(stdout).toContain("(in 30 days)");
  expect((await relay.message({ id: "", apiKey })).status).toBe(200);

  for (const args of [["list"], ["show", "new", "--json"]]) {
    const shown = await cli(["keys", ...args]);
    expect(shown.stdout).toContain(apiKey.slice(0, 7));
    expect(shown.stdout + shown.stderr).not.toContain(apiKey);
  }
});

test("what cannot be undone needs --yes where no one can be asked", async () => {
  await relay.createKey({ name: "kept" });
  await relay.addApiKeyAccount("kept account");
  for (const args of [
    ["keys", "delete", "kept", "--permanent"],
    ["accounts", "remove", "kept account"],
  ]) {
    const { exitCode, stderr } = await cli(args, { stdin: "y\n" });
    expect(exitCode).toBe(2);
    expect(stderr).toContain("add --yes");
  }
  expect(await json(["keys", "show", "kept"])).toMatchObject({ status: "active" });
  const removed = await cli(["accounts", "remove", "kept account", "--yes"]);
  expect(removed.stdout).toMatch(/ was removed\.\n$/);
  expect(await cli(["accounts", "show", "kept account"])).toMatchObject({ exitCode: 1 });
});

test("accounts can be switched, changed, tested and reset", async () => {
  const id = await relay.addApiKeyAccount("busy");
  const account = (args: string[]) => json(["accounts", ...args]);
  expect(await account(["disable", "busy"])).toMatchObject({ id, status: "disabled" });
  expect(await account(["enable", "busy"])).toMatchObject({ id, status: "ready" });
  expect(await account(["reset", id])).toMatchObject({ id, status: "ready" });
  const changed = await account(["update", id, "--name", "busier", "--priority", "7"]);
  expect(changed).toMatchObject({ id, name: "busier", priority: 7 });
  expect(await account(["test", "busier"])).toMatchObject({ ok: true, status: 200 });
  relay.fake.accounts.revoke("busy");
  const failed = await cli(["accounts", "test", "busier"]);
  expect(failed).toMatchObject({ exitCode: 1, stdout: "" });
  expect(failed.stderr).toContain("failed its test: Upstream refused its credential (401)");
  expect(await cli(["accounts", "test", "busier", "--json"])).toMatchObject({ exitCode: 1 });
});

test("tags of an account are given, come and go, and are shown", async () => {
  const { apiKey } = relay.fake.accounts.addApiKey({ name: "tagged" });
  const add = ["accounts", "add", "--name", "tagged", "--tag", "gold", "eu", "--api-key-stdin"];
  expect(await cli(add, { stdin: apiKey })).toMatchObject({ exitCode: 0 });
  const update = (...flags: string[]) => json(["accounts", "update", "tagged", ...flags]);
  const changed = await update("--add-tag", "new", "gold", "--remove-tag", "eu", "other");
  expect(changed.tags).toEqual(["gold", "new"]);
  expect((await cli(["accounts", "list"])).stdout).toMatch(/tagged .* API key +gold, new +50/);
  expect((await cli(["accounts", "show", "tagged"])).stdout).toMatch(/Tags +gold, new\n/);
  expect((await update("--tag", "only")).tags).toEqual(["only"]);
  expect((await update("--tag", "none")).tags).toEqual([]);
  const both = await cli(["accounts", "update", "tagged", "--tag", "a", "--add-tag", "b"]);
  expect(both).toMatchObject({ exitCode: 2, stdout: "" });
  const wrong = await cli(["accounts", "update", "tagged", "--tag", "no/slash"]);
  expect(wrong).toMatchObject({ exitCode: 1, stdout: "" });
  expect(wrong.stderr).toContain("must be letters, digits");
});

test("another credential takes the place of the one in use, whatever its kind, and is tested", async () => {
  const id = await relay.addApiKeyAccount("replaced");
  relay.fake.accounts.revoke("replaced");
  await cli(["accounts", "test", "replaced"]);
  expect(await json(["accounts", "show", id])).toMatchObject({ status: "trouble" });
  const login = relay.fake.accounts.addOAuth({ name: "next login" });
  const file = {
    claudeAiOauth: { accessToken: login.accessToken, refreshToken: login.refreshToken },
  };
  const token = relay.fake.accounts.addOAuth({ name: "next token" }).accessToken;
  const { apiKey } = relay.fake.accounts.addApiKey({ name: "next key" });
  const given: [string[], string, string][] = [
    [["--credential"], `${JSON.stringify(file, null, 2)}\n`, "oauth"],
    [["--credential"], `${token}\n`, "setup_token"],
    [["--credential"], `${apiKey}\n`, "api_key"],
    [["--setup-token-stdin"], token, "setup_token"],
    [["--api-key-stdin", "--priority", "9"], apiKey, "api_key"],
  ];
  for (const [flags, stdin, kind] of given) {
    const changed = await cli(["accounts", "update", "replaced", ...flags], { stdin });
    expect(changed.stdout).toMatch(/^Account "replaced" \(.*\) has another credential\.\n$/);
    expect(changed.stderr).toContain("Tested: Anthropic accepted the credential.");
    expect(changed.stderr.includes("third parties")).toBe(kind !== "api_key");
    for (const secret of [login.accessToken, token, apiKey]) {
      expect(changed.stdout + changed.stderr).not.toContain(secret);
    }
    expect(await json(["accounts", "show", id])).toMatchObject({ id, kind, status: "ready" });
  }
  for (const [flags, stdin, words] of [
    [["--credential"], "\n", "Standard input holds no credential."],
    [["--credential", "--api-key-stdin"], "x", "Give either --credential or"],
    [[], "", "Nothing to change"],
  ] as const) {
    const wrong = await cli(["accounts", "update", "replaced", ...flags], { stdin });
    expect(wrong).toMatchObject({ exitCode: 2, stdout: "" });
    expect(wrong.stderr).toContain(words);
  }
});

test("a proxy comes over standard input after the credential, and its password stays unseen", async () => {
  const { apiKey } = relay.fake.accounts.addApiKey({ name: "proxied" });
  const added = await cli(
    ["accounts", "add", "--name", "proxied", "--api-key-stdin", "--proxy-stdin"],
    { stdin: `${apiKey}\nsocks5://me:hid%40den@proxy.example:1080\n` },
  );
  expect(added).toMatchObject({ exitCode: 0 });
  const shown = await cli(["accounts", "show", "proxied"]);
  expect(shown.stdout).toContain("socks5://me:…@proxy.example:1080");
  expect(added.stdout + added.stderr + shown.stdout).not.toMatch(/hid(%40|@)den/);
  const without = await json(["accounts", "update", "proxied", "--no-proxy"]);
  expect(without).toMatchObject({ hasProxy: false });
});

test("--json gives the API's own data and nothing else", async () => {
  await relay.addApiKeyAccount("shape");
  const { apiKey, ...made } = await json([
    "keys",
    "create",
    "--name",
    "shape",
    "--description",
    "d",
  ]);
  expect(apiKey).toMatch(/^cr_[0-9a-f]{64}$/);
  const { keys } = await json<{ keys: { name: string }[] }>(["keys", "list"]);
  expect(keys.find(({ name }) => name === "shape")).toEqual(made);
  const direct = await relay.admin("GET", "/claude-accounts");
  expect(await json(["accounts", "list"])).toEqual(direct.data);
  const status = await json<{ accounts: Record<string, number> }>(["status"]);
  expect(status).toMatchObject({ url: relay.url, health: { status: "ok" } });
  expect(status.accounts.ready).toBeGreaterThan(0);
});

test("a wrong password exits with 4 and says so; no password at all, too", async () => {
  const env = { XDG_CONFIG_HOME: join(home, "nobody"), RELAY_STATE_DIR: join(home, "nowhere") };
  const wrong = await cli(["accounts", "list"], {
    env: { ...env, ADMIN_PASSWORD: "not the password" },
  });
  expect(wrong).toMatchObject({ exitCode: 4, stdout: "" });
  expect(wrong.stderr).toMatch(/^Wrong user name or password\.\n.*--reset-admin-password\n$/);
  const status = await cli(["status"], { env: { ...env, ADMIN_PASSWORD: "not the password" } });
  expect(status).toMatchObject({ exitCode: 4, stdout: expect.stringContaining("Key store") });
  const none = await cli(["accounts", "list"], { env, isStranger: true });
  expect(none).toMatchObject({ exitCode: 4, stdout: "" });
  expect(none.stderr).toContain("Set ADMIN_PASSWORD, or run `npm run cli -- admin login`");
});

test("a session is kept in a file that only its owner can read, until logout", async () => {
  const configHome = join(home, "config");
  // A relay elsewhere, as far as the CLI knows: there is no state folder here.
  const env = { XDG_CONFIG_HOME: configHome, RELAY_STATE_DIR: join(home, "nowhere") };
  const login = await cli(["admin", "login"], { env });
  expect(login.stdout).toMatch(/^Signed in to http\S+ as admin until .* UTC \(in 12 h\)\.\n$/);
  const folder = join(configHome, "claude-edge-relay");
  const [file = ""] = readdirSync(folder);
  expect(statSync(join(folder, file)).mode & FILE_MODE_BITS).toBe(0o600);
  const { token } = JSON.parse(readFileSync(join(folder, file), "utf8")) as { token: string };
  expect(await cli(["accounts", "list"], { env, isStranger: true })).toMatchObject({ exitCode: 0 });

  const logout = await cli(["admin", "logout"], { env, isStranger: true });
  expect(logout).toMatchObject({ exitCode: 0 });
  expect(readdirSync(folder)).toEqual([]);
  const refused = await fetch(`${relay.url}/admin/session`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(refused.status).toBe(401);
});

test("a session that the relay no longer takes is replaced by a new one, unseen", async () => {
  const { stdout } = await cli(["admin", "login", "--json"]);
  expect(stdout).not.toContain("token");
  const [file = ""] = readdirSync(relay.stateDir).filter((name) => name.startsWith("cli-session-"));
  const kept = JSON.parse(readFileSync(join(relay.stateDir, file), "utf8")) as { token: string };
  await fetch(`${relay.url}/admin/logout`, {
    method: "POST",
    headers: { authorization: `Bearer ${kept.token}` },
  });
  expect(await cli(["accounts", "list"])).toMatchObject({ exitCode: 0, stderr: "" });
  const renewed = JSON.parse(readFileSync(join(relay.stateDir, file), "utf8")) as { token: string };
  expect(renewed.token).not.toBe(kept.token);
});

test("without an address the relay of the state folder is found", async () => {
  const env = { RELAY_STATE_DIR: relay.stateDir, RELAY_URL: "" };
  const { url } = await json<{ url: string }>(["status"], { env });
  expect(url).toBe(relay.url);
});

test("where no relay answers the exit code is 3, before any password is asked for", async () => {
  const server = createServer();
  await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
  const { port } = server.address() as AddressInfo;
  await new Promise((settle) => server.close(settle));
  const url = `http://127.0.0.1:${port}`;
  for (const args of [["status"], ["accounts", "list"]]) {
    const refused = await cli([...args, "--url", url], { isStranger: true });
    expect(refused).toMatchObject({ exitCode: 3, stdout: "" });
    expect(refused.stderr).toBe(
      `No relay answers at ${url} (connection refused).\nCheck the address and that the relay runs there.\n`,
    );
  }
});

test("another server's address gets no password, and a redirect is not followed", async () => {
  const seen: string[] = [];
  const server = createServer((request, answer) => {
    seen.push(`${request.method} ${request.url}`);
    if (seen.length === 1) answer.writeHead(302, { location: `${relay.url}/health` }).end();
    else answer.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
  await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const redirect = await cli(["accounts", "list", "--url", url]);
  const stranger = await cli(["accounts", "list", "--url", url]);
  await new Promise((settle) => server.close(settle));
  expect(redirect.exitCode).toBe(3);
  expect(redirect.stderr).toContain("is not this relay: HTTP 302 with a redirect to");
  expect(stranger.exitCode).toBe(3);
  expect(seen).toEqual(["GET /health", "GET /health"]);
});

test("a typo is answered with the right word, for every noun, verb and flag, and exit code 2", async () => {
  const misspelt = (word: string) => `${word.slice(0, 2)}${word.slice(1)}`;
  const suggests = async (args: string[], right: string) => {
    const { exitCode, stdout, stderr } = await cli(args);
    expect({ exitCode, stdout }, args.join(" ")).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(/^Unknown (command|option) /);
    expect(/Did you mean (?:one of )?(.*)\?/.exec(stderr)?.[1]?.split(", "), stderr).toContain(
      right,
    );
    expect(stderr).toContain("Add --help to see what there is.");
  };
  let words = 0;
  for (const { command, path } of commandTree()) {
    for (const { name } of command.commands.map((child) => ({ name: child.name() }))) {
      await suggests([...path, misspelt(name)], name);
      words += 1;
    }
    if (command.commands.length > 0) continue;
    const needed = command.options.flatMap(({ mandatory, long, argChoices }) =>
      mandatory && long ? [long, argChoices?.[0] ?? "kv"] : [],
    );
    for (const { long } of command.options) {
      if (!long) continue;
      await suggests([...path, ...needed, `--${misspelt(long.slice(2))}`], long);
      words += 1;
    }
  }
  expect(words).toBeGreaterThan(100);
});

test("no flag takes a secret but the one that is warned of, and a secret among the arguments is refused unrepeated", async () => {
  const flags = commandTree().flatMap(({ command }) =>
    command.options.filter(({ flags: text }) => /[<[]/.test(text)).map(({ long }) => long),
  );
  expect([...new Set(flags)].sort()).toEqual([
    "--account",
    "--account-tag",
    "--active-for",
    "--add-tag",
    "--allow-model",
    "--cache-read",
    "--cache-write",
    "--cache-write-hour",
    "--category",
    "--concurrency",
    "--count",
    "--credentials-file",
    "--cursor",
    "--daily-cost",
    "--deny-model",
    "--description",
    "--encryption-key",
    "--expires",
    "--family-cost",
    "--format",
    "--from",
    "--grace",
    "--input",
    "--kind",
    "--level",
    "--limit",
    "--max-concurrency",
    "--model",
    "--monthly-cost",
    "--name",
    "--name-prefix",
    "--output",
    "--passphrase-file",
    "--priority",
    "--redis",
    "--remove-tag",
    "--request",
    "--session",
    "--tag",
    "--to",
    "--total-cost",
    "--url",
    "--username",
    "--via",
    "--weekly-cost",
    "--weight",
    "--where-tag",
    "--window-cost",
    "--window-minutes",
    "--window-requests",
    "--window-tokens",
  ]);
  const secret = "sk-ant-api03-do-not-repeat-me";
  for (const args of [
    ["keys", "show", secret],
    ["accounts", "add", `--api-key=${secret}`],
    ["admin", "login", "--password", "do-not-repeat-me"],
    ["keys", "list", "--secret=do-not-repeat-me"],
    ["keys", "list", "--url", "http://me:do-not-repeat-me@127.0.0.1"],
  ]) {
    const { exitCode, stdout, stderr } = await cli(args);
    expect(exitCode).toBe(2);
    expect(stdout + stderr).not.toContain("do-not-repeat-me");
    expect(stderr).not.toContain("    at ");
  }
});

test("every command has help, and its examples name commands and flags that there are", async () => {
  const { exitCode, stdout } = await cli(["--help"]);
  expect(exitCode).toBe(0);
  expect(stdout).toContain("Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no relay");
  const tree = commandTree();
  let examples = 0;
  for (const { command, path } of tree) {
    const help = await cli([...path, "--help"]);
    expect(help, path.join(" ")).toMatchObject({ exitCode: 0, stderr: "" });
    expect(help.stdout).toContain(command.description());
    const [, after = ""] = help.stdout.split(/\nExamples?:\n/);
    const lines = after.split("\n").filter((line) => line.trim() !== "");
    expect(lines.length, path.join(" ")).toBeGreaterThan(0);
    for (const line of lines) {
      const [, words = ""] = /^ {2}(?:npm run cli --|node scripts\/cli\.ts) (.*)$/.exec(line) ?? [];
      const meant = tree
        .filter((each) => each.path.length > 0 && words.startsWith(each.path.join(" ")))
        .at(-1);
      expect(meant?.path.slice(0, path.length), line).toEqual(path);
      const known = [meant?.command, meant?.command.parent, meant?.command.parent?.parent].flatMap(
        (each) => each?.options.map(({ long }) => long) ?? [],
      );
      for (const [flag] of words.matchAll(/--[a-z-]+/g)) expect(known, line).toContain(flag);
      examples += 1;
    }
  }
  expect(examples).toBeGreaterThan(tree.length - 1);
});

test("a terminal gets colours, but not where NO_COLOR asks for none", async () => {
  await relay.addApiKeyAccount("coloured");
  const { stdout } = process;
  const isTTY = stdout.isTTY;
  // As a terminal's stream has it: it looks at the environment itself.
  const depth = vi.fn(WriteStream.prototype.getColorDepth);
  Object.assign(stdout, { isTTY: true, getColorDepth: depth });
  try {
    const coloured = await cli(["accounts", "list"], { env: { TERM: "xterm-256color" } });
    expect(coloured.stdout).toContain("\u001b[");
    const plain = await cli(["accounts", "list"], {
      env: { TERM: "xterm-256color", NO_COLOR: "1" },
    });
    expect(plain.stdout).toContain("coloured");
    expect(plain.stdout).not.toContain("\u001b");
  } finally {
    Object.assign(stdout, { isTTY });
    Reflect.deleteProperty(stdout, "getColorDepth");
  }
});

test("output for pipes has no colours", async () => {
  for (const args of [["keys", "list"], ["accounts", "list"], ["status"], ["--help"]]) {
    const { stdout, stderr } = await cli(args, { stdin: "", env: { TERM: "xterm-256color" } });
    expect(stdout + stderr).not.toContain("\u001b");
  }
});

test("tables stay aligned with wide characters, and fit a narrow terminal", () => {
  const columns = [{ title: "NAME", shrinks: true }, { title: "ID" }];
  const rows = [
    ["日本語のアカウント", "1"],
    ["plain\u001b[31m\nname", "2"],
  ];
  const [, wide = "", simple = ""] = tableLines(columns, rows, undefined);
  expect(wide).toBe("日本語のアカウント  1");
  expect(simple).toBe(`plain[31m name${" ".repeat(4)}  2`);
  expect(fieldLines([["Note", "a\u001b]0;title\u0007b"]])[0]).toMatch(/a\]0;titleb$/);
  const narrow = tableLines(columns, rows, 14).slice(1);
  expect(narrow.map(textWidth).every((width) => width <= 14)).toBe(true);
  expect(narrow[0]).toContain("…");
});

test("an expiry is a span, a day or a time that is still to come, or never", () => {
  const nowMs = Date.parse("2026-11-01T12:00:00Z");
  expect(readExpiry("12h", nowMs)).toBe("2026-11-02T00:00:00.000Z");
  expect(readExpiry("30d", nowMs)).toBe("2026-12-01T12:00:00.000Z");
  expect(readExpiry("2027-01-31", nowMs)).toBe("2027-01-31T00:00:00.000Z");
  expect(readExpiry("2027-01-31T18:00:00+02:00", nowMs)).toBe("2027-01-31T16:00:00.000Z");
  expect(readExpiry("never", nowMs)).toBe("never");
  for (const wrong of [
    "",
    "0d",
    "tomorrow",
    "2027-02-31",
    "2027-13-01",
    "2020-01-01",
    "30",
    "-1d",
  ]) {
    expect(() => readExpiry(wrong, nowMs), wrong).toThrow();
  }
});

test("a proxy address is read whole, and an error does not quote it", () => {
  expect(readProxy("socks5://me:p%40ss@proxy.example:1081")).toEqual({
    type: "socks5",
    host: "proxy.example",
    port: 1081,
    username: "me",
    password: "p@ss",
  });
  expect(readProxy("http://proxy.example:80").port).toBe(80);
  expect(readProxy("socks5://[::1]")).toEqual({ type: "socks5", host: "[::1]", port: 1080 });
  for (const wrong of ["hidden", "ftp://hidden", "socks5://me:hidden@", "http://h/hidden"]) {
    expect(() => readProxy(wrong), wrong).toThrow(/^(?!.*hidden)/s);
  }
});

interface PlacedCommand {
  command: Command;
  /** The words that lead to it. */
  path: string[];
}

/** Every command that there is, the program itself first. */
function commandTree(command: Command = makeProgram(), path: string[] = []): PlacedCommand[] {
  const below = command.commands.flatMap((child) => commandTree(child, [...path, child.name()]));
  return [{ command, path }, ...below];
}

test("an account's place in the pool is set by flags, and explain tells which one a key's request would go to", async () => {
  const add = (name: string, ...flags: string[]) =>
    cli(["accounts", "add", "--name", name, "--tag", "pool", "--api-key-stdin", ...flags], {
      stdin: relay.fake.accounts.addApiKey({ name }).apiKey,
    });
  await add("fast", "--priority", "1", "--weight", "3", "--max-concurrency", "5");
  await add("slow", "--priority", "2", "--expires", "never");
  const { stdout: shown } = await cli(["accounts", "show", "fast"]);
  expect(shown).toMatch(/Weight +3\n/);
  expect(shown).toMatch(/At once +5 at most\n/);
  await cli(["keys", "create", "--name", "reader", "--account-tag", "pool"]);
  const { stdout: told } = await cli(["accounts", "explain", "reader", "--session", "s"]);
  expect(told).toMatch(/^fast \([0-9a-f]{8}\): The session is new/);
  expect(told).toMatch(/\n→ +fast .* ready +It would be chosen\.\n/);
  await cli(["accounts", "update", "fast", "--no-schedulable", "--max-concurrency", "none"]);
  const after = await json<{
    chosen: { name: string };
    accounts: { name: string; because: string }[];
  }>(["accounts", "explain", "reader", "fast"]);
  expect(after.chosen.name).toBe("slow");
  expect(after.accounts).toMatchObject([
    { name: "fast", because: expect.stringContaining("takes no new work") },
  ]);
  expect(await cli(["accounts", "update", "fast", "--weight", "0"])).toMatchObject({ exitCode: 2 });
  await cli(["accounts", "remove", "fast", "--yes"]);
  await cli(["accounts", "remove", "slow", "--yes"]);
});

test("prices: a price that is set counts for the next request, not for those before, until it is removed", async () => {
  await relay.addApiKeyAccount("priced");
  const key = await relay.createKey({ name: "priced" });
  const model = "claude-haiku-4-5";
  const NANO = 1e9;
  /** Sends a message. @returns what it cost, and what upstream billed, in tokens */
  const spend = async () => {
    const before = await relay.usage(key);
    const billed = relay.fake.ledger.totals().bill;
    await (await relay.message(key, { model })).text();
    const after = await relay.settledUsage(key);
    const { bill } = relay.fake.ledger.totals();
    const costOf = ({ usage }: typeof after) => Math.round((usage.total.cost ?? 0) * NANO);
    return {
      cost: costOf(after) - costOf(before),
      input: bill.inputTokens - billed.inputTokens,
      output: bill.outputTokens - billed.outputTokens,
    };
  };
  const listed = await spend();
  expect(listed.output).toBeGreaterThan(0);
  expect(listed.cost).toBe(listed.input * 1_000 + listed.output * 5_000);

  expect((await cli(["prices", "list"])).stderr).toContain("No price of your own");
  const dollars = ["--input", "2", "--output", "7.5"];
  const cache = ["--cache-write", "2.5", "--cache-write-hour", "4", "--cache-read", "0.2"];
  const tooDear = await cli([
    "prices",
    "set",
    model,
    "--input",
    "20",
    ...dollars.slice(2),
    ...cache,
  ]);
  expect(tooDear).toMatchObject({ exitCode: 1, stdout: "" });
  expect(tooDear.stderr).toContain("input would be more than 10 times");
  const noAmount = await cli([
    "prices",
    "set",
    model,
    "--input",
    "-2",
    ...dollars.slice(2),
    ...cache,
  ]);
  expect(noAmount).toMatchObject({ exitCode: 2, stdout: "" });
  expect(noAmount.stderr).toContain("--input takes dollars");
  const done = await cli(["prices", "set", model, ...dollars, ...cache, "--from", "2026-01-01"]);
  expect(done.stdout).toBe("The price of claude-haiku-4-5 is set from 2026-01-01 on.\n");
  expect((await cli(["prices", "list"])).stdout).toMatch(
    /claude-haiku-4-5 +2026-01-01 +2 +7\.5 +2\.5 +4 +0\.2 +you\n/,
  );
  expect((await cli(["prices", "list", "--all"])).stdout).toMatch(/default .* the relay\n/);
  const own = await spend();
  expect(own.cost).toBe(own.input * 2_000 + own.output * 7_500);

  await relay.restart({ how: "kill" });
  const later = await spend();
  expect(later.cost).toBe(later.input * 2_000 + later.output * 7_500);

  expect((await cli(["prices", "remove", model, "--from", "2026-01-01"])).exitCode).toBe(0);
  const again = await spend();
  expect(again.cost).toBe(again.input * 1_000 + again.output * 5_000);
  expect((await cli(["prices", "remove", model, "--from", "2026-01-01"])).exitCode).toBe(1);
});
