import type { Logger } from "./log.ts";

/**
 * Lets named work outlast the answer; a failure is reported under the work's name. After a client
 * has left, the runtime grants it 30 s at the most.
 *
 * @param ids whose work it is, where that is known
 */
export function runAfter(
  ctx: { waitUntil(promise: Promise<unknown>): void },
  log: Logger,
  name: string,
  work: Promise<unknown>,
  ids: { requestId?: string; keyId?: string; accountId?: string } = {},
): void {
  ctx.waitUntil(
    work.catch((error: unknown) => {
      log("error", "background.failed", { ...ids, work: name, error: describeError(error) });
    }),
  );
}

const DESCRIPTION_MAX_CHARS = 300;

/**
 * A thrown value's class and message, bounded. Messages of this project's own hold no secrets; those
 * of a parser quote what they could not read, so they are left out.
 */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  if (error instanceof SyntaxError) return error.name;
  return `${error.name}: ${error.message}`.slice(0, DESCRIPTION_MAX_CHARS);
}
