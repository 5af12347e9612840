import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const NANOS_PER_MICRO = 1_000;
/** Written to clear_refs: sets the peak of the resident memory back to what it is now. */
const RESET_PEAK = "5";
const BYTES_PER_KIB = 1_024;

/**
 * CPU time that a process's threads have used, in user and kernel mode. Of the scheduler itself, to the
 * nanosecond: /proc/<pid>/stat counts hundredths of a second, which is much for a start or for a
 * process near idle. Threads that have ended are left out; none of those measured end theirs.
 */
export function cpuMicros(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
    const [onCpu] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
    return sum + Number(onCpu) / NANOS_PER_MICRO;
  }, 0);
}

/** The most memory that was resident since {@link resetPeakMemory}. */
export function peakMemoryBytes(pid: number): number {
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(peak) * BYTES_PER_KIB;
}

export function resetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, RESET_PEAK);
}
