import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cliHere } from "../fixtures/cli.ts";
import { ADMIN, TestRelay } from "../fixtures/relay.ts";

const root = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

/** Commands of the CLI that are run here as they stand, one after the other. */
const AS_THEY_STAND = [
  "npm run cli -- --help",
  "npm run cli -- status",
  "npm run cli -- keys create --name laptop",
  "npm run cli -- keys show laptop",
  "npm run cli -- keys create --name alice --expires 90d --concurrency 4 --window-minutes 60 --window-requests 100 --daily-cost 5 --family-cost opus=10 --allow-model 'claude-sonnet-*' 'claude-opus-*'",
  "npm run cli -- keys update --where-tag course --daily-cost 2",
];

/** What a shell runs here, with `cr_…` and the relay's address filled in. */
const IN_A_SHELL = [
  `curl http://127.0.0.1:8787/v1/messages -H "x-api-key: cr_…" -H "anthropic-version: 2023-06-01" -H "content-type: application/json" -d '{"model":"claude-sonnet-5","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}'`,
  'echo "FORWARD_PROXY_SECRET=$(openssl rand -hex 32)" > .env',
  "export ANTHROPIC_BASE_URL=http://127.0.0.1:8787",
  "export ANTHROPIC_AUTH_TOKEN=cr_…",
];

/** What would change this machine or ask another one: it is run as far as it can be without. */
const SHORT_OF_THE_NETWORK: Record<string, string[]> = {
  "npm ci": ["npm", "ci", "--dry-run", "--offline", "--ignore-scripts"],
  "npx wrangler login": ["npx", "wrangler", "login", "--help"],
  "npx wrangler secret put": ["npx", "wrangler", "secret", "put", "--help"],
};

interface Elsewhere {
  file: string;
  /** How the test's name begins. */
  test: string;
  /** What the test's file says to run it. */
  runs: string[];
}

/** What another test runs, with the words that it runs it by. */
const ELSEWHERE: Record<string, Elsewhere> = {
  "npm start": {
    file: "integration/start",
    test: "the first start makes secrets that only the owner may read",
    runs: ['runScript("start.ts", stateDir)'],
  },
  "npm start -- --demo": {
    file: "integration/start",
    test: "the printed line really gets a streamed answer",
    runs: ['runScript("start.ts", makeStateDir(), { args: ["--demo"] })'],
  },
  "npm run bench": {
    file: "integration/bench",
    test: "runs every scenario, and each has its figures and its budgets",
    runs: ["bench.ts"],
  },
  "npm run bench -- --cost": {
    file: "integration/bench",
    test: "counts what a request uses under each load",
    runs: ["bench/bench.ts", '"--cost"'],
  },
  "npm run cli -- accounts add": {
    file: "integration/cli",
    test: "an API key from standard input becomes an account that serves",
    runs: ['"accounts", "add"'],
  },
  "npm run cli -- logs --follow": {
    file: "integration/logs",
    test: "at two hundred events a second the live log shows each once",
    runs: ['[CLI, "logs", ...args]', '"--follow"'],
  },
  "npm run cli -- import claude-relay-service --redis redis://127.0.0.1:6379": {
    file: "integration/import",
    test: "a run shows what would come along and what would not",
    runs: ['"claude-relay-service"', '"--redis"'],
  },
  "npm run cli -- export relay.age": {
    file: "integration/import",
    test: "makes the same relay elsewhere",
    runs: ['"export"', '"restore"'],
  },
  claude: {
    file: "clients/claude-code-shape",
    test: "stays with one account for a session",
    runs: ['["ANTHROPIC_AUTH_TOKEN"', "claude-cli/"],
  },
  "npm run deploy": {
    file: "integration/deploy",
    test: "on a clean account makes what is missing",
    runs: ["deployRelay"],
  },
  "npm run deploy -- --env preview": {
    file: "integration/deploy",
    test: "preview is a relay of its own",
    runs: ["deployRelay", '"preview"'],
  },
  "npm run service:start:daemon": {
    file: "integration/service",
    test: "starts once, outlives its starter",
    runs: ["scripts/service.ts", '"start"'],
  },
  "npm run service:status": {
    file: "integration/service",
    test: "starts once, outlives its starter",
    runs: ["scripts/service.ts", '"status"'],
  },
  "npm run service:logs": {
    file: "integration/service",
    test: "starts once, outlives its starter",
    runs: ["scripts/service.ts", '"logs"'],
  },
  "npm run service:stop": {
    file: "integration/service",
    test: "starts once, outlives its starter",
    runs: ["scripts/service.ts", '"stop"'],
  },
  "npm run service:backup -- relay.tar.gz": {
    file: "integration/service",
    test: "a backup under traffic holds one instant",
    runs: ["scripts/service.ts", '"backup"'],
  },
  "npm run service:restore -- relay.tar.gz": {
    file: "integration/service",
    test: "a restore overwrites nothing unasked",
    runs: ["scripts/service.ts", '"restore"'],
  },
  ...Object.fromEntries(
    ["status", "logs", "rollback"].map((name) => [
      `npm run service:${name} -- --remote`,
      {
        file: "integration/service",
        test: "its versions, its log and the way back go through wrangler",
        runs: [`"${name}"`, '"--remote"'],
      },
    ]),
  ),
  "docker compose run --rm relay node scripts/setup.ts": {
    file: "integration/start",
    test: "makes what is missing once, and resets only the password",
    runs: ['"setup.ts"'],
  },
  "docker compose up -d": {
    file: "integration/deployment",
    test: "docker compose understands the file: one network, one volume",
    runs: ['compose(["config"]'],
  },
};

/** These are how this very test is run. */
const THIS_RUN = ["npm cit", "npm run"];

/** Shown by their help: what they do is held in parts, and wants an account that is not here. */
const BY_HELP = ["npm run deploy:pages"];

const commands = commandsOf(read("README.md"));

test("no command of README is run by nobody, and none is run that it does not have", () => {
  const known = [
    ...AS_THEY_STAND,
    ...IN_A_SHELL,
    ...Object.keys(SHORT_OF_THE_NETWORK),
    ...Object.keys(ELSEWHERE),
    ...THIS_RUN,
    ...BY_HELP,
  ];
  expect(commands.length).toBeGreaterThan(25);
  expect(commands.sort()).toEqual(known.sort());
});

test.each(Object.entries(ELSEWHERE))("%s is run by the test that is named", (_command, where) => {
  const source = read(`test/${where.file}.test.ts`);
  const missing = [`"${where.test}`, ...where.runs].filter((words) => !source.includes(words));
  expect(missing).toEqual([]);
});

test("npm cit runs this file", () => {
  expect(scripts.test).toMatch(/ scripts\/test\.ts$/);
  expect(read("scripts/test.ts")).toContain('"vitest.node.config.ts"');
  expect(read("vitest.node.config.ts")).toContain('"test/integration/**/*.test.ts"');
});

test.each(Object.entries(SHORT_OF_THE_NETWORK))("%s is understood", async (_command, argv) => {
  const [program = "", ...args] = argv;
  const { code, output } = await run(program, args, root);
  expect({ code, output: code === 0 ? "" : output }).toEqual({ code: 0, output: "" });
});

test.each(BY_HELP)("%s explains itself", async (command) => {
  const script = scripts[command.replace("npm run ", "")] ?? "";
  const [, path = ""] = /(\S+\.ts)$/.exec(script) ?? [];
  const { code, output } = await run(process.execPath, [join(root, path), "--help"], root);
  expect(code).toBe(0);
  expect(output).toContain(basename(command));
});

describe("against a relay", () => {
  const dir = mkdtempSync(join(tmpdir(), "relay-readme-"));
  let relay: TestRelay;

  beforeAll(async () => {
    relay = await TestRelay.start();
    await relay.addApiKeyAccount("Console");
    await relay.createKey({ name: "of the course", tags: ["course"] });
  });

  afterAll(async () => {
    await relay.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test.each(AS_THEY_STAND)("%s", async (command) => {
    const args = words(command.replace("npm run cli -- ", ""));
    const { exitCode, stderr } = await cliHere(args, {
      HOME: dir,
      RELAY_STATE_DIR: relay.stateDir,
      RELAY_URL: relay.url,
      ADMIN_PASSWORD: ADMIN.password,
    });
    expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
  });

  test("the lines for a shell do what README says of them", async () => {
    const key = await relay.createKey({ name: "in a shell" });
    const script = IN_A_SHELL.map((line) =>
      line.replace("http://127.0.0.1:8787", relay.url).replace("cr_…", key.apiKey),
    );
    const check = 'echo; echo "$ANTHROPIC_BASE_URL $ANTHROPIC_AUTH_TOKEN"';
    const { code, output } = await run("bash", ["-ec", [...script, check].join("\n")], dir);
    expect(code).toBe(0);
    expect(output).toContain('"type":"message"');
    expect(output).toContain(`${relay.url} ${key.apiKey}`);
    expect(readFileSync(join(dir, ".env"), "utf8")).toMatch(
      /^FORWARD_PROXY_SECRET=[0-9a-f]{64}\n$/,
    );
  });
});

/** Each command of a page once: the lines of blocks without a language, and what is quoted in the text. */
function commandsOf(text: string): string[] {
  const found = new Set<string>();
  for (const [, language, body = ""] of text.matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)) {
    // Code of an SDK and the drawing are no commands.
    if (language !== "" || /[─►]/.test(body)) continue;
    for (const line of body.replace(/\\\n\s*/g, "").split("\n")) {
      if (line.trim() !== "") found.add(line.trim());
    }
  }
  const prose = text.replace(/^ *```[\s\S]*?^ *```$/gm, "");
  for (const [, quoted = ""] of prose.matchAll(/`([^`]+)`/g)) {
    const command = quoted.replace(/\s+/g, " ");
    if (/^(npm|npx|docker|node) [a-z]/.test(command)) found.add(command);
  }
  return [...found];
}

/** Words as a shell would part them; README's have no quotes within quotes. */
function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}

function run(program: string, args: string[], cwd: string) {
  return new Promise<{ code: number; output: string }>((settle) => {
    execFile(program, args, { cwd }, (error, stdout, stderr) => {
      settle({ code: error === null ? 0 : 1, output: stdout + stderr });
    });
  });
}
