import type { Logger } from "./log.ts";

/**
 * Lets named work outlast the answer; a failure is reported under the work's name. After a client
 * has left, the runtime grants it 30 s at the most.
 */
export function runAfter(
  ctx: { waitUntil(promise: Promise<unknown>): void },
  log: Logger,
  name: string,
  work: Promise<unknown>,
): void {
  ctx.waitUntil(
    work.catch((error: unknown) => {
      log("error", "background.failed", { work: name, error: describeError(error) });
    }),
  );
}

const DESCRIPTION_MAX_CHARS = 300;

/** A thrown value's class and message, bounded. Messages of this project's own hold no secrets. */
export function describeError(error: unknown): string {
  return error instanceof Error
    ? `${error.name}: ${error.message}`.slice(0, DESCRIPTION_MAX_CHARS)
    : "unknown";
}
