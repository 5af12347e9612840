import { readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createExclusively, replaceAtomically } from "./exclusive-file.ts";
import {
  hasEnded,
  isSameProcess,
  type ProcessRecord,
  processRecord,
  runtimesOf,
} from "./process-table.ts";
import { errorCode, Stop } from "./stop.ts";

const LOCK_FILE = "relay.lock";
const END_POLL_MS = 20;
/** A killed process is gone in a moment; one in an uninterruptible wait may take longer. */
const END_LIMIT_MS = 5_000;

/** What the lock file says about the relay that holds it. */
export interface LockContent {
  starter: ProcessRecord;
  /** Null until the relay answers. */
  url: string | null;
  /** The workerd process. */
  runtime: ProcessRecord | null;
}

export interface StateLock {
  /** Notes where the relay answers and which process serves. */
  note(url: string, runtime: ProcessRecord | null): void;
  release(): void;
}

/**
 * Takes a state folder for this process. What a killed starter left behind is ended first: its
 * workerd would go on serving, on the old port and the same data.
 *
 * @throws Stop where another relay runs on this state
 */
export async function lockState(stateDir: string): Promise<StateLock> {
  const path = join(stateDir, LOCK_FILE);
  const starter = processRecord(process.pid) ?? { pid: process.pid, identity: null };
  const content: LockContent = { starter, url: null, runtime: null };
  for (;;) {
    const holder = readLock(path);
    if (holder !== null && isSameProcess(holder.content.starter)) {
      throw new Stop(alreadyRunning(stateDir, holder.content));
    }
    if (holder !== null) discard(path, holder.text);
    if (createExclusively(path, JSON.stringify(content))) {
      await endRuntimes(stateDir, holder?.content.runtime ?? null);
      break;
    }
  }
  return {
    note(url, runtime) {
      replaceAtomically(path, JSON.stringify({ starter, url, runtime } satisfies LockContent));
    },
    release() {
      const holder = readLock(path)?.content.starter;
      if (holder?.pid === starter.pid && holder.identity === starter.identity) {
        rmSync(path, { force: true });
      }
    },
  };
}

/** @returns what the relay that runs on a state folder noted, or null where none runs */
export function runningRelay(stateDir: string): LockContent | null {
  const content = readLock(join(stateDir, LOCK_FILE))?.content;
  return content && isSameProcess(content.starter) ? content : null;
}

function alreadyRunning(stateDir: string, { starter, url }: LockContent): string {
  return `A relay is already running on ${stateDir}: ${url ?? "just starting"}, pid ${starter.pid}.
Stop it first (kill ${starter.pid}), or start a second one on a state of its own:
RELAY_STATE_DIR=.relay-2 PORT=8788 npm start`;
}

function readLock(path: string): { text: string; content: LockContent } | null {
  try {
    const text = readFileSync(path, "utf8");
    return { text, content: JSON.parse(text) as LockContent };
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    if (error instanceof SyntaxError) throw new Stop(`${path} cannot be read: remove it.`);
    throw error;
  }
}

/** Removes an abandoned lock, unless another start has replaced it meanwhile. */
function discard(path: string, text: string): void {
  const aside = `${path}.${process.pid}.old`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return;
    throw error;
  }
  const taken = readFileSync(aside, "utf8");
  rmSync(aside, { force: true });
  if (taken !== text) createExclusively(path, taken);
}

async function endRuntimes(stateDir: string, noted: ProcessRecord | null): Promise<void> {
  for (const runtime of runtimesOf(stateDir, noted)) {
    process.kill(runtime.pid, "SIGKILL");
    const until = Date.now() + END_LIMIT_MS;
    while (!hasEnded(runtime.pid) && Date.now() < until) await sleep(END_POLL_MS);
  }
}
