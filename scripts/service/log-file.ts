import {
  closeSync,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** The log has at most twice this: the present file, and the one before it. */
export const LOG_MAX_BYTES = 10_000_000;
const FILE_MODE = 0o600;
const STDOUT = 1;
const FOLLOW_POLL_MS = 250;

/** Where a relay that runs in the background writes its log. */
export function logPath(stateDir: string): string {
  return join(stateDir, "relay.log");
}

/** Opens the log for a process that is to write to its end. */
export function openLog(path: string): number {
  return openSync(path, "a", FILE_MODE);
}

/**
 * Keeps the file that this process's output goes to within bounds: what is full is copied aside, over
 * what was there, and begun anew. The file itself stays, so that the words of a crash reach it too.
 */
export function boundOutput(path: string, maxBytes = LOG_MAX_BYTES): void {
  let size = fstatSync(STDOUT).size;
  for (const stream of [process.stdout, process.stderr]) {
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    stream.write = (chunk: string | Uint8Array, ...rest: unknown[]) => {
      const bytes = typeof chunk === "string" ? Buffer.byteLength(chunk) : chunk.byteLength;
      if (size > 0 && size + bytes > maxBytes) {
        copyFileSync(path, olderPath(path));
        ftruncateSync(STDOUT);
        size = 0;
      }
      size += bytes;
      return write(chunk, ...rest);
    };
  }
}

/** The last lines of the log, as it is and as it was before. */
export function lastLines(path: string, count: number): string[] {
  const text = [olderPath(path), path].map((file) => readFrom(file, 0)).join("");
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return count === 0 ? [] : lines.slice(-count);
}

/** Hands on what is written from now on, until the signal. */
export async function follow(
  path: string,
  write: (text: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let at = logSize(path);
  while (!signal.aborted) {
    const size = logSize(path);
    if (size < at) {
      write(readFrom(olderPath(path), at));
      at = 0;
    }
    const text = readFrom(path, at);
    at += Buffer.byteLength(text);
    if (text !== "") write(text);
    await sleep(FOLLOW_POLL_MS, undefined, { signal }).catch(() => {});
  }
}

export function logSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** @returns what stands behind a place of a file; empty where there is no file */
export function readFrom(path: string, at: number): string {
  const size = logSize(path);
  if (size <= at) return "";
  if (at === 0) return readFileSync(path, "utf8");
  const file = openSync(path, "r");
  try {
    const buffer = Buffer.alloc(size - at);
    return buffer.toString("utf8", 0, readSync(file, buffer, 0, buffer.length, at));
  } finally {
    closeSync(file);
  }
}

function olderPath(path: string): string {
  return `${path}.1`;
}
