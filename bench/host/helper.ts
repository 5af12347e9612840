import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

/** A helper process: a script of this benchmark, which speaks in messages. */
export interface Helper {
  process: ChildProcess;
  pid: number;
  /** What it said first, once it was ready. */
  hello: unknown;
  stop(): Promise<void>;
}

/** @param script a path of a TypeScript file */
export async function startHelper(script: string): Promise<Helper> {
  const process = fork(script, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const [hello] = await Promise.race([once(process, "message"), ended(process, script)]);
  const { pid } = process;
  if (pid === undefined) throw new Error(`${script} did not start`);
  return {
    process,
    pid,
    hello,
    async stop() {
      if (process.exitCode !== null || process.signalCode !== null) return;
      const exit = once(process, "exit");
      process.disconnect();
      await exit;
    },
  };
}

async function ended(process: ChildProcess, script: string): Promise<never> {
  const [code] = await once(process, "exit");
  throw new Error(`${script} ended at once, with code ${code}`);
}
