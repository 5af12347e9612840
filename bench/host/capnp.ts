/** A text as it stands in a config of workerd. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

export interface WorkerSpec {
  modules: { name: string; path: string }[];
  compatibilityDate: string;
  compatibilityFlags?: string[];
  /** Bindings, each as its line in the config. */
  bindings?: string[];
  /** Classes of Durable Objects: on disk, in SQLite. */
  objects?: string[];
  /** The name under which the objects' data lies. */
  name: string;
}

export interface ConfigSpec {
  worker: WorkerSpec;
  /** Sockets by name, each with the entrypoint that it leads to; null: the default one. */
  sockets: Record<string, string | null>;
  /** An absolute path; null where there are no objects. */
  storageDir: string | null;
  /** Servers of their own, by the name that bindings use. */
  externals?: Record<string, string>;
  extensions?: { name: string; path: string }[];
}

/** The config of one workerd, with one Worker that may reach this machine's own servers. */
export function configText(spec: ConfigSpec): string {
  const { worker, sockets, storageDir, externals = {}, extensions = [] } = spec;
  const services = [
    `(name = "worker", worker = .worker)`,
    `(name = "internet", network = (allow = ["public", "private"]))`,
    ...(storageDir === null
      ? []
      : [`(name = "storage", disk = (path = ${quoted(storageDir)}, writable = true))`]),
    ...Object.entries(externals).map(
      ([name, address]) =>
        `(name = ${quoted(name)}, external = (address = ${quoted(address)}, http = ()))`,
    ),
  ];
  const sockets_ = Object.entries(sockets).map(
    ([name, entrypoint]) =>
      `(name = ${quoted(name)}, address = "127.0.0.1:0", http = (), service = (name = "worker"${
        entrypoint === null ? "" : `, entrypoint = ${quoted(entrypoint)}`
      }))`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [${list(services)}],
  sockets = [${list(sockets_)}],
  extensions = [${list(
    extensions.map(
      ({ name, path }) =>
        `(modules = [(name = ${quoted(name)}, internal = true, esModule = embed ${quoted(path)})])`,
    ),
  )}],
);

const worker :Workerd.Worker = (
  modules = [${list(
    worker.modules.map(
      ({ name, path }) => `(name = ${quoted(name)}, esModule = embed ${quoted(path)})`,
    ),
  )}],
  compatibilityDate = ${quoted(worker.compatibilityDate)},
  compatibilityFlags = [${list((worker.compatibilityFlags ?? []).map(quoted))}],
  bindings = [${list(worker.bindings ?? [])}],
  durableObjectNamespaces = [${list(
    (worker.objects ?? []).map(
      (name) =>
        `(className = ${quoted(name)}, uniqueKey = ${quoted(`${worker.name}-${name}`)}, enableSql = true)`,
    ),
  )}],
  ${storageDir === null ? "" : `durableObjectStorage = (localDisk = "storage"),`}
);
`;
}

function list(items: string[]): string {
  return items.map((item) => `\n    ${item}`).join(",");
}
