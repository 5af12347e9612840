import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { varsOf, type WorkerBundle } from "../../scripts/host/bundle.ts";
import { hashPassword } from "../../src/admin/password.ts";
import type { Caller } from "../load/job.ts";
import { configText, quoted } from "./capnp.ts";
import { WORKERS_DIR } from "./floor.ts";
import { type Helper, startHelper } from "./helper.ts";
import { type Admin, type Population, seedAccounts, seedKeys } from "./population.ts";
import { startWorkerd, type Workerd } from "./workerd.ts";

const KV_SERVICE = "kv";
const RATE_LIMIT_MODULE = "bench:rate-limit";
const SECRET_BYTES = 32;
const ADMIN_USERNAME = "admin";
const HTTP_SOCKET = "http";

/** Modules before the bundle and around it, and sockets to what they export. */
export interface RelayWrapper {
  modules: { name: string; path: string }[];
  sockets: Record<string, string>;
}

/** What a relay may have beyond the usual. */
export interface Furnishing {
  /** Only where costs are counted or objects are measured alone. */
  wrapper?: RelayWrapper | undefined;
  /** Further vars. */
  vars?: Record<string, string>;
}

export interface RelayOptions extends Furnishing {
  bundle: WorkerBundle;
  /** An empty folder for its config and its data. */
  dir: string;
  upstreamUrl: string;
  population: Population;
  flags?: string[];
}

export interface RelayHost {
  workerd: Workerd;
  port: number;
  callers: Caller[];
  admin: Admin;
  stop(): Promise<void>;
}

/**
 * Starts the relay as it would be deployed, on bare workerd, with accounts and keys. What workerd
 * lacks of the platform is stood in for: KV by a process of its own, the rate limiting binding by a
 * module. Durable Objects are workerd's, on disk.
 */
export async function startRelay(options: RelayOptions): Promise<RelayHost> {
  const { dir, population } = options;
  const kv = await startHelper(join(import.meta.dirname, "../kv/main.ts"));
  let workerd: Workerd | null = null;
  try {
    const password = randomBytes(SECRET_BYTES).toString("hex");
    const configPath = join(dir, "relay.capnp");
    mkdirSync(join(dir, "objects"), { recursive: true });
    writeFileSync(configPath, relayConfig(options, kv, password), { mode: 0o600 });
    const sockets = [HTTP_SOCKET, ...Object.keys(options.wrapper?.sockets ?? {})];
    workerd = await startWorkerd(configPath, sockets, options.flags);
    const port = workerd.ports.get(HTTP_SOCKET) ?? 0;
    const callers = await seedKeys(kv, population, join(options.bundle.modulesRoot, "../.."));
    const admin: Admin = { username: ADMIN_USERNAME, password };
    await seedAccounts(`http://127.0.0.1:${port}`, admin, population);
    return {
      workerd,
      port,
      callers,
      admin,
      async stop() {
        await workerd?.stop();
        await kv.stop();
      },
    };
  } catch (error) {
    await workerd?.stop();
    await kv.stop();
    throw error;
  }
}

function relayConfig(options: RelayOptions, kv: Helper, password: string): string {
  const { bundle, dir, upstreamUrl, wrapper } = options;
  const { compatibilityDate = "", compatibilityFlags = [], durableObjects = {} } = bundle.options;
  const vars: Record<string, string> = {
    ...varsOf(bundle),
    ANTHROPIC_API_URL: upstreamUrl,
    JWT_SECRET: randomBytes(SECRET_BYTES).toString("hex"),
    ENCRYPTION_KEY: randomBytes(SECRET_BYTES).toString("hex"),
    ADMIN_USERNAME,
    ADMIN_PASSWORD_HASH: hashPassword(password),
    ...options.vars,
  };
  const objects = Object.entries(durableObjects).map(([binding, object]) => ({
    binding,
    className: typeof object === "string" ? object : (object?.className ?? ""),
  }));
  const modules = bundle.modules.map(({ path }) => ({
    name: path.slice(path.lastIndexOf("/") + 1),
    path,
  }));
  const limits = Object.entries(bundle.options.ratelimits ?? {}).map(
    ([name, { simple }]) =>
      `(name = ${quoted(name)}, wrapped = (moduleName = ${quoted(RATE_LIMIT_MODULE)}, innerBindings = [(name = "settings", json = ${quoted(JSON.stringify(simple))})]))`,
  );
  return configText({
    worker: {
      name: bundle.options.name,
      // The first module is the entry.
      modules: [...(wrapper?.modules ?? []), ...modules],
      compatibilityDate,
      compatibilityFlags,
      bindings: [
        ...Object.entries(vars).map(
          ([name, text]) => `(name = ${quoted(name)}, text = ${quoted(text)})`,
        ),
        ...Object.keys(bundle.options.kvNamespaces ?? {}).map(
          (name) => `(name = ${quoted(name)}, kvNamespace = ${quoted(KV_SERVICE)})`,
        ),
        ...objects.map(
          ({ binding, className }) =>
            `(name = ${quoted(binding)}, durableObjectNamespace = ${quoted(className)})`,
        ),
        ...limits,
      ],
      objects: objects.map(({ className }) => className),
    },
    sockets: { [HTTP_SOCKET]: null, ...wrapper?.sockets },
    storageDir: join(dir, "objects"),
    externals: { [KV_SERVICE]: `127.0.0.1:${portOf(kv)}` },
    extensions: [{ name: RATE_LIMIT_MODULE, path: join(WORKERS_DIR, "rate-limit.js") }],
  });
}

/** The port that a helper said. */
export function portOf({ hello }: Helper): number {
  const port = typeof hello === "object" && hello !== null && "port" in hello ? hello.port : null;
  if (typeof port !== "number") throw new Error("a helper did not say its port");
  return port;
}
