/**
 * An expected reason not to go on: the message says what is wrong and what mends it.
 * The entry scripts print it without a stack and exit with code 1.
 */
export class Stop extends Error {
  override name = "Stop";
}

/** Runs an entry script's main function, and prints what stops it. */
export async function runMain(main: () => Promise<number>): Promise<void> {
  // A terminal that has closed, or `| head`, must not keep the relay from ending in order.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  try {
    process.exitCode = await main();
  } catch (error) {
    if (error instanceof Stop) console.error(error.message);
    else console.error(error);
    process.exitCode = 1;
  }
}

/** @returns the `code` of a system error, such as "ENOENT". */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}
