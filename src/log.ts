import type { LogLevel } from "./config.ts";
import { type EventNote, LEVELS, logEvent, rankOf } from "./events/log-event.ts";

/**
 * Writes one structured line. `detail` never holds a secret, a prompt or an answer's text. The ids
 * `requestId`, `keyId` and `accountId` have these names wherever they are known.
 */
export type Logger = (level: LogLevel, event: string, detail?: Record<string, unknown>) => void;

/**
 * @param minimum lines below this level are dropped; an unknown level means "info"
 * @param context fields that every line carries
 * @param note also takes each line, for the event log
 */
export function makeLogger(
  minimum: string,
  context: Record<string, unknown>,
  note?: EventNote,
): Logger {
  const threshold = rankOf(LEVELS.find((level) => level === minimum) ?? "info");
  return (level, event, detail = {}) => {
    if (rankOf(level) < threshold) return;
    const atMs = Date.now();
    const fields = { ...context, ...detail };
    const line = JSON.stringify({ time: new Date(atMs).toISOString(), level, event, ...fields });
    if (level === "error") console.error(line);
    else if (level === "warn") console.warn(line);
    else console.log(line);
    note?.(logEvent(level, event, fields, atMs));
  };
}
