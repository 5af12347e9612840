/** Microseconds of the machine's own clock: the same in every process, and never set back. */
export function machineMicros(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}

export const MICROS_PER_MS = 1_000;
export const MS_PER_S = 1_000;
