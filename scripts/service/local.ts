import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureBundle, varsOf } from "../host/bundle.ts";
import { fetchHealth } from "../host/health.ts";
import { isSameProcess } from "../host/process-table.ts";
import { DEFAULT_STATE_DIR, projectDir } from "../host/project.ts";
import {
  ensureSecrets,
  placeholderSecrets,
  readSecrets,
  secretsPath,
} from "../host/secrets-file.ts";
import { givenValues, workerVars } from "../host/settings.ts";
import { type LockContent, runningRelay } from "../host/state-lock.ts";
import { Stop } from "../host/stop.ts";
import { logPath, logSize, openLog, readFrom } from "./log-file.ts";

const DIR_MODE = 0o700;
const POLL_MS = 50;
/** A first start takes some seconds, and more on a busy machine. */
const START_LIMIT_MS = 60_000;
/** A relay ends within ten seconds by itself; a busy machine needs longer. */
const STOP_LIMIT_MS = 30_000;
/** A second signal within a second counts as the echo of the first. */
const SECOND_SIGNAL_AFTER_MS = 1_200;
const HEALTH_LIMIT_MS = 5_000;

/** What `service:status` exits with. */
export const statusCodes = { up: 0, silent: 1, down: 3 } as const;

type Print = (line: string) => void;

/** The state folder that RELAY_STATE_DIR names, whether it is there or not. */
export function stateFolder(): string {
  const given = givenValues(process.env);
  const path = resolve(projectDir, given.RELAY_STATE_DIR ?? DEFAULT_STATE_DIR);
  return existsSync(path) ? realpathSync(path) : path;
}

/**
 * Starts the relay in the background: it outlives this process and its terminal.
 *
 * @throws Stop where one runs on this state, or where it does not come up
 */
export async function startDaemon(stateDir: string, print: Print): Promise<void> {
  refuseSecond(stateDir);
  await makeSecrets(stateDir, print);
  const log = logPath(stateDir);
  const from = logSize(log);
  const output = openLog(log);
  const { npm_lifecycle_event: _, ...env } = process.env;
  const child = spawn(
    process.execPath,
    [
      ...["--import", join(projectDir, "scripts/require-node.mjs")],
      join(import.meta.dirname, "daemon.ts"),
      log,
    ],
    { cwd: projectDir, env, detached: true, stdio: ["ignore", output, output] },
  );
  closeSync(output);
  const url = await untilRunning(child, stateDir, () => readFrom(log, from));
  child.unref();
  print(`The relay runs in the background at ${url}, pid ${child.pid}.`);
  print(`  Log    ${log}   (npm run service:logs)`);
  print(`  State  ${stateDir}`);
  print("  Look   npm run service:status     Stop   npm run service:stop");
}

function refuseSecond(stateDir: string): void {
  const running = runningRelay(stateDir);
  if (running === null) return;
  throw new Stop(
    `A relay is running on ${stateDir} already: ${placeOf(running)}.\nStop it with \`npm run service:stop\`, or choose another folder with RELAY_STATE_DIR, and another PORT.`,
  );
}

/** Here and not in the background: a password that is shown once must not go to a log. */
async function makeSecrets(stateDir: string, print: Print): Promise<void> {
  const given = givenValues(process.env);
  const bundle = await ensureBundle(print);
  workerVars(varsOf(bundle), placeholderSecrets(), readSecrets(stateDir) ?? {}, given);
  mkdirSync(stateDir, { recursive: true, mode: DIR_MODE });
  const { secrets, made, newPassword } = ensureSecrets({
    stateDir,
    given,
    adminUsername: given.ADMIN_USERNAME,
    adminPassword: given.ADMIN_PASSWORD,
  });
  if (made.length > 0) print(`Secrets made: ${secretsPath(stateDir)} (keep it with the state).`);
  if (newPassword === null) return;
  print(`\n  Admin user      ${secrets.ADMIN_USERNAME ?? given.ADMIN_USERNAME}`);
  print(`  Admin password  ${newPassword}`);
  print("                  Shown only now. Lost it? npm run setup -- --reset-admin-password\n");
}

/** It is up once it says so; what it says instead is what went wrong. */
async function untilRunning(
  child: ChildProcess,
  stateDir: string,
  said: () => string,
): Promise<string> {
  let hasEnded = false;
  child.once("error", () => {
    hasEnded = true;
  });
  child.once("exit", () => {
    hasEnded = true;
  });
  const until = Date.now() + START_LIMIT_MS;
  for (;;) {
    const url = /^Relay \S+ is running at (\S+)$/m.exec(said())?.[1];
    if (url !== undefined) return url;
    if (hasEnded) throw new Stop(`The relay did not start:\n${said().trimEnd()}`);
    if (Date.now() > until) {
      throw new Stop(
        `The relay has not come up within ${START_LIMIT_MS / 1000} s; it may still do so (pid ${child.pid}). Its log is ${logPath(stateDir)}.`,
      );
    }
    await sleep(POLL_MS);
  }
}

/**
 * Ends the relay of a state folder in order, wherever it was started from.
 *
 * @param isAtOnce does not wait for requests in flight
 */
export async function stopRelay(stateDir: string, isAtOnce: boolean, print: Print): Promise<void> {
  const running = runningRelay(stateDir);
  if (running === null) {
    print(`No relay runs on ${stateDir}.`);
    return;
  }
  const { starter } = running;
  print(`Stopping ${placeOf(running)}${isAtOnce ? "" : "; requests in flight may finish"} ...`);
  process.kill(starter.pid, "SIGTERM");
  const toldAt = Date.now();
  let isToldTwice = !isAtOnce;
  while (isSameProcess(starter)) {
    const passedMs = Date.now() - toldAt;
    if (!isToldTwice && passedMs >= SECOND_SIGNAL_AFTER_MS) {
      isToldTwice = true;
      process.kill(starter.pid, "SIGTERM");
    }
    if (passedMs > STOP_LIMIT_MS) {
      throw new Stop(
        `It has not ended within ${STOP_LIMIT_MS / 1000} s. End it by force: kill -9 ${starter.pid}. The next start cleans up; what was in flight is lost.`,
      );
    }
    await sleep(POLL_MS);
  }
  print("Stopped.");
}

/** Says whether a relay runs, where, and how it is. @returns the exit code */
export async function showStatus(stateDir: string, print: Print): Promise<number> {
  const running = runningRelay(stateDir);
  if (running === null) {
    print(`down   No relay runs on ${stateDir}.`);
    print("       Start it: npm run service:start:daemon, or npm start");
    return statusCodes.down;
  }
  const health = running.url === null ? null : await fetchHealth(running.url, HEALTH_LIMIT_MS);
  if (health === null) {
    print(`silent ${placeOf(running)} gives no answer to GET /health.`);
    print("       Its log may say why: npm run service:logs");
    return statusCodes.silent;
  }
  print(`up     ${placeOf(running)}, version ${health.version}`);
  const { usable = 0, total = 0 } = health.accounts ?? {};
  print(`health ${health.message ?? health.status} (${usable} of ${total} accounts usable)`);
  print(`state  ${stateDir}`);
  return statusCodes.up;
}

function placeOf({ url, starter }: LockContent): string {
  return `${url ?? "a relay that is just starting"}, pid ${starter.pid}`;
}
