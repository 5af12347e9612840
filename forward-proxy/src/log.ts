import type { LogLevel } from "./config.ts";

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

export type Log = (level: LogLevel, event: string, detail?: Record<string, unknown>) => void;

/** One JSON line an event on standard output. Whoever logs hands over no secret. */
export function makeLog(least: LogLevel): Log {
  return (level, event, detail = {}) => {
    if (RANK[level] < RANK[least]) return;
    process.stdout.write(
      `${JSON.stringify({ time: new Date().toISOString(), level, event, ...detail })}\n`,
    );
  };
}
