import { readdirSync, readFileSync } from "node:fs";

const BYTES_PER_MB = 1_000_000;
const BYTES_PER_KIB = 1_024;

/** What a process holds at one moment. */
export interface Sample {
  mb: number;
  /** Open files, sockets among them. */
  files: number;
}

export function sampleOf(pid: number): Sample {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  const files = readdirSync(`/proc/${pid}/fd`).length;
  return { mb: (Number(kib) * BYTES_PER_KIB) / BYTES_PER_MB, files };
}

export interface Sampling {
  samples: readonly Sample[];
  now: () => Sample;
  stop: () => void;
}

/** Takes samples until it is stopped. */
export function sampling(pid: () => number, everyMs: number): Sampling {
  const samples: Sample[] = [];
  const now = () => sampleOf(pid());
  const timer = setInterval(() => {
    try {
      samples.push(now());
    } catch {
      clearInterval(timer); // it has ended, and whoever asks it next says so
    }
  }, everyMs).unref();
  return { samples, now, stop: () => clearInterval(timer) };
}
