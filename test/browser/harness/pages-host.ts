import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectDir, quietWranglerEnv, wranglerScript } from "../../../scripts/host/project.ts";

const READY = /Ready on (http:\/\/127\.0\.0\.1:\d+)/;
/** Starting wrangler, bundling the function and starting workerd, on a busy machine. */
const READY_LIMIT_MS = 60_000;
const END_LIMIT_MS = 10_000;

export interface PagesHost {
  /** Origin without a trailing slash. */
  url: string;
  stop(): Promise<void>;
}

/**
 * Runs the panel as Pages does, with `wrangler pages dev`: its function finds the relay by the
 * service binding of `admin-pages/wrangler.toml`.
 *
 * @param registryDir that in which the relay has made itself known
 * @param relayUrl what clients are told
 */
export async function startPagesHost(registryDir: string, relayUrl: string): Promise<PagesHost> {
  const stateDir = mkdtempSync(join(tmpdir(), "relay-pages-"));
  const child = spawn(
    process.execPath,
    [
      wranglerScript,
      ...["pages", "dev", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0"],
      ...["--persist-to", stateDir, "--binding", `RELAY_URL=${relayUrl}`],
      "--show-interactive-dev-session=false",
    ],
    {
      cwd: join(projectDir, "admin-pages"),
      env: {
        ...quietWranglerEnv(),
        WRANGLER_LOG: "log",
        WRANGLER_REGISTRY_PATH: registryDir,
      },
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own, so that what it starts ends with it.
      detached: true,
    },
  );
  const stop = async () => {
    await end(child);
    rmSync(stateDir, { recursive: true, force: true });
  };
  try {
    return { url: await readyAt(child), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function readyAt(child: ChildProcess): Promise<string> {
  return new Promise((settle, fail) => {
    let output = "";
    const give = (why: string) => fail(new Error(`wrangler pages dev ${why}:\n${output}`));
    const timer = setTimeout(() => give("is not ready"), READY_LIMIT_MS);
    const hear = (chunk: Buffer) => {
      output += chunk.toString();
      const url = READY.exec(output)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      settle(url);
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    child.once("error", fail);
    child.once("exit", () => {
      clearTimeout(timer);
      give("has ended");
    });
  });
}

async function end(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((settle) => child.once("exit", settle));
  const kill = (signal: NodeJS.Signals) => {
    try {
      process.kill(-pid, signal);
    } catch {
      // It has ended by itself.
    }
  };
  kill("SIGTERM");
  const timer = setTimeout(() => kill("SIGKILL"), END_LIMIT_MS);
  await exited;
  clearTimeout(timer);
  // What it started may outlive it.
  kill("SIGKILL");
}
