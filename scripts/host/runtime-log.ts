import type { LogLevel } from "../../src/config.ts";

/** One line that workerd wrote: of the Worker's console, or of the runtime itself. */
export interface RuntimeLine {
  level: string;
  message: string;
}

/** Lines of workerd's own C++ code, such as `workerd/server/server.c++:123: Uncaught exception`. */
const RUNTIME_NOISE = /(^|\s)(workerd|kj|capnp)\/[\w/.+-]+:\d+:/;

/**
 * Hands the Worker's lines on: warnings and errors to stderr, the rest to stdout. The runtime's own
 * lines are left out unless the relay logs at "debug": the relay reports the same events itself.
 */
export function logPrinter(
  logLevel: LogLevel,
  out: { write(text: string): unknown } = process.stdout,
  err: { write(text: string): unknown } = process.stderr,
): (line: RuntimeLine) => void {
  return ({ level, message }) => {
    if (message.startsWith("{")) {
      const isTrouble = level === "error" || level === "warn";
      (isTrouble ? err : out).write(`${message}\n`);
    } else if (!RUNTIME_NOISE.test(message)) {
      err.write(`${message}\n`);
    } else if (logLevel === "debug") {
      err.write(`runtime: ${message}\n`);
    }
  };
}
