import { type ChildProcess, spawn } from "node:child_process";
import { quietWranglerEnv } from "./project.ts";
import { Stop } from "./stop.ts";

/**
 * Runs a script of a build under this Node.js, quietly.
 *
 * @param what is built, as it stands at the beginning of a sentence
 * @throws Stop with the script's own words where it fails
 */
export async function runBuildStep(what: string, cwd: string, args: string[]): Promise<void> {
  const child = spawn(process.execPath, args, {
    cwd,
    env: quietWranglerEnv(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { code, output } = await outcomeOf(child);
  if (code !== 0) throw new Stop(`${what} could not be built.\n${output.trim()}`);
}

function outcomeOf(child: ChildProcess): Promise<{ code: number | null; output: string }> {
  return new Promise((settle, fail) => {
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk) => {
        output += chunk;
      });
    }
    child.once("error", fail);
    child.once("close", (code) => settle({ code, output }));
  });
}
