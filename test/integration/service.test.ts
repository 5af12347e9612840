import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { furnishDemo } from "../../scripts/host/demo.ts";
import { ensureBundle } from "../../scripts/relay-process.ts";
import { deployedStatus, rollBack, tailDeployed } from "../../scripts/service/deployed.ts";
import { type FakeUpstream, startFakeUpstream } from "../fixtures/fake-upstream/index.ts";
import { TestRelay } from "../fixtures/relay.ts";
import { SCRATCH_DIR } from "../fixtures/scratch-dir.ts";
import { WranglerStandIn } from "../fixtures/wrangler-stand-in.ts";

const root = resolve(import.meta.dirname, "../..");
const ADMIN = { username: "admin", password: "a password for tests only" };
/** A condition that never comes true fails the test; nothing else depends on time. */
const PATIENCE_MS = 50_000;
const POLL_MS = 25;

let home: string;
let fake: FakeUpstream;

beforeAll(async () => {
  home = mkdtempSync(join(SCRATCH_DIR, "relay-service-"));
  fake = await startFakeUpstream({ toleratedHeaders: ["cf-worker"] });
  await ensureBundle();
});
afterAll(async () => {
  for (const name of readdirSync(home)) {
    if (existsSync(join(home, name, "relay.lock"))) await service(name, "stop", "--now");
  }
  await fake.close();
  rmSync(home, { recursive: true, force: true });
});

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

const envOf = (state: string): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  PORT: "0",
  RELAY_STATE_DIR: join(home, state),
  ANTHROPIC_API_URL: fake.url,
  ADMIN_PASSWORD: ADMIN.password,
});

/** Runs a command on a state folder below this test's own. */
function service(state: string, ...args: string[]): Promise<Outcome> {
  return serviceWith({}, state, ...args);
}

function serviceWith(env: NodeJS.ProcessEnv, state: string, ...args: string[]): Promise<Outcome> {
  return new Promise((settle) => {
    const child = execFile(
      process.execPath,
      [join(root, "scripts/service.ts"), ...args],
      { cwd: home, env: { ...envOf(state), ...env } },
      (_error, stdout, stderr) => settle({ code: child.exitCode, stdout, stderr }),
    );
  });
}

function urlIn({ stdout, stderr }: Outcome): string {
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(stdout)?.[0];
  if (url === undefined) throw new Error(`no address in:\n${stdout}${stderr}`);
  return url;
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const limit = Date.now() + PATIENCE_MS;
  while (!(await isTrue())) {
    if (Date.now() > limit) throw new Error("waited in vain");
    await new Promise((settle) => setTimeout(settle, POLL_MS));
  }
}

function ask(url: string, key: string, script: object = {}): Promise<Response> {
  return fetch(`${url}/v1/messages`, {
    method: "POST",
    headers: {
      "x-api-key": key,
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
      "x-fake-script": JSON.stringify(script),
    },
    body: JSON.stringify({
      model: "claude-sonnet-5",
      max_tokens: 64,
      stream: true,
      messages: [{ role: "user", content: "Hello" }],
    }),
  });
}

/** How many requests of a key a relay has settled. */
async function countedOf(url: string, key: string): Promise<number> {
  const answer = await fetch(`${url}/api/v1/usage`, { headers: { "x-api-key": key } });
  const { usage } = (await answer.json()) as { usage: { total: { requests: number } } };
  return usage.total.requests;
}

describe("the relay on this machine, in the background", () => {
  test("starts once, outlives its starter, says how it is, and ends in order", async () => {
    expect(await service("daemon", "status")).toMatchObject({ code: 3 });
    // Without a password of the operator's, one is made up.
    const started = await serviceWith({ ADMIN_PASSWORD: "" }, "daemon", "start");
    expect(started).toMatchObject({ code: 0, stderr: "" });
    const url = urlIn(started);
    const password = /Admin password +(\S+)/.exec(started.stdout)?.[1] ?? "";
    expect(password.length).toBeGreaterThan(20);

    const log = join(home, "daemon", "relay.log");
    expect(statSync(log).mode & 0o777).toBe(0o600);
    expect(readFileSync(log, "utf8")).not.toContain(password);
    expect((await service("daemon", "logs")).stdout).toContain(`is running at ${url}`);
    const last = await service("daemon", "logs", "--lines", "1");
    expect(last.stdout.trim().split("\n")).toHaveLength(1);

    const second = await service("daemon", "start");
    expect(second).toMatchObject({ code: 1, stdout: "" });
    expect(second.stderr).toContain(`running on ${join(home, "daemon")} already: ${url}`);

    const status = await service("daemon", "status");
    expect(status).toMatchObject({ code: 0 });
    expect(status.stdout).toContain(`up     ${url}`);
    expect(status.stdout).toContain("0 of 0 accounts");

    expect(await service("daemon", "stop")).toMatchObject({ code: 0 });
    expect(await fetch(`${url}/health`).catch(() => "refused")).toBe("refused");
    expect(await service("daemon", "status")).toMatchObject({ code: 3 });
    expect((await service("daemon", "stop")).stdout).toContain("No relay runs");
  });

  test("a start that fails says why, and leaves nothing running", async () => {
    const bad = await serviceWith({ HOST: "no-such-host.invalid" }, "failing", "start");
    expect(bad).toMatchObject({ code: 1 });
    expect(bad.stderr).toContain("HOST=no-such-host.invalid is no address of this machine");
    expect(await service("failing", "status")).toMatchObject({ code: 3 });
    const wrong = await serviceWith({ LOG_LEVEL: "loud" }, "mistaken", "start");
    expect(wrong.stderr).toContain("LOG_LEVEL");
    expect(existsSync(join(home, "mistaken"))).toBe(false);
  });

  test("a stream may end, and a second signal ends it at once", async () => {
    const url = urlIn(await service("streams", "start"));
    const key = await furnishDemo(url, ADMIN, fake.accounts.addApiKey().apiKey);
    const slow = { answer: { deltas: 20 }, intervalMs: 100 };
    const whole = await ask(url, key, slow);
    const stopping = service("streams", "stop");
    expect(await whole.text()).toContain("event: message_stop");
    expect(await stopping).toMatchObject({ code: 0 });

    const again = urlIn(await service("streams", "start"));
    const endless = await ask(again, key, { answer: { deltas: 10_000 }, intervalMs: 100 });
    const startedAt = Date.now();
    expect(await service("streams", "stop", "--now")).toMatchObject({ code: 0 });
    expect((await service("streams", "logs")).stdout).not.toContain("had not finished");
    expect(await endless.text().catch(() => "cut")).not.toContain("event: message_stop");
    // The stream would have gone on for a thousand seconds, and the grace is eight.
    expect(Date.now() - startedAt).toBeLessThan(PATIENCE_MS);
  });

  test("flags and commands that are not meant are refused in words", async () => {
    for (const args of [
      ["restart"],
      ["stop", "--follow"],
      ["status", "--env", "preview"],
      ["rollback"],
      ["backup"],
    ]) {
      const outcome = await service("none", ...args);
      expect(outcome).toMatchObject({ code: 1, stdout: "" });
      expect(outcome.stderr.length).toBeGreaterThan(20);
    }
    expect((await service("none", "rollback")).stderr).toContain("--remote");
  });
});

test("what was answered last before a stop is settled after it", async () => {
  const relay = await TestRelay.start();
  try {
    await relay.addApiKeyAccount("one");
    const key = await relay.createKey();
    for (const turn of [1, 2, 3]) {
      const answer = await relay.message(
        key,
        { stream: true },
        { fault: { answer: { deltas: 5 }, intervalMs: 40 } },
      );
      const [text] = await Promise.all([answer.text(), relay.restart()]);
      expect(text).toContain("event: message_stop");
      const { usage } = await relay.usage(key);
      // A lease that nobody gave back would be in flight for minutes.
      expect(usage).toMatchObject({ inFlight: 0, total: { requests: turn } });
    }
  } finally {
    await relay.stop();
  }
});

test("the log of the background never grows beyond its bounds, and loses no line of late", async () => {
  const log = join(home, "bounded.log");
  const writer = join(home, "writer.mjs");
  const maxBytes = 2_000;
  writeFileSync(
    writer,
    `import { boundOutput } from ${JSON.stringify(join(root, "scripts/service/log-file.ts"))};
boundOutput(${JSON.stringify(log)}, ${maxBytes});
for (let line = 1; line <= 500; line += 1) (line % 2 ? console.log : console.error)("line " + line);
throw new Error("the crash");`,
  );
  const output = (await import("../../scripts/service/log-file.ts")).openLog(log);
  const child = spawn(process.execPath, [writer], { stdio: ["ignore", output, output] });
  await ended(child);
  const { lastLines } = await import("../../scripts/service/log-file.ts");
  const crash = 1_000;
  expect(statSync(log).size).toBeLessThanOrEqual(maxBytes + crash);
  expect(statSync(`${log}.1`).size).toBeLessThanOrEqual(maxBytes);
  const lines = lastLines(log, 10_000);
  expect(lines.join("\n")).toContain("the crash");
  const numbers = lines.flatMap((line) => /^line (\d+)$/.exec(line)?.[1] ?? []).map(Number);
  expect(numbers.at(-1)).toBe(500);
  expect(numbers.length).toBeGreaterThan(200);
  expect(numbers).toEqual(numbers.map((_, index) => 501 - numbers.length + index));
});

const ended = (child: ChildProcess) => new Promise((settle) => child.once("close", settle));

describe("backup and restore", () => {
  const archive = () => join(home, "state.tar.gz");
  const bare = () => join(home, "bare.tar.gz");

  test("a backup under traffic holds one instant, and a relay serves from it", async () => {
    const url = urlIn(await service("origin", "start"));
    const key = await furnishDemo(url, ADMIN, fake.accounts.addApiKey().apiKey);
    let served = 0;
    let isDone = false;
    const traffic = (async () => {
      while (!isDone) {
        const answer = await ask(url, key);
        if ((await answer.text()).includes("event: message_stop")) served += 1;
      }
    })();
    // Answered is not yet settled, and only what is settled can be in a backup.
    await until(async () => (await countedOf(url, key)) >= 3);
    const backup = await service("origin", "backup", archive());
    isDone = true;
    await traffic;
    expect(backup).toMatchObject({ code: 0 });
    expect(backup.stderr).toMatch(/Backed up \d+ databases \(the relay stood still for \d+ ms\)/);
    expect(statSync(archive()).mode & 0o777).toBe(0o600);
    expect(await service("origin", "backup", archive())).toMatchObject({ code: 1 });
    expect(await service("origin", "backup", bare(), "--without-secrets")).toMatchObject({
      code: 0,
    });
    // It stood still a moment ago: that it is well again is what counts, not how soon.
    await until(async () => (await fetch(`${url}/health`)).status === 200);

    expect(await service("copy", "restore", archive())).toMatchObject({ code: 0 });
    const copy = urlIn(await service("copy", "start"));
    const counted = await countedOf(copy, key);
    expect(counted).toBeGreaterThanOrEqual(3);
    expect(counted).toBeLessThanOrEqual(served);
    expect(await (await ask(copy, key)).text()).toContain("event: message_stop");
    await Promise.all([service("origin", "stop"), service("copy", "stop")]);
  });

  test("a restore overwrites nothing unasked, and moves aside what it replaces", async () => {
    const before = readFileSync(join(home, "origin", "secrets.env"), "utf8");
    const refused = await service("origin", "restore", archive());
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toContain("--replace");
    const marker = join(home, "origin", "v3", "marker");
    writeFileSync(marker, "of the state before");
    const replaced = await service("origin", "restore", archive(), "--replace");
    expect(replaced).toMatchObject({ code: 0 });
    expect(existsSync(marker)).toBe(false);
    const [, aside = ""] = /What was there is in (\S+)\./.exec(replaced.stdout) ?? [];
    expect(readFileSync(join(aside, "v3", "marker"), "utf8")).toBe("of the state before");
    expect(readFileSync(join(home, "origin", "secrets.env"), "utf8")).toBe(before);
  });

  test("a backup without secrets says what is missing, and works with the secrets beside it", async () => {
    const alone = await service("alone", "restore", bare());
    expect(alone.stdout).toContain("without secrets");
    expect((await service("alone", "start")).stderr).toContain("secrets.env is missing");
    const secrets = readFileSync(join(home, "origin", "secrets.env"));
    writeFileSync(join(home, "alone", "secrets.env"), secrets, { mode: 0o600 });
    const status = await service("alone", "start");
    const health = await fetch(`${urlIn(status)}/health`);
    expect(await health.json()).toMatchObject({ accounts: { total: 1, otherEncryptionKey: 0 } });
    const running = await service("alone", "restore", archive(), "--replace");
    expect(running.stderr).toContain("Stop it first");
    await service("alone", "stop");
  });

  test("what is no backup is refused, and nothing is made", async () => {
    const stranger = join(home, "stranger.tar.gz");
    writeFileSync(stranger, "not an archive");
    expect(await service("fresh", "restore", stranger)).toMatchObject({ code: 1 });
    expect(await service("fresh", "restore", join(home, "nowhere"))).toMatchObject({ code: 1 });
    expect(readdirSync(home).filter((name) => name.startsWith("fresh"))).toEqual([]);
  });
});

describe("the deployed relay", () => {
  const print = (lines: string[]) => (line: string) => lines.push(line);

  test("its versions, its log and the way back go through wrangler, for the environment meant", async () => {
    const cloud = new WranglerStandIn(home, "https://relay.invalid");
    const lines: string[] = [];
    const relay = { environment: "preview", print: print(lines), script: cloud.script };
    await expect(deployedStatus(relay)).rejects.toThrow(
      "claude-relay-preview could not be looked up",
    );
    const worker = { secrets: {}, kv: "kv-1", versions: ["version-1", "version-2"] };
    cloud.set({ workers: { "claude-relay-preview": worker } });
    await deployedStatus(relay);
    expect(lines.join("\n")).toContain("version version-2   100 %");
    await rollBack(relay, undefined);
    expect(cloud.account.workers["claude-relay-preview"]?.versions).toEqual(["version-1"]);
    expect(lines.join("\n")).toContain("Only the code went back");
    await expect(rollBack(relay, undefined)).rejects.toThrow("no previous versions");
    expect(await tailDeployed(relay)).toBe(0);
    expect(lines).toContain("GET /health - Ok");
    for (const { args } of cloud.account.calls) expect(args).toContain("--env=preview");
    await expect(deployedStatus({ ...relay, environment: "nope" })).rejects.toThrow(
      "It has: preview",
    );
  });
});
