import type { LaunchedRelay } from "./launch.ts";

/** Below the ten seconds that container runtimes wait before they kill. */
const STOP_GRACE_MS = 8_000;
/** npm passes on a Ctrl-C that the terminal has already sent: the second copy is no second wish. */
const SAME_WISH_MS = 1_000;
/**
 * npm hands signals to the shell between itself and this process, and not every shell hands them
 * on: the shell's death is then the only news.
 */
const PARENT_POLL_MS = 250;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Settles at the first signal. */
let firstSignal: Promise<void> | undefined;
let isReady = false;

/**
 * Takes over the ending signals. Call it before anything is started: a signal then ends the process
 * in a way that runs its handlers of "exit", which end workerd and give the state folder back.
 */
export function takeSignals(): void {
  firstSignal = new Promise((told) => {
    let toldAt: number | undefined;
    const end = () => {
      if (!isReady) process.exit(0);
      if (toldAt === undefined) {
        toldAt = Date.now();
        told();
      } else if (Date.now() - toldAt >= SAME_WISH_MS) {
        process.exit(0);
      }
    };
    for (const signal of SIGNALS) process.on(signal, end);
    if (process.env.npm_lifecycle_event !== undefined) whenOrphaned(end);
  });
}

function whenOrphaned(end: () => void): void {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    end();
  }, PARENT_POLL_MS);
  timer.unref();
}

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
  isReady = true;
  await firstSignal;
  print(`Stopping; requests in flight have ${STOP_GRACE_MS / 1000} s to finish.`);
  const hasFinished = await relay.host.stop(STOP_GRACE_MS);
  await alsoClose();
  relay.release();
  print(hasFinished ? "Stopped." : "Stopped; some requests had not finished.");
  return 0;
}
