import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { V4ModuleDefinition, V4WorkerOptionsShape } from "miniflare";
import { hasEnded, isSameProcess, type ProcessRecord } from "./process-table.ts";

const POLL_MS = 20;
/**
 * From the end of the last answer to the end of workerd. What was answered is settled in the meanwhile:
 * settlements wait a moment for others, then take a call and a commit (`src/relay/meter-link.ts`).
 */
const SETTLING_MS = 500;
/** Where nobody can tell which requests are in flight: before workerd is told to end. */
const BLIND_SETTLING_MS = 100;
/** workerd lets go of its files and port in a moment once its last request has ended. */
const EXIT_LIMIT_MS = 1_000;
/** A runtime that does not answer by then is ended without being held. */
const HOLD_LIMIT_MS = 2_000;
/** In /proc/net/tcp: an open connection, and one whose client has ended its half and still reads. */
const IN_USE = new Set(["01", "08"]);

/**
 * A Worker beside the relay, on a socket of its own. workerd exits as soon as no request is in flight,
 * and forgets the work that goes on after an answer. While someone reads from this Worker it stays, and
 * takes no new connections all the same.
 */
export const HOLDER = {
  name: "holder",
  compatibilityDate: "2026-10-20",
  modules: [
    {
      type: "ESModule",
      path: "holder.js",
      // Without a timer workerd would take the answer for hung.
      contents: `export default {
        fetch() {
          return new Response(new ReadableStream({
            async pull(controller) {
              await scheduler.wait(100);
              controller.enqueue(new Uint8Array(1));
            },
          }));
        },
      };`,
    },
  ],
  modulesRoot: ".",
  unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
} satisfies V4WorkerOptionsShape & { modules: V4ModuleDefinition[] };

/**
 * Ends workerd in order: it takes no new requests, those in flight may finish for at most `graceMs`, and
 * what follows their answers is done.
 *
 * @param port of the relay
 * @param holderUrl of {@link HOLDER}
 * @returns false where requests were still running at the end
 */
export async function drain(
  runtime: ProcessRecord | null,
  port: number,
  holderUrl: URL | null,
  graceMs: number,
): Promise<boolean> {
  if (runtime === null || process.platform === "win32") return false;
  const until = Date.now() + graceMs;
  const hold = await holdOpen(holderUrl);
  if (hold === null || openConnections(port) === null) {
    hold?.abort();
    await sleep(BLIND_SETTLING_MS);
    tellToEnd(runtime);
    return await untilGone(runtime, until);
  }
  tellToEnd(runtime);
  // It closes the connections on which nothing is going on: what is left is in use.
  while ((openConnections(port) ?? 0) > 0 && !hasEnded(runtime.pid)) {
    if (Date.now() >= until) {
      hold.abort();
      return false;
    }
    await sleep(POLL_MS);
  }
  await sleep(SETTLING_MS);
  hold.abort();
  return await untilGone(runtime, Date.now() + EXIT_LIMIT_MS);
}

/** @returns what lets go of it, or null where the Worker does not answer */
async function holdOpen(url: URL | null): Promise<AbortController | null> {
  if (url === null) return null;
  const hold = new AbortController();
  const giveUp = setTimeout(() => hold.abort(), HOLD_LIMIT_MS);
  try {
    const { body } = await fetch(url, { signal: hold.signal });
    void body?.pipeTo(new WritableStream()).catch(() => {});
    return hold;
  } catch {
    return null;
  } finally {
    clearTimeout(giveUp);
  }
}

function tellToEnd(runtime: ProcessRecord): void {
  if (isSameProcess(runtime)) process.kill(runtime.pid, "SIGTERM");
}

async function untilGone(runtime: ProcessRecord, until: number): Promise<boolean> {
  while (!hasEnded(runtime.pid)) {
    if (Date.now() >= until) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** How many clients' connections to a port of this machine are open; null: the system does not tell. */
function openConnections(port: number): number | null {
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  try {
    return ["tcp", "tcp6"]
      .flatMap((table) => readTable(table))
      .filter((line) => {
        const [, local = "", , state = ""] = line.trim().split(/\s+/);
        return local.endsWith(`:${hexPort}`) && IN_USE.has(state);
      }).length;
  } catch {
    return null;
  }
}

function readTable(name: string): string[] {
  return readFileSync(`/proc/net/${name}`, "utf8").split("\n");
}
