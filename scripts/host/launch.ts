import { mkdirSync, realpathSync, rmSync, statfsSync } from "node:fs";
import { join, resolve } from "node:path";
import { verifyPassword } from "../../src/admin/password.ts";
import type { LogLevel } from "../../src/config.ts";
import { ensureBundle, varsOf } from "./bundle.ts";
import { fetchHealth } from "./health.ts";
import { portHolder } from "./port-holder.ts";
import { projectDir, STORE_DIR } from "./project.ts";
import { logPrinter } from "./runtime-log.ts";
import {
  ensureSecrets,
  placeholderSecrets,
  readSecrets,
  type SecretsOutcome,
  secretsPath,
} from "./secrets-file.ts";
import { type Values, workerVars } from "./settings.ts";
import { lockState } from "./state-lock.ts";
import { errorCode, Stop } from "./stop.ts";
import { PortTaken, startWorkerHost, urlHost, type WorkerHost } from "./worker-host.ts";

const DIR_MODE = 0o700;
/** What the runtime writes at its start is less. */
const ROOM_TO_START_BYTES = 1_000_000;
/** Whoever holds the port need not speak HTTP. */
const STRANGER_LIMIT_MS = 1_000;

export interface LaunchOptions {
  /** Absolute, or relative to the project's folder. */
  stateDir: string;
  host: string;
  port: number;
  /** What the operator gives; wins over everything that is made or has a default. */
  given: Values;
  /** Forgets everything in the state folder, once it is certain that no relay runs on it. */
  wipe?: boolean;
  print(line: string): void;
}

export interface LaunchedRelay {
  host: WorkerHost;
  /** The address that was asked for. */
  listenHost: string;
  stateDir: string;
  vars: Record<string, string>;
  /** The admin's password where it was made up just now. */
  newPassword: string | null;
  /** Gives the state folder back; call it after the host has ended. */
  release(): void;
}

/**
 * Starts the relay on a state folder: builds it, takes the folder, makes missing secrets and runs
 * the Worker.
 *
 * @throws Stop with what the operator has to mend
 */
export async function launch(options: LaunchOptions): Promise<LaunchedRelay> {
  const { given, print } = options;
  const bundle = await ensureBundle(print);
  const wanted = resolve(projectDir, options.stateDir);
  // Whatever is wrong with the configuration is said before anything is made.
  const known = options.wipe ? null : readSecrets(wanted);
  workerVars(varsOf(bundle), placeholderSecrets(), known ?? {}, given);

  mkdirSync(wanted, { recursive: true, mode: DIR_MODE });
  const stateDir = realpathSync(wanted);
  const lock = await lockState(stateDir).catch(async (error: unknown) => {
    throw await inWords(error, stateDir, options);
  });
  const release = () => lock.release();
  process.once("exit", release);
  try {
    if (options.wipe) {
      rmSync(join(stateDir, STORE_DIR), { recursive: true, force: true });
      rmSync(secretsPath(stateDir), { force: true });
    }
    const outcome = ensureSecrets({
      stateDir,
      given,
      adminUsername: given.ADMIN_USERNAME,
      adminPassword: given.ADMIN_PASSWORD,
    });
    const vars = workerVars(varsOf(bundle), outcome.secrets, given);
    for (const line of secretsNews(stateDir, outcome, vars, given)) print(line);

    const host = await startWorkerHost({
      bundle,
      vars,
      stateDir,
      host: options.host,
      port: options.port,
      ownsSignals: true,
      onLine: logPrinter(vars.LOG_LEVEL as LogLevel),
      onRestart: (runtime) => lock.note(host.url, runtime),
    });
    lock.note(host.url, host.runtime());
    return {
      host,
      listenHost: options.host,
      stateDir,
      vars,
      newPassword: outcome.newPassword,
      release,
    };
  } catch (error) {
    release();
    throw await inWords(error, stateDir, options);
  }
}

/** What an operator must know about the secrets; the password is shown here and never again. */
function secretsNews(
  stateDir: string,
  { made, newPassword }: SecretsOutcome,
  vars: Record<string, string>,
  given: Values,
): string[] {
  if (made.includes("ADMIN_PASSWORD_HASH")) {
    const news = [`Secrets made: ${secretsPath(stateDir)} (back it up together with the state).`];
    if (newPassword !== null) {
      news.push(
        "",
        `  Admin user      ${vars.ADMIN_USERNAME}`,
        `  Admin password  ${newPassword}`,
        "                  Shown only now. Lost it? npm run setup -- --reset-admin-password",
        "",
      );
    }
    return news;
  }
  const password = given.ADMIN_PASSWORD;
  if (password && !verifyPassword(password, vars.ADMIN_PASSWORD_HASH ?? "")) {
    return [
      "ADMIN_PASSWORD is ignored: this relay has an admin password already, and it is another one.",
      "To change it: npm run setup -- --reset-admin-password, and start again.",
    ];
  }
  return [];
}

/** workerd itself says no more than that it cannot read its own files. */
function isFull(dir: string): boolean {
  const { bavail, bsize } = statfsSync(dir);
  return bavail * bsize < ROOM_TO_START_BYTES;
}

async function inWords(
  error: unknown,
  stateDir: string,
  { host, port }: LaunchOptions,
): Promise<unknown> {
  if (error instanceof Stop) return error;
  if (isFull(stateDir)) {
    return new Stop(`The disk that holds ${stateDir} is full, so the relay cannot start.
Make room, and start again: what it had stored is still there.`);
  }
  if (error instanceof PortTaken) {
    const holder = portHolder(port);
    const relay = await fetchHealth(`http://${urlHost(host)}:${port}`, STRANGER_LIMIT_MS);
    const kind = relay === null ? "another program" : `a relay, version ${relay.version}`;
    const who = holder === null ? kind : `${kind}: ${holder}`;
    return new Stop(`Port ${port} on ${host} is taken (${who}).
Stop that program, or choose another port: PORT=${port === 65_535 ? 8788 : port + 1} npm start`);
  }
  if (errorCode(error) === "EACCES") {
    return new Stop(
      `Port ${port} may not be opened by this user. Choose one above 1023 with PORT.`,
    );
  }
  if (errorCode(error) === "EADDRNOTAVAIL" || errorCode(error) === "ENOTFOUND") {
    return new Stop(`HOST=${host} is no address of this machine.`);
  }
  return error;
}
