import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createExclusively } from "./exclusive-file.ts";
import { isSameProcess, type ProcessRecord, processRecord } from "./process-table.ts";
import { errorCode } from "./stop.ts";

const LOCK_FILE = "dist/.build-lock";
const LOCK_POLL_MS = 100;
const OLDEST_LOCK_MS = 120_000;

/**
 * Whether a build is newer than all that went into it.
 *
 * @param stamp a file whose time is when the build began
 */
export function isBuiltSince(stamp: string, sources: string[]): boolean {
  const built = statSync(stamp, { throwIfNoEntry: false });
  if (built === undefined) return false;
  return sources.every((path) => newestChange(path) < built.mtimeMs);
}

/** Notes when a build began, so that an edit during the build counts. */
export function writeStamp(stamp: string, startedAt: Date): void {
  createExclusively(stamp, "");
  utimesSync(stamp, startedAt, startedAt);
}

/** A folder's own time changes when a file in it is removed. */
function newestChange(path: string): number {
  const stats = statSync(path);
  const { mtimeMs } = stats;
  if (!stats.isDirectory()) return mtimeMs;
  return readdirSync(path).reduce(
    (newest, name) => Math.max(newest, newestChange(join(path, name))),
    mtimeMs,
  );
}

/** Test files start relays at the same moment; one of them builds and the others wait for it. */
export async function withBuildLock(root: string, work: () => Promise<void>): Promise<void> {
  mkdirSync(join(root, "dist"), { recursive: true });
  const lock = join(root, LOCK_FILE);
  while (!createExclusively(lock, JSON.stringify(processRecord(process.pid)))) {
    if (isAbandoned(lock)) rmSync(lock, { force: true });
    else await sleep(LOCK_POLL_MS);
  }
  try {
    await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function isAbandoned(lock: string): boolean {
  try {
    if (Date.now() - statSync(lock).mtimeMs > OLDEST_LOCK_MS) return true;
    return !isSameProcess(JSON.parse(readFileSync(lock, "utf8")) as ProcessRecord);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}
