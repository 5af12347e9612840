import type { LaunchedRelay } from "./launch.ts";

/** Below the ten seconds that container runtimes wait before they kill. */
const STOP_GRACE_MS = 8_000;
/** npm passes on a Ctrl-C that the terminal has already sent: the second copy is no second wish. */
const SAME_WISH_MS = 1_000;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Waits until the process is told to end, and ends the relay in order: no new requests, those in
 * flight may finish for a while. A second signal ends it at once.
 *
 * @returns the exit code
 */
export async function untilEnded(
  relay: LaunchedRelay,
  print: (line: string) => void,
  alsoClose: () => Promise<void> = async () => {},
): Promise<number> {
  await new Promise<void>((told) => {
    for (const signal of SIGNALS) process.on(signal, () => told());
  });
  const toldAt = Date.now();
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (Date.now() - toldAt < SAME_WISH_MS) return;
      print("Stopped at once.");
      // The handler of "exit" ends workerd.
      process.exit(0);
    });
  }
  print(`Stopping; requests in flight have ${STOP_GRACE_MS / 1000} s to finish.`);
  const hasFinished = await relay.host.stop(STOP_GRACE_MS);
  await alsoClose();
  relay.release();
  print(hasFinished ? "Stopped." : "Stopped; some requests had not finished.");
  return 0;
}
