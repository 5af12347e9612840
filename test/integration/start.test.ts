import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { ensureBundle, startRelay } from "../../scripts/relay-process.ts";
import { startFakeUpstream } from "../fixtures/fake-upstream/index.ts";
import { SCRATCH_DIR } from "../fixtures/scratch-dir.ts";
import { settledPort } from "../fixtures/settled-port.ts";
import { SmallDisk, whyNoSmallDisk } from "../fixtures/small-disk.ts";

const projectDir = resolve(import.meta.dirname, "../..");
const READY = /is running at (http:\/\/127\.0\.0\.1:\d+)/;
const PASSWORD = /Admin password +(\S+)/;
const PANEL = /^ *Panel +(\S+)$/m;
/** A condition that never comes true fails the test; nothing else depends on time. */
const PATIENCE_MS = 50_000;
const POLL_MS = 25;

interface Run {
  child: ChildProcess;
  /** stdout and stderr so far. */
  output(): string;
  exited: Promise<number | null>;
}

const runs: Run[] = [];
const stateDirs: string[] = [];
const cleanups: (() => Promise<void>)[] = [];

beforeAll(() => ensureBundle().then(() => {}));

afterEach(async () => {
  for (const run of runs.splice(0)) {
    run.child.kill("SIGTERM");
    await run.exited;
  }
  for (const cleanup of cleanups.splice(0)) await cleanup();
  for (const dir of stateDirs.splice(0)) {
    endRuntimeOf(dir);
    rmSync(dir, { recursive: true, force: true });
  }
});

function makeStateDir(): string {
  // Below a fresh folder, so that the script makes the state folder itself.
  const parent = mkdtempSync(join(SCRATCH_DIR, "relay-start-"));
  stateDirs.push(parent);
  return join(parent, "state");
}

function runScript(
  script: "start.ts" | "setup.ts",
  stateDir: string,
  options: { env?: Record<string, string>; args?: string[] } = {},
): Run {
  const child = spawn(
    process.execPath,
    [join(projectDir, "scripts", script), ...(options.args ?? [])],
    {
      cwd: projectDir,
      // Nothing of the environment of whoever runs the tests configures the relay.
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        PORT: "0",
        RELAY_STATE_DIR: stateDir,
        ...options.env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk) => {
      output += chunk;
    });
  }
  const exited = new Promise<number | null>((settle) => child.once("close", settle));
  const run = { child, output: () => output, exited };
  runs.push(run);
  return run;
}

async function readyUrl(run: Run): Promise<string> {
  let hasExited = false;
  void run.exited.then(() => {
    hasExited = true;
  });
  await until(() => READY.test(run.output()) || hasExited, run);
  const url = READY.exec(run.output())?.[1];
  if (url === undefined) throw new Error(`did not start:\n${run.output()}`);
  return url;
}

async function until(isTrue: () => boolean | Promise<boolean>, run: Run): Promise<void> {
  const limit = Date.now() + PATIENCE_MS;
  while (!(await isTrue())) {
    if (Date.now() > limit) throw new Error(`waited in vain; so far:\n${run.output()}`);
    await new Promise((settle) => setTimeout(settle, POLL_MS));
  }
}

async function stopped(run: Run): Promise<number | null> {
  run.child.kill("SIGTERM");
  return await run.exited;
}

function noteOf(stateDir: string): { runtime: { pid: number } } {
  return JSON.parse(readFileSync(join(stateDir, "relay.lock"), "utf8"));
}

/** Ends the workerd that a killed starter left behind, where a failed test did not. */
function endRuntimeOf(parent: string): void {
  const stateDir = join(parent, "state");
  if (!existsSync(join(stateDir, "relay.lock"))) return;
  try {
    process.kill(noteOf(stateDir).runtime.pid, "SIGKILL");
  } catch {
    // It is gone already.
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function signIn(url: string, username: string, password: string): Promise<Response> {
  return await fetch(`${url}/admin/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ username, password }),
  });
}

describe("npm start", () => {
  test("the first start makes secrets that only the owner may read, and shows the password once", async () => {
    const stateDir = makeStateDir();
    const first = runScript("start.ts", stateDir);
    const url = await readyUrl(first);
    const secretsFile = join(stateDir, "secrets.env");
    const secrets = readFileSync(secretsFile, "utf8");
    expect(statSync(secretsFile).mode & 0o777).toBe(0o600);
    expect(statSync(stateDir).mode & 0o777).toBe(0o700);
    expect(secrets).toMatch(/^JWT_SECRET='[0-9a-f]{64}'$/m);
    expect(secrets).toMatch(/^ENCRYPTION_KEY='[0-9a-f]{64}'$/m);

    const password = PASSWORD.exec(first.output())?.[1] ?? "";
    expect(password.length).toBeGreaterThanOrEqual(20);
    expect(first.output().split(password)).toHaveLength(2);
    expect(secrets).not.toContain(password);
    expect((await signIn(url, "admin", password)).status).toBe(200);
    await until(() => PANEL.test(first.output()), first);
    const panel = await fetch(PANEL.exec(first.output())?.[1] ?? "");
    expect(panel.status).toBe(200);
    expect(panel.headers.get("content-type")).toMatch(/^text\/html/);
    expect(await stopped(first)).toBe(0);

    const second = runScript("start.ts", stateDir);
    expect((await signIn(await readyUrl(second), "admin", password)).status).toBe(200);
    expect(second.output()).not.toMatch(PASSWORD);
    expect(readFileSync(secretsFile, "utf8")).toBe(secrets);
    expect(await stopped(second)).toBe(0);
  });

  test("a given password is taken and not shown, a later one is ignored in words", async () => {
    const stateDir = makeStateDir();
    const password = "chosen by the operator";
    const env = { ADMIN_USERNAME: "ops", ADMIN_PASSWORD: password };
    const first = runScript("start.ts", stateDir, { env });
    expect((await signIn(await readyUrl(first), "ops", password)).status).toBe(200);
    expect(first.output()).not.toContain(password);
    await stopped(first);

    const later = { ADMIN_PASSWORD: "another one entirely" };
    const second = runScript("start.ts", stateDir, { env: later });
    expect((await signIn(await readyUrl(second), "ops", password)).status).toBe(200);
    expect(second.output()).toContain("ADMIN_PASSWORD is ignored");
    await stopped(second);
  });

  test("a short password is refused before anything is stored", async () => {
    const stateDir = makeStateDir();
    const run = runScript("start.ts", stateDir, { env: { ADMIN_PASSWORD: "short" } });
    expect(await run.exited).toBe(1);
    expect(run.output()).toContain("at least 12 characters");
    expect(existsSync(join(stateDir, "secrets.env"))).toBe(false);
  });

  test("all problems of the configuration are named at once, and nothing is started", async () => {
    const stateDir = makeStateDir();
    const env = { LOG_LEVEL: "loud", ANTHROPIC_API_URL: "nowhere", ENCRYPTION_KEY: "short" };
    const run = runScript("start.ts", stateDir, { env });
    expect(await run.exited).toBe(1);
    for (const name of Object.keys(env)) expect(run.output()).toContain(name);
    expect(existsSync(stateDir)).toBe(false);
  });

  test("a second start on the same state refuses and names the first", async () => {
    const stateDir = makeStateDir();
    const first = runScript("start.ts", stateDir);
    const url = await readyUrl(first);
    const second = runScript("start.ts", stateDir);
    expect(await second.exited).toBe(1);
    expect(second.output()).toContain(`already running on ${stateDir}: ${url}`);
    expect(second.output()).toContain(`pid ${first.child.pid}`);
    expect((await fetch(`${url}/api/hello`)).status).toBe(200);
  });

  test("of two first starts at the same moment one serves and one refuses", async () => {
    const stateDir = makeStateDir();
    const both = [runScript("start.ts", stateDir), runScript("start.ts", stateDir)];
    const codes = await Promise.race(both.map(({ exited }) => exited));
    expect(codes).toBe(1);
    const server = both.find(({ child }) => child.exitCode === null);
    if (server === undefined) throw new Error("neither serves");
    const url = await readyUrl(server);
    const password = PASSWORD.exec(server.output())?.[1] ?? "";
    expect((await signIn(url, "admin", password)).status).toBe(200);
  });

  test("a port that is taken is said in words", async () => {
    const fake = await startFakeUpstream();
    cleanups.push(() => fake.close());
    const env = { PORT: String(fake.port) };
    const run = runScript("start.ts", makeStateDir(), { env });
    expect(await run.exited).toBe(1);
    expect(run.output()).toContain(`Port ${fake.port} on 127.0.0.1 is taken`);
    expect(run.output()).toContain(`PORT=${fake.port + 1}`);
  });

  test.skipIf(whyNoSmallDisk() !== null)(
    "a disk that is full is said in words, and with room the same state serves",
    async () => {
      const disk = new SmallDisk();
      cleanups.push(async () => disk.close());
      const stateDir = join(disk.dir, "state");
      const first = runScript("start.ts", stateDir);
      await readyUrl(first);
      const password = PASSWORD.exec(first.output())?.[1] ?? "";
      await stopped(first);

      disk.fill();
      const full = runScript("start.ts", stateDir);
      expect(await full.exited).toBe(1);
      expect(full.output()).toContain(`The disk that holds ${stateDir} is full`);
      expect(full.output()).not.toContain("    at ");

      disk.free();
      const second = runScript("start.ts", stateDir);
      expect((await signIn(await readyUrl(second), "admin", password)).status).toBe(200);
      await stopped(second);
    },
  );

  test("after kill -9 of the starter the next start ends what it left, and serves the same state", async () => {
    const stateDir = makeStateDir();
    const port = String(await settledPort());
    const first = runScript("start.ts", stateDir, { env: { PORT: port } });
    const firstUrl = await readyUrl(first);
    const orphan = noteOf(stateDir).runtime.pid;
    const password = PASSWORD.exec(first.output())?.[1] ?? "";
    first.child.kill("SIGKILL");
    await first.exited;

    const second = runScript("start.ts", stateDir, { env: { PORT: port } });
    const url = await readyUrl(second);
    expect(url).toBe(firstUrl);
    expect(noteOf(stateDir).runtime.pid).not.toBe(orphan);
    expect((await signIn(url, "admin", password)).status).toBe(200);
    expect(await stopped(second)).toBe(0);
  });

  test("a runtime that died comes back at the same address", async () => {
    const stateDir = makeStateDir();
    const run = runScript("start.ts", stateDir, { env: { PORT: String(await settledPort()) } });
    const url = await readyUrl(run);
    const died = noteOf(stateDir).runtime.pid;
    process.kill(died, "SIGKILL");
    await until(() => noteOf(stateDir).runtime.pid !== died, run);
    expect((await fetch(`${url}/api/hello`)).status).toBe(200);
    expect(await stopped(run)).toBe(0);
  });

  test("missing secrets are not replaced where the folder holds data", async () => {
    const stateDir = makeStateDir();
    const first = runScript("start.ts", stateDir);
    await readyUrl(first);
    await stopped(first);
    rmSync(join(stateDir, "secrets.env"));
    const second = runScript("start.ts", stateDir);
    expect(await second.exited).toBe(1);
    expect(second.output()).toContain(join(stateDir, "secrets.env"));
    expect(second.output()).toContain("none was made");
    expect(existsSync(join(stateDir, "secrets.env"))).toBe(false);
  });

  test("another encryption key is said in words, and nothing is lost by it", async () => {
    const stateDir = makeStateDir();
    const fake = await startFakeUpstream();
    cleanups.push(() => fake.close());
    const vars = { ANTHROPIC_API_URL: fake.url };
    const relay = await startRelay({ stateDir, vars });
    const { username, password } = relay.admin;
    const login = await signIn(relay.url, username, password);
    const { data } = (await login.json()) as { data: { token: string } };
    const made = await fetch(`${relay.url}/admin/claude-accounts`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${data.token}` },
      body: JSON.stringify({ name: "one", apiKey: fake.accounts.addApiKey().apiKey }),
    });
    expect(made.status).toBe(201);
    await relay.stop();

    const wrong = { ...vars, ENCRYPTION_KEY: "0123456789abcdef".repeat(4) };
    const refused = runScript("start.ts", stateDir, { env: wrong });
    expect(await refused.exited).toBe(1);
    expect(refused.output()).toContain("ENCRYPTION_KEY is not the one");
    expect(refused.output()).toContain("ENCRYPTION_KEY_PREVIOUS");
    expect(refused.output()).toContain(join(stateDir, "secrets.env"));

    const right = runScript("start.ts", stateDir, { env: vars });
    await readyUrl(right);
    await until(() => right.output().includes("npm run cli -- keys create"), right);
    expect(right.output()).not.toContain("accounts add");
    await stopped(right);
  });

  test("an answer that is streaming when the relay is told to stop arrives whole", async () => {
    const run = runScript("start.ts", makeStateDir(), { args: ["--demo"] });
    await readyUrl(run);
    await until(() => /^curl -N/m.test(run.output()), run);
    const { url, init } = curlRequest(run.output());
    const slow = { answer: { deltas: 20 }, intervalMs: 100 };
    const headers = { ...init.headers, "x-fake-script": JSON.stringify(slow) };
    const answer = await fetch(url, { ...init, headers });
    run.child.kill("SIGTERM");
    expect(await answer.text()).toContain("event: message_stop");
    expect(await run.exited).toBe(0);
    expect(run.output()).toMatch(/^Stopped\.$/m);
  });

  test("told to stop while it is starting, it leaves nothing behind", async () => {
    const stateDir = makeStateDir();
    const run = runScript("start.ts", stateDir);
    const lock = join(stateDir, "relay.lock");
    await until(() => existsSync(lock) && noteOf(stateDir).runtime !== null, run);
    const { pid } = noteOf(stateDir).runtime;
    expect(await stopped(run)).toBe(0);
    expect(existsSync(lock)).toBe(false);
    await until(() => !isRunning(pid), run);
  });

  test("unknown flags are refused and --help explains", async () => {
    const unknown = runScript("start.ts", makeStateDir(), { args: ["--demon"] });
    expect(await unknown.exited).toBe(1);
    expect(unknown.output()).toContain("--demon");
    const help = runScript("start.ts", makeStateDir(), { args: ["--help"] });
    expect(await help.exited).toBe(0);
    expect(help.output()).toContain("RELAY_STATE_DIR");
  });
});

describe("npm start -- --demo", () => {
  test("the printed line really gets a streamed answer", async () => {
    const run = runScript("start.ts", makeStateDir(), { args: ["--demo"] });
    await readyUrl(run);
    await until(() => /^curl -N/m.test(run.output()), run);
    const { url, init } = curlRequest(run.output());
    const answer = await fetch(url, init);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toContain("text/event-stream");
    const text = await answer.text();
    expect(text).toContain("event: message_start");
    expect(text).toContain("event: message_stop");
  });
});

describe("npm run setup", () => {
  test("makes what is missing once, and resets only the password", async () => {
    const stateDir = makeStateDir();
    const secretsFile = join(stateDir, "secrets.env");
    const first = runScript("setup.ts", stateDir);
    expect(await first.exited).toBe(0);
    expect(first.output()).toMatch(PASSWORD);
    const before = readFileSync(secretsFile, "utf8");

    const second = runScript("setup.ts", stateDir);
    expect(await second.exited).toBe(0);
    expect(second.output()).toContain("nothing was changed");
    expect(readFileSync(secretsFile, "utf8")).toBe(before);

    const reset = runScript("setup.ts", stateDir, { args: ["--reset-admin-password"] });
    expect(await reset.exited).toBe(0);
    const password = PASSWORD.exec(reset.output())?.[1] ?? "";
    const without = (text: string) => text.replace(/^ADMIN_PASSWORD_HASH=.*$/m, "");
    const after = readFileSync(secretsFile, "utf8");
    expect(after).not.toBe(before);
    expect(without(after)).toBe(without(before));

    const run = runScript("start.ts", stateDir);
    expect((await signIn(await readyUrl(run), "admin", password)).status).toBe(200);
    await stopped(run);
  });

  test("hands secrets to a pipe as JSON, password hash unharmed", async () => {
    const stateDir = makeStateDir();
    await runScript("setup.ts", stateDir).exited;
    const json = runScript("setup.ts", stateDir, { args: ["--json"] });
    expect(await json.exited).toBe(0);
    const secrets: unknown = JSON.parse(json.output());
    expect(secrets).toEqual({
      JWT_SECRET: expect.stringMatching(/^[0-9a-f]{64}$/),
      ENCRYPTION_KEY: expect.stringMatching(/^[0-9a-f]{64}$/),
      ADMIN_USERNAME: "admin",
      ADMIN_PASSWORD_HASH: expect.stringMatching(/^\$scrypt\$ln=14,r=8,p=5\$/),
    });
  });
});

/** Reads the printed line the way a shell would: an address, `-H` headers and a `-d` body. */
function curlRequest(output: string): {
  url: string;
  init: { method: string; headers: Record<string, string>; body: string };
} {
  const line = /^curl -N (\S+) (.*)$/m.exec(output);
  const headers = [...(line?.[2] ?? "").matchAll(/-H '([^:']+): ([^']*)'/g)];
  const body = /-d '([^']*)'/.exec(line?.[2] ?? "")?.[1] ?? "";
  return {
    url: line?.[1] ?? "",
    init: {
      method: "POST",
      headers: Object.fromEntries(headers.map(([, name, value]) => [name, value])),
      body,
    },
  };
}
