import { mkdirSync, realpathSync } from "node:fs";
import { hashPassword } from "../src/admin/password.ts";
import { ensureBundle, varsOf, type WorkerBundle } from "./host/bundle.ts";
import type { RuntimeLine } from "./host/runtime-log.ts";
import { logPrinter } from "./host/runtime-log.ts";
import { ensureSecrets, type Secrets } from "./host/secrets-file.ts";
import { workerVars } from "./host/settings.ts";
import { lockState } from "./host/state-lock.ts";
import { startWorkerHost } from "./host/worker-host.ts";

export { ensureBundle } from "./host/bundle.ts";

/** Long enough for an answer in flight, short enough for a test. */
const STOP_GRACE_MS = 5_000;
const ADMIN_USERNAME = "admin";
const ADMIN_PASSWORD = "correct-horse-battery";
let adminPasswordHash: string | undefined;

export interface RelayOptions {
  /** Made if missing. A second start on it finds the same secrets and data. */
  stateDir: string;
  /** Default 127.0.0.1. */
  host?: string;
  /** Default 0: any free port. */
  port?: number;
  /** Vars and secrets that win over wrangler.toml and the state folder's own. */
  vars?: Record<string, string>;
  /** Where other Workers on this machine find this one; see `WorkerHostOptions`. */
  registryDir?: string;
  /** Drops the Worker's log lines. Default true. */
  quiet?: boolean;
  /** Is handed every line of the Worker's log and of the runtime. */
  onLine?(line: RuntimeLine): void;
  /** Default: the project's Worker, built if it is older than its sources. */
  bundle?: WorkerBundle;
}

export interface RelayProcess {
  /** Origin without a trailing slash. */
  url: string;
  port: number;
  stateDir: string;
  admin: { username: string; password: string };
  /** The vars and secrets that the Worker runs with. */
  vars: Record<string, string>;
  /** Number of the workerd process, or null where the system does not tell. */
  runtimePid(): number | null;
  /** Lets requests in flight finish. */
  stop(): Promise<void>;
  /** Ends workerd at once, as a crash or a power cut would. State stays on disk. */
  kill(): Promise<void>;
}

/** Runs the relay below this process, for tests and tools. The same host as `npm start`. */
export async function startRelay(options: RelayOptions): Promise<RelayProcess> {
  mkdirSync(options.stateDir, { recursive: true });
  const stateDir = realpathSync(options.stateDir);
  const given = options.vars ?? {};
  const bundle = options.bundle ?? (await ensureBundle());
  const lock = await lockState(stateDir);
  try {
    const secrets: Secrets = ensureSecrets({
      stateDir,
      given,
      adminUsername: ADMIN_USERNAME,
      adminPassword: ADMIN_PASSWORD,
      hash: hashOnce,
    }).secrets;
    const vars = workerVars(varsOf(bundle), secrets, given);
    const print = logPrinter("debug");
    const host = await startWorkerHost({
      bundle,
      vars,
      stateDir,
      host: options.host ?? "127.0.0.1",
      port: options.port ?? 0,
      ...(options.registryDir === undefined ? {} : { registryDir: options.registryDir }),
      onLine(line) {
        options.onLine?.(line);
        if (options.quiet === false) print(line);
      },
      onRestart: (runtime) => lock.note(host.url, runtime),
    });
    lock.note(host.url, host.runtime());
    return {
      url: host.url,
      port: host.port,
      stateDir,
      admin: { username: vars.ADMIN_USERNAME ?? ADMIN_USERNAME, password: ADMIN_PASSWORD },
      vars,
      runtimePid: () => host.runtime()?.pid ?? null,
      async stop() {
        await host.stop(STOP_GRACE_MS);
        lock.release();
      },
      async kill() {
        await host.kill();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** The hash is slow by design; one password needs it once a process. */
function hashOnce(password: string): string {
  adminPasswordHash ??= hashPassword(password);
  return adminPasswordHash;
}
