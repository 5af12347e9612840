import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** Linux counts a process's time in hundredths of a second, on every machine that Node runs on. */
const MICROS_PER_TICK = 10_000;
const NANOS_PER_MICRO = 1_000;
/** In /proc/<pid>/stat, counted behind the command in brackets. */
const UTIME = 11;
const STIME = 12;
/** Written to clear_refs: sets the peak of the resident memory back to what it is now. */
const RESET_PEAK = "5";
const BYTES_PER_KIB = 1_024;

/** CPU time that a process has used, in user and kernel mode, in microseconds. */
export function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[UTIME]) + Number(fields[STIME])) * MICROS_PER_TICK;
}

/** The same to the nanosecond, without threads that have ended: for a start, or a process near idle. */
export function fineCpuMicros(pid: number): number {
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
