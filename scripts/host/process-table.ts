import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** In the environment of a workerd that the relay started: the state folder that it serves. */
export const RUNTIME_MARK = "RELAY_RUNTIME_OF";

/** A process, told apart from a later one that got the same number. */
export interface ProcessRecord {
  pid: number;
  /** Start time and command line; null where the system tells neither. */
  identity: string | null;
}

const hasProc = process.platform === "linux";

/** @returns the record of a running process, or null where there is none. */
export function processRecord(pid: number): ProcessRecord | null {
  if (!isAlive(pid)) return null;
  return { pid, identity: identityOf(pid) };
}

/** Whether the recorded process still runs, and is not another one under its number. */
export function isSameProcess(record: ProcessRecord): boolean {
  const current = processRecord(record.pid);
  return current !== null && current.identity === record.identity;
}

/**
 * The workerd processes that serve a state folder.
 *
 * On Linux they are found by the mark in their environment, so that one is found even if its
 * starter was killed before it could note anything. Elsewhere only the noted one is known.
 */
export function runtimesOf(stateDir: string, noted?: ProcessRecord | null): ProcessRecord[] {
  if (!hasProc) {
    const isOurs = noted?.identity?.includes("workerd") && isSameProcess(noted);
    return isOurs && noted ? [noted] : [];
  }
  const mark = `${RUNTIME_MARK}=${stateDir}`;
  return procPids().flatMap((pid) => {
    const isRuntime =
      readProc(pid, "cmdline").includes("workerd") &&
      readProc(pid, "environ").split("\0").includes(mark);
    const record = isRuntime ? processRecord(pid) : null;
    return record === null ? [] : [record];
  });
}

/** The workerd that this process just started for a state folder, or null. */
export function ownRuntime(stateDir: string, before: readonly number[]): ProcessRecord | null {
  if (hasProc) return runtimesOf(stateDir).find(({ pid }) => !before.includes(pid)) ?? null;
  const child = childRuntimes().find((pid) => !before.includes(pid));
  return child === undefined ? null : processRecord(child);
}

/** Numbers of the workerd processes that this process has started so far. */
export function childRuntimes(): number[] {
  if (hasProc) return [];
  return processList()
    .filter(({ parent, command }) => parent === process.pid && command.includes("workerd"))
    .map(({ pid }) => pid);
}

/** Command line of a process, for a person to read; empty where unknown. */
export function commandOf(pid: number): string {
  if (hasProc) return readProc(pid, "cmdline").split("\0").join(" ").trim();
  return processList().find((entry) => entry.pid === pid)?.command ?? "";
}

/** Numbers of all processes, from /proc. */
export function procPids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/**
 * Whether a process has given back what it held, its port above all. A killed one loses its command
 * line before its sockets, and its first thread may be gone before the others are.
 */
export function hasEnded(pid: number): boolean {
  if (!hasProc) return !isAlive(pid);
  try {
    return readdirSync(`/proc/${pid}/task`).length <= 1 && isZombie(pid);
  } catch {
    return true;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, under another user.
    if (!(error instanceof Error && "code" in error && error.code === "EPERM")) return false;
  }
  return !hasProc || !isZombie(pid);
}

/** A killed process that nobody has waited for yet still has its number, and serves nothing. */
function isZombie(pid: number): boolean {
  return statFields(pid)[0] === "Z";
}

function identityOf(pid: number): string | null {
  if (hasProc) {
    // Field 22 of /proc/PID/stat is the start time; the list begins at field 3.
    const startTicks = statFields(pid)[19];
    return startTicks === undefined ? null : `${startTicks} ${commandOf(pid)}`;
  }
  try {
    return ps(["-p", String(pid), "-o", "lstart=", "-o", "command="]).trim() || null;
  } catch {
    return null;
  }
}

function statFields(pid: number): string[] {
  const stat = readProc(pid, "stat");
  // The name in parentheses may hold spaces and parentheses itself.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function readProc(pid: number, file: "cmdline" | "environ" | "stat"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

function processList(): { pid: number; parent: number; command: string }[] {
  try {
    return ps(["-A", "-o", "pid=", "-o", "ppid=", "-o", "command="])
      .split("\n")
      .flatMap((line) => {
        const match = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line);
        if (match === null) return [];
        return [{ pid: Number(match[1]), parent: Number(match[2]), command: match[3] ?? "" }];
      });
  } catch {
    return [];
  }
}

function ps(args: string[]): string {
  return execFileSync("ps", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
}
