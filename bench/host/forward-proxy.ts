import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Helper, startHelper } from "./helper.ts";
import { portOf } from "./relay.ts";

const MAIN = join(import.meta.dirname, "../../forward-proxy/src/main.ts");
const SECRET = "0123456789abcdef0123456789abcdef";

export interface ForwardWay {
  /** What the relay has to be told. */
  vars: Record<string, string>;
  /** What an account has to be told. */
  proxy: { type: "http"; host: string; port: number };
  stop(): Promise<void>;
}

/** Starts a forward proxy, and a plain HTTP proxy behind it: the way of accounts that have one. */
export async function startForwardWay(upstreamUrl: string): Promise<ForwardWay> {
  const tunnel = await startHelper(join(import.meta.dirname, "../tunnel/main.ts"));
  try {
    const service = spawn(process.execPath, [MAIN], {
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        FORWARD_PROXY_SECRET: SECRET,
        PORT: "0",
        METRICS_PORT: "off",
        UPSTREAM_ORIGINS: upstreamUrl,
        PRIVATE_ADDRESSES_ALLOWED: "127.0.0.1",
        MAX_SOCKETS_PER_POOL: "5000",
        LOG_LEVEL: "info",
      },
    });
    const port = await listeningPort(service);
    return {
      vars: { FORWARD_PROXY_URL: `http://127.0.0.1:${port}`, FORWARD_PROXY_SECRET: SECRET },
      proxy: { type: "http", host: "127.0.0.1", port: portOf(tunnel) },
      stop: () => stopBoth(service, tunnel),
    };
  } catch (error) {
    await tunnel.stop();
    throw error;
  }
}

async function listeningPort(service: ChildProcess): Promise<number> {
  if (service.stdout === null) throw new Error("the forward proxy has no output");
  for await (const line of createInterface({ input: service.stdout })) {
    const { event, port } = JSON.parse(line) as { event: string; port: number };
    if (event !== "listening") continue;
    service.stdout.resume();
    return port;
  }
  throw new Error("the forward proxy ended at once");
}

async function stopBoth(service: ChildProcess, tunnel: Helper): Promise<void> {
  if (service.exitCode === null && service.signalCode === null) {
    const exit = once(service, "exit");
    service.kill("SIGKILL");
    await exit;
  }
  await tunnel.stop();
}
