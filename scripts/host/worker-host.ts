import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import {
  convertV4MiniflareOptions,
  Log,
  LogLevel,
  Miniflare,
  type MiniflareOptions,
} from "miniflare";
import type { WorkerBundle } from "./bundle.ts";
import { drain, HOLDER } from "./drain.ts";
import { childRuntimes, ownRuntime, type ProcessRecord, RUNTIME_MARK } from "./process-table.ts";
import { STORE_DIR } from "./project.ts";
import type { RuntimeLine } from "./runtime-log.ts";
import { errorCode } from "./stop.ts";

const KEY_STORE_BINDING = "RELAY_KEYS";
/**
 * Miniflare leads the sockets of a Worker that has files through two more Workers, which cost most of
 * the throughput. A socket of another Worker may lead straight to it: this one has nothing else.
 */
const DOOR = "door";
const DOOR_MODULE = "export default {};";
/** Miniflare's own entry, which nobody uses: the relay listens on a socket of its own. */
const ANY_PORT = 0;
const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface WorkerHostOptions {
  bundle: WorkerBundle;
  /** Vars and secrets; they win over those of wrangler.toml. */
  vars: Record<string, string>;
  /** Absolute. */
  stateDir: string;
  host: string;
  /** 0: any free port. */
  port: number;
  /**
   * A folder in which this Worker is made known by its name, so that one that `wrangler` runs with the
   * same WRANGLER_REGISTRY_PATH can bind it as a service.
   */
  registryDir?: string;
  onLine(line: RuntimeLine): void;
  /** Called with the new process after workerd had died and was started again. */
  onRestart?(runtime: ProcessRecord | null): void;
  /**
   * The caller handles the ending signals: then neither Miniflare nor a Ctrl-C in the terminal ends
   * workerd before the caller does. Changes this process's environment.
   */
  ownsSignals?: boolean;
}

export interface WorkerHost {
  /** Origin without a trailing slash. */
  url: string;
  port: number;
  /** The workerd process, or null where the system does not tell. */
  runtime(): ProcessRecord | null;
  /** Whether the store of relay keys holds any. */
  hasKeys(): Promise<boolean>;
  /** Restarts with another bundle on the same port and state. */
  reload(bundle: WorkerBundle): Promise<void>;
  /**
   * Takes no new requests, lets those in flight finish for at most `graceMs` and what follows their
   * answers be written, and ends workerd.
   *
   * @returns false where requests were still running at the end
   */
  stop(graceMs: number): Promise<boolean>;
  /** Ends workerd at once, as a crash would. */
  kill(): Promise<void>;
}

/** The port is taken. */
export class PortTaken extends Error {
  override name = "PortTaken";
}

/**
 * Runs the Worker in workerd on this machine, with its state on disk. Requests go straight to
 * workerd: the socket is its own, so that headers, streams and disconnects reach the Worker as
 * they are.
 *
 * @throws PortTaken
 */
export async function startWorkerHost(options: WorkerHostOptions): Promise<WorkerHost> {
  const { stateDir, host } = options;
  await refuseTakenPort(host, options.port);
  // Miniflare asks a server of Cloudflare's for sample request metadata unless told not to.
  process.env.CLOUDFLARE_CF_FETCH_ENABLED = "false";
  if (options.ownsSignals) shieldRuntime();

  const before = childRuntimes();
  let runtime: ProcessRecord | null = null;
  let isStopping = false;
  const miniflareOptions = (bundle: WorkerBundle, port: number): MiniflareOptions =>
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: ANY_PORT,
      cf: false,
      logRequests: false,
      telemetry: { enabled: false },
      ...(options.registryDir === undefined ? {} : { unsafeDevRegistryPath: options.registryDir }),
      log: new RestartLog(() => isStopping),
      resourcePersistencePath: join(stateDir, STORE_DIR),
      unsafeRuntimeEnv: { [RUNTIME_MARK]: stateDir },
      handleStructuredLogs: ({ level, message }) => options.onLine({ level, message }),
      unsafeHandleRuntimeRestart: () => {
        runtime = ownRuntime(stateDir, before);
        options.onRestart?.(runtime);
      },
      workers: [
        {
          ...bundle.options,
          modules: bundle.modules,
          modulesRoot: bundle.modulesRoot,
          bindings: { ...bundle.options.bindings, ...options.vars },
        },
        {
          name: DOOR,
          compatibilityDate: bundle.options.compatibilityDate ?? "",
          modules: [{ type: "ESModule", path: "door.js", contents: DOOR_MODULE }],
          unsafeDirectSockets: [{ host, port, serviceName: bundle.options.name }],
        },
        HOLDER,
      ],
    });

  const make = () => new Miniflare(miniflareOptions(options.bundle, options.port));
  const miniflare = options.ownsSignals ? withoutSignalHandlers(make) : make();
  let address: URL;
  try {
    await miniflare.ready;
    address = await miniflare.unsafeGetDirectURL(DOOR);
  } catch (error) {
    await miniflare.dispose();
    if (errorCode(error) === "ERR_ADDRESS_IN_USE") throw new PortTaken(`${host}:${options.port}`);
    throw error;
  }
  runtime = ownRuntime(stateDir, before);
  const port = Number(address.port);

  return {
    url: `http://${urlHost(host)}:${port}`,
    port,
    runtime: () => runtime,
    async hasKeys() {
      const store = await miniflare.getKVNamespace(KEY_STORE_BINDING);
      return (await store.list({ limit: 1 })).keys.length > 0;
    },
    async reload(bundle) {
      await miniflare.setOptions(miniflareOptions(bundle, port));
      runtime = ownRuntime(stateDir, before);
    },
    async stop(graceMs) {
      isStopping = true;
      // One that has just died has no address.
      const holder = await miniflare.unsafeGetDirectURL(HOLDER.name).catch(() => null);
      const hasFinished = await drain(runtime, port, holder, graceMs);
      await miniflare.dispose();
      return hasFinished;
    },
    async kill() {
      isStopping = true;
      await miniflare.dispose();
    },
  };
}

/** A host as it stands in a URL; one that means "every address" is reached over loopback. */
export function urlHost(host: string): string {
  if (host === "0.0.0.0" || host === "*") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

/** Miniflare takes the exit of a drained workerd for a crash; that line would mislead. */
class RestartLog extends Log {
  readonly #isStopping: () => boolean;

  constructor(isStopping: () => boolean) {
    super(LogLevel.WARN, { prefix: "host" });
    this.#isStopping = isStopping;
  }

  protected override log(message: string): void {
    if (!this.#isStopping()) process.stderr.write(`${message}\n`);
  }
}

/** Drops Miniflare's own signal handlers, which end everything at once; that of "exit" stays. */
function withoutSignalHandlers<T>(make: () => T): T {
  const known = new Map(ENDING_SIGNALS.map((signal) => [signal, process.listeners(signal)]));
  const made = make();
  for (const [signal, listeners] of known) {
    for (const listener of process.listeners(signal)) {
      if (!listeners.includes(listener)) process.removeListener(signal, listener);
    }
  }
  return made;
}

function shieldRuntime(): void {
  const shield = join(import.meta.dirname, "workerd.sh");
  try {
    accessSync(shield, constants.X_OK);
  } catch {
    return;
  }
  const fromMiniflare = createRequire(createRequire(import.meta.url).resolve("miniflare"));
  const workerd: unknown = fromMiniflare("workerd");
  const path =
    typeof workerd === "object" && workerd !== null && "default" in workerd ? workerd.default : "";
  if (process.platform === "win32" || typeof path !== "string" || path === "") return;
  process.env.RELAY_WORKERD = path;
  process.env.MINIFLARE_WORKERD_PATH = shield;
}

/** workerd would say so too, but only after Miniflare has given up on it. */
function refuseTakenPort(host: string, port: number): Promise<void> {
  return new Promise((settle, fail) => {
    const probe = createServer();
    probe.once("error", (error) => {
      fail(errorCode(error) === "EADDRINUSE" ? new PortTaken(`${host}:${port}`) : error);
    });
    probe.listen({ host: host === "*" ? "0.0.0.0" : host, port, exclusive: true }, () => {
      probe.close(() => settle());
    });
  });
}
