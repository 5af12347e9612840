import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isSameProcess, type ProcessRecord } from "../host/process-table.ts";
import { Stop } from "../host/stop.ts";

/** A copy that takes longer is given up: a relay that stands still this long is an outage. */
const LONGEST_PAUSE_S = 60;
const POLL_MS = 5;
const STANDING_LIMIT_MS = 2_000;
/** Where the system does not tell when all threads stand. */
const BLIND_WAIT_MS = 200;

/**
 * Does something while a process stands still, to the instant: none of its threads writes meanwhile.
 * It goes on afterwards, also where this process is killed.
 *
 * @throws Stop where it has gone on by itself before the work was done
 */
export async function whilePaused(runtime: ProcessRecord, work: () => void): Promise<number> {
  const { pid } = runtime;
  const wake = `sleep ${LONGEST_PAUSE_S}; kill -CONT ${pid}`;
  const guard = spawn("sh", ["-c", wake], { detached: true, stdio: "ignore" });
  guard.unref();
  const goOn = () => {
    if (isSameProcess(runtime)) process.kill(pid, "SIGCONT");
  };
  process.once("exit", goOn);
  const startedAt = Date.now();
  process.kill(pid, "SIGSTOP");
  try {
    await untilStanding(pid);
    work();
  } finally {
    goOn();
    process.off("exit", goOn);
    if (guard.pid !== undefined) process.kill(-guard.pid, "SIGKILL");
  }
  const pausedMs = Date.now() - startedAt;
  if (pausedMs >= LONGEST_PAUSE_S * 1000) {
    throw new Stop(
      `Copying the state took over ${LONGEST_PAUSE_S} s, and the relay was let go on before its end: the copy is worth nothing and was thrown away. Stop the relay for the backup.`,
    );
  }
  return pausedMs;
}

async function untilStanding(pid: number): Promise<void> {
  if (process.platform !== "linux") {
    await sleep(BLIND_WAIT_MS);
    return;
  }
  const until = Date.now() + STANDING_LIMIT_MS;
  while (!readdirSync(`/proc/${pid}/task`).every((thread) => isStanding(pid, thread))) {
    if (Date.now() > until) throw new Stop("The relay's process cannot be paused. Stop the relay.");
    await sleep(POLL_MS);
  }
}

function isStanding(pid: number, thread: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
  } catch {
    return true; // it has ended
  }
}
