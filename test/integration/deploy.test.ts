import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { unstable_readConfig as readWranglerConfig } from "wrangler";
import { type DeployOptions, deployRelay } from "../../scripts/deploy/deploy.ts";
import { quietWranglerEnv, wranglerScript } from "../../scripts/host/project.ts";
import { SECRET_NAMES } from "../../scripts/host/secrets-file.ts";
import { verifyPassword } from "../../src/admin/password.ts";
import { CONFIG_NAMES } from "../../src/config.ts";
import { WranglerStandIn } from "../fixtures/wrangler-stand-in.ts";

const root = resolve(import.meta.dirname, "../..");
const PASSWORD = /Admin password +(\S+)/;
/** wrangler bundles and type generation take seconds each on a busy machine. */
const WRANGLER_MS = 120_000;

let health: Server;
let url: string;
let home: string;
let cloud: WranglerStandIn;
let printed: string[];

beforeAll(async () => {
  health = createServer((_request, answer) => {
    answer.setHeader("content-type", "application/json");
    answer.end(JSON.stringify({ status: "no_accounts", version: "0.1.0" }));
  });
  await new Promise<void>((ready) => health.listen(0, "127.0.0.1", ready));
  url = `http://127.0.0.1:${(health.address() as AddressInfo).port}`;
});
afterAll(() => health.close());

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "relay-deploy-test-"));
  cloud = new WranglerStandIn(home, url);
  printed = [];
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const deploy = (options: Partial<DeployOptions> = {}) =>
  deployRelay({
    environment: "",
    mayReplace: false,
    env: { RELAY_STATE_DIR: join(home, "state") },
    print: (line) => printed.push(line),
    script: cloud.script,
    ...options,
  });
const output = () => printed.join("\n");
const secretsOf = (worker: string) => cloud.account.workers[worker]?.secrets ?? {};

describe("npm run deploy", () => {
  test("on a clean account makes what is missing, in order, and says where the relay is", async () => {
    await deploy();
    expect(cloud.commands()).toEqual(["whoami", "secret list", "deploy", "secret bulk", "deploy"]);
    expect(cloud.account.calls[2]?.args).toContain("--dry-run");
    expect(Object.keys(secretsOf("claude-relay")).sort()).toEqual([...SECRET_NAMES].sort());
    expect(cloud.account.namespacesMade).toBe(1);

    const password = PASSWORD.exec(output())?.[1] ?? "";
    expect(output().split(password)).toHaveLength(2);
    expect(verifyPassword(password, secretsOf("claude-relay").ADMIN_PASSWORD_HASH ?? "")).toBe(
      true,
    );
    expect(output()).toContain(`ANTHROPIC_BASE_URL=${url}`);
    expect(output()).toContain(`${url}/web`);
    expect(output()).toContain("no_accounts");
    expect(output()).toContain(`npm run cli -- --url ${url} accounts add`);
  });

  test("no secret is ever an argument or printed, and only the owner can read what is kept", async () => {
    await deploy();
    const file = join(home, "state", "deployed.env");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const seen = JSON.stringify(cloud.account.calls.map(({ args }) => args)) + output();
    for (const name of ["JWT_SECRET", "ENCRYPTION_KEY", "ADMIN_PASSWORD_HASH"]) {
      const value = secretsOf("claude-relay")[name] ?? "";
      expect(value.length).toBeGreaterThanOrEqual(32);
      expect(seen).not.toContain(value);
      expect(readFileSync(file, "utf8")).toContain(value);
    }
    expect(readFileSync(file, "utf8")).not.toContain(PASSWORD.exec(output())?.[1]);
  });

  test("a second run changes nothing that exists", async () => {
    await deploy();
    const before = cloud.account.workers["claude-relay"];
    const file = readFileSync(join(home, "state", "deployed.env"), "utf8");
    printed = [];
    await deploy();
    const after = cloud.account.workers["claude-relay"];
    expect(after).toEqual({ ...before, versions: ["version-1", "version-2"] });
    expect(cloud.account.namespacesMade).toBe(1);
    expect(cloud.commands().filter((command) => command === "secret bulk")).toHaveLength(1);
    expect(readFileSync(join(home, "state", "deployed.env"), "utf8")).toBe(file);
    expect(output()).not.toMatch(PASSWORD);
    expect(output()).toContain("none was changed");
  });

  test.each([
    { at: "secret bulk", afterDoing: false },
    { at: "secret bulk", afterDoing: true },
    { at: "deploy", afterDoing: false },
    { at: "deploy", afterDoing: true },
  ])(
    "cut off at $at (its work done: $afterDoing) it goes on, and the password shown holds",
    async (cut) => {
      cloud.set({ fails: { [cut.at]: { says: "fetch failed", afterDoing: cut.afterDoing } } });
      await expect(deploy()).rejects.toThrow("Cloudflare could not be reached");
      const password = PASSWORD.exec(output())?.[1] ?? "";
      cloud.set({ fails: {} });
      printed = [];
      await deploy();
      expect(output()).not.toMatch(PASSWORD);
      expect(verifyPassword(password, secretsOf("claude-relay").ADMIN_PASSWORD_HASH ?? "")).toBe(
        true,
      );
      expect(cloud.account.namespacesMade).toBe(1);
      const stored = readFileSync(join(home, "state", "deployed.env"), "utf8");
      expect(stored).toContain(secretsOf("claude-relay").ENCRYPTION_KEY);
    },
  );

  test.each([
    {
      at: "deploy",
      says: "You need to register a workers.dev subdomain",
      words: "no workers.dev subdomain yet",
    },
    {
      at: "deploy",
      says: "You have exceeded the limit of 100 Workers on your account [code: 10037]",
      words: "limit of the account's plan",
    },
    {
      at: "deploy",
      says: "A KV namespace with this title already exists [code: 10014]",
      words: "npx wrangler kv namespace list",
    },
    { at: "secret list", says: "Authentication error [code: 10000]", words: "npx wrangler login" },
    { at: "deploy", says: "something new", words: "goes on where it stopped" },
    { at: "deploy --dry-run", says: 'Could not resolve "hono"', words: "nothing was made" },
  ])("$says is told in words with what to do", async ({ at, says, words }) => {
    cloud.set({ fails: { [at]: { says } } });
    const error: Error = await deploy().then(
      () => expect.fail("it went well"),
      (reason) => reason,
    );
    expect(error.message).toContain(words);
    expect(error.message).toContain(says);
  });

  test("nothing is made without a login, or where the account is not certain", async () => {
    cloud.set({ loggedIn: false });
    await expect(deploy()).rejects.toThrow("npx wrangler login");
    cloud.set({
      loggedIn: true,
      accounts: [
        { id: "a1", name: "One" },
        { id: "b2", name: "Two" },
      ],
    });
    await expect(deploy()).rejects.toThrow("CLOUDFLARE_ACCOUNT_ID=b2");
    expect(new Set(cloud.commands())).toEqual(new Set(["whoami"]));
    expect(existsSync(join(home, "state"))).toBe(false);
  });

  test("somebody else's Worker of that name is left alone unless it may be replaced", async () => {
    const stranger = { secrets: { OTHER: "x" }, kv: null, versions: ["theirs"] };
    cloud.set({ workers: { "claude-relay": stranger } });
    await expect(deploy()).rejects.toThrow("it is not this relay");
    expect(cloud.account.workers["claude-relay"]).toEqual(stranger);
    await deploy({ mayReplace: true });
    expect(cloud.account.workers["claude-relay"]?.versions).toHaveLength(2);
  });

  test("a lost encryption key is never replaced by a new one", async () => {
    await deploy();
    const { ENCRYPTION_KEY: key, ...others } = secretsOf("claude-relay");
    const worker = { secrets: others, kv: "kv-1", versions: ["version-1"] };
    cloud.set({ workers: { "claude-relay": worker } });
    await deploy();
    expect(secretsOf("claude-relay").ENCRYPTION_KEY).toBe(key);
    rmSync(join(home, "state"), { recursive: true });
    cloud.set({ workers: { "claude-relay": worker } });
    await expect(deploy()).rejects.toThrow("lost its ENCRYPTION_KEY");
    expect(cloud.account.workers["claude-relay"]).toEqual(worker);
  });

  test("preview is a relay of its own: name, secrets, namespace and notes", async () => {
    await deploy();
    printed = [];
    await deploy({ environment: "preview" });
    const { workers, namespacesMade } = cloud.account;
    expect(Object.keys(workers)).toEqual(["claude-relay", "claude-relay-preview"]);
    expect(namespacesMade).toBe(2);
    for (const name of ["JWT_SECRET", "ENCRYPTION_KEY", "ADMIN_PASSWORD_HASH"]) {
      expect(secretsOf("claude-relay")[name]).not.toBe(secretsOf("claude-relay-preview")[name]);
    }
    expect(existsSync(join(home, "state", "deployed-preview.env"))).toBe(true);
    expect(output()).toContain("--remote --env preview");
    await expect(deploy({ environment: "prod" })).rejects.toThrow("It has: preview");
  });
});

describe("wrangler.toml, the generated types and the code agree", () => {
  const config = join(root, "wrangler.toml");
  const quiet = { hideWarnings: true };
  const environments = ["", ...(readWranglerConfig({ config }, quiet).definedEnvironments ?? [])];
  const sources = ["src", "durable-objects"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8")),
  );

  function namesOf(environment: string) {
    const read = readWranglerConfig({ config, env: environment }, quiet);
    const objects = read.durable_objects.bindings;
    return {
      bindings: [
        ...read.kv_namespaces.map(({ binding }: { binding: string }) => binding),
        ...(read.ratelimits ?? []).map(({ name }: { name: string }) => name),
        ...objects.map(({ name }: { name: string }) => name),
        ...(read.version_metadata ? [read.version_metadata.binding] : []),
        ...(read.assets?.binding ? [read.assets.binding] : []),
      ].sort(),
      vars: Object.keys(read.vars).sort(),
      secrets: [...(read.secrets?.required ?? [])].sort(),
      classes: objects.map(({ class_name }: { class_name: string }) => class_name).sort(),
      migrated: read.migrations
        .flatMap(
          ({ new_sqlite_classes }: { new_sqlite_classes?: string[] }) => new_sqlite_classes ?? [],
        )
        .sort(),
    };
  }

  test.each(environments)(
    "environment %j has every binding, var, secret and class",
    (environment) => {
      const names = namesOf(environment);
      expect(names).toEqual(namesOf(""));
      expect(names.secrets).toEqual([...SECRET_NAMES].sort());
      expect(names.migrated).toEqual(names.classes);
      // Every setting is a var, a secret that is always there, or one that only some relays have.
      const optional = [
        "ENCRYPTION_KEY_PREVIOUS",
        "FORWARD_PROXY_SECRET",
        "IMPORTED_KEY_PEPPER",
        "METRICS_TOKEN",
        "UPSTASH_REDIS_REST_TOKEN",
        "UPSTASH_REDIS_REST_URL",
      ];
      const configured = CONFIG_NAMES.filter((name) => !optional.includes(name));
      expect([...names.vars, ...names.secrets].sort()).toEqual([...configured].sort());
    },
  );

  test("every binding that the code names is configured, and every configured one is used", () => {
    const used = new Set(
      sources.flatMap((text) =>
        [...text.matchAll(/\b(?:env|bindings)\.([A-Z][A-Z_]+)\b/g)].map(([, name = ""]) => name),
      ),
    );
    const { bindings, vars, secrets } = namesOf("");
    const known = new Set<string>([...bindings, ...vars, ...secrets, ...CONFIG_NAMES]);
    expect([...used].filter((name) => !known.has(name))).toEqual([]);
    expect(bindings.filter((name) => !used.has(name))).toEqual([]);
    const entry = readFileSync(join(root, "src/index.ts"), "utf8");
    expect(namesOf("").classes.filter((name: string) => !entry.includes(name))).toEqual([]);
  });

  test("only preview's own counts and addresses differ from production's", () => {
    const read = (environment: string) => readWranglerConfig({ config, env: environment }, quiet);
    const [production, preview] = [read(""), read("preview")];
    expect(preview.name).not.toBe(production.name);
    expect(preview.vars).toEqual(production.vars);
    const counters = [...(production.ratelimits ?? []), ...(preview.ratelimits ?? [])];
    const ids = counters.map(({ namespace_id }: { namespace_id: string }) => namespace_id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test(
    "the generated types are those of wrangler.toml",
    async () => {
      const path = join(mkdtempSync(join(tmpdir(), "relay-types-")), "env.d.ts");
      const flags = ["types", path, "--include-runtime=false", "--strict-vars=false"];
      expect(await wrangler([...flags, "--config", config])).toMatchObject({ code: 0 });
      // The first lines tell the command, and paths are relative to the file.
      const content = (text: string) => text.split("\n").slice(2).join("\n");
      const paths = (text: string) =>
        text.replaceAll(/import\("[^"]*\/src\/index"\)/g, 'import("./src/index")');
      const made = paths(content(readFileSync(path, "utf8")));
      expect(made).toBe(content(readFileSync(join(root, "worker-configuration.d.ts"), "utf8")));
      rmSync(join(path, ".."), { recursive: true });
    },
    WRANGLER_MS,
  );

  test.each(environments)(
    "wrangler would deploy environment %j, and its bundle fits the Free plan",
    async (environment) => {
      const outcome = await wrangler([
        "deploy",
        "--dry-run",
        "--config",
        config,
        `--env=${environment}`,
      ]);
      expect(outcome).toMatchObject({ code: 0 });
      expect(outcome.output).not.toContain("WARNING");
      for (const name of namesOf(environment).bindings)
        expect(outcome.output).toContain(`env.${name}`);
      const [, kib] = /gzip: ([\d.]+) KiB/.exec(outcome.output) ?? [];
      expect(Number(kib)).toBeGreaterThan(1);
      expect(Number(kib)).toBeLessThan(FREE_PLAN_KIB);
    },
    WRANGLER_MS,
  );

  /** The Worker size of the Free plan, compressed: 3 MB. */
  const FREE_PLAN_KIB = 3_000;

  function wrangler(args: string[]): Promise<{ code: number; output: string }> {
    return new Promise((settle) => {
      const env = { ...quietWranglerEnv(), WRANGLER_LOG: "log", NO_COLOR: "1" };
      execFile(
        process.execPath,
        [wranglerScript, ...args],
        { cwd: root, env },
        (error, stdout, stderr) =>
          settle({ code: error === null ? 0 : 1, output: stdout + stderr }),
      );
    });
  }
});
