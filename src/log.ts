import type { LogLevel } from "./config.ts";

/** Writes one structured line. `detail` never holds a secret, a prompt or an answer's text. */
export type Logger = (level: LogLevel, event: string, detail?: Record<string, unknown>) => void;

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/**
 * @param minimum lines below this level are dropped; an unknown level means "info"
 * @param context fields that every line carries
 */
export function makeLogger(minimum: string, context: Record<string, unknown>): Logger {
  const threshold = RANK[minimum as LogLevel] ?? RANK.info;
  return (level, event, detail = {}) => {
    if (RANK[level] < threshold) return;
    const line = JSON.stringify({
      time: new Date().toISOString(),
      level,
      event,
      ...context,
      ...detail,
    });
    if (level === "error") console.error(line);
    else if (level === "warn") console.warn(line);
    else console.log(line);
  };
}
