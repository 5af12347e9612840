import { execFileSync } from "node:child_process";
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { projectDir, relayVersion } from "../../scripts/host/project.ts";
import { MICROS_PER_MS, machineMicros } from "../clock.ts";
import { workerdVersion } from "../host/workerd.ts";
import { median } from "../measure/statistics.ts";

const BYTES_PER_GB = 1_000_000_000;
const FLUSHES = 50;
const PAGE_BYTES = 4_096;

/** Where figures come from: without it they cannot be compared. */
export interface Environment {
  takenAt: string;
  version: string;
  commit: string;
  /** Whether the files differed from the commit. */
  changed: boolean;
  cpu: string;
  cores: number;
  memoryGb: number;
  kernel: string;
  node: string;
  workerd: string;
  dataDir: string;
  /** How long the folder of the objects' data takes to keep a page for good. */
  flushMs: number;
}

export function environment(dataDir: string): Environment {
  return {
    takenAt: new Date().toISOString(),
    version: relayVersion(),
    commit: git("rev-parse", "--short", "HEAD"),
    changed: git("status", "--porcelain") !== "",
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / BYTES_PER_GB),
    kernel: release(),
    node: process.versions.node,
    workerd: workerdVersion(),
    dataDir,
    flushMs: flushMs(dataDir),
  };
}

/** What git says of the project; "unknown" outside a repository. */
export function git(...args: string[]): string {
  try {
    return execFileSync("git", args, {
      cwd: projectDir,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "unknown";
  }
}

function flushMs(dir: string): number {
  const path = join(dir, `relay-bench-flush-${process.pid}`);
  const file = openSync(path, "w");
  try {
    const times = Array.from({ length: FLUSHES }, (_, index) => {
      const begunAt = machineMicros();
      writeSync(file, Buffer.alloc(PAGE_BYTES), 0, PAGE_BYTES, index * PAGE_BYTES);
      fdatasyncSync(file);
      return (machineMicros() - begunAt) / MICROS_PER_MS;
    });
    return median(times);
  } finally {
    closeSync(file);
    rmSync(path);
  }
}
