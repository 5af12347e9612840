import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import type { Readable } from "node:stream";

/** workerd tells its sockets' ports on this descriptor. */
const CONTROL_FD = 3;
const START_LIMIT_MS = 30_000;
const KEPT_OUTPUT_CHARS = 4_000;

/** The one that Miniflare brings: the same that `npm start` and the tests run. */
const fromMiniflare = createRequire(createRequire(import.meta.url).resolve("miniflare"));
/** The program itself; the package's own starter would be a process between. */
const workerdPath = pathOf(fromMiniflare("workerd"));

export function workerdVersion(): string {
  return (fromMiniflare("workerd/package.json") as { version: string }).version;
}

export interface Workerd {
  pid: number;
  /** Port by the name of its socket. */
  ports: Map<string, number>;
  stop(): Promise<void>;
}

/**
 * Runs `workerd serve` until all sockets listen.
 *
 * @param configPath a config in text, whose constant is `config`
 * @param sockets the names of its sockets
 * @throws with what workerd said, where it ended instead
 */
export async function startWorkerd(
  configPath: string,
  sockets: string[],
  flags: string[] = [],
): Promise<Workerd> {
  const child = spawn(
    workerdPath,
    // Paths in the config are absolute.
    ["serve", "--import-path=/", `--control-fd=${CONTROL_FD}`, ...flags, configPath, "config"],
    { stdio: ["ignore", "pipe", "pipe", "pipe"] },
  );
  let output = "";
  const keep = (text: string) => {
    output = (output + text).slice(-KEPT_OUTPUT_CHARS);
  };
  child.stdout?.setEncoding("utf8").on("data", keep);
  child.stderr?.setEncoding("utf8").on("data", keep);
  const ports = await Promise.race([
    listening(child, sockets),
    once(child, "exit").then(() => null),
    new Promise<null>((settle) => setTimeout(settle, START_LIMIT_MS, null).unref()),
  ]);
  const { pid } = child;
  if (ports === null || pid === undefined) {
    child.kill("SIGKILL");
    throw new Error(`workerd did not start:\n${output}`);
  }
  const killWithParent = () => child.kill("SIGKILL");
  process.once("exit", killWithParent);
  return {
    pid,
    ports,
    async stop() {
      process.off("exit", killWithParent);
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`workerd had ended meanwhile:\n${output}`);
      }
      const exit = once(child, "exit");
      child.kill("SIGKILL");
      await exit;
    },
  };
}

async function listening(child: ChildProcess, sockets: string[]): Promise<Map<string, number>> {
  const control = child.stdio[CONTROL_FD] as Readable;
  const ports = new Map<string, number>();
  let text = "";
  for await (const piece of control) {
    text += piece;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      const said = JSON.parse(line) as { event: string; socket?: string; port?: number };
      if (said.event === "listen" && said.socket !== undefined && said.port !== undefined) {
        ports.set(said.socket, said.port);
      }
    }
    if (sockets.every((name) => ports.has(name))) return ports;
  }
  return new Promise(() => {}); // it ended: whoever waits for that says so
}

function pathOf(module: unknown): string {
  const path: unknown =
    typeof module === "object" && module !== null && "default" in module ? module.default : null;
  if (typeof path !== "string") throw new Error("the workerd package has no program");
  return path;
}
