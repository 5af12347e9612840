import { spawn } from "node:child_process";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { projectDir, quietWranglerEnv, wranglerScript } from "../host/project.ts";
import { COMPILE_CACHE_DIR } from "./compile-cache.ts";
import { Failure } from "./failure.ts";

const SHOWN_LINES = 3;

/** How wrangler is called; the default is the project's own. */
export interface WranglerRun {
  /** A script that Node.js runs. */
  script?: string | undefined;
  /** What it is given on standard input; nothing by default. */
  stdin?: string | undefined;
  /** What could not be done, where it fails: the beginning of a sentence. */
  failing: string;
}

/**
 * Runs wrangler on the project's configuration. Arguments can be seen by every user of the machine:
 * no secret is ever among them.
 *
 * @returns what it wrote to standard output
 * @throws Failure in a line
 */
export function runWrangler(args: readonly string[], run: WranglerRun): Promise<string> {
  const { script = wranglerScript, stdin, failing } = run;
  const config = ["--config", join(projectDir, "wrangler.toml")];
  const child = spawn(process.execPath, [script, ...args, ...config], {
    cwd: projectDir,
    // Its answers are log lines: at level "error" it would say nothing.
    env: {
      ...quietWranglerEnv(),
      WRANGLER_LOG: "log",
      NO_COLOR: "1",
      // Loading wrangler takes longer than what it is asked for.
      NODE_COMPILE_CACHE: COMPILE_CACHE_DIR,
    },
    stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  // One that ends before it has read everything says why by its exit.
  child.stdin?.on("error", () => {});
  child.stdin?.end(stdin);
  return new Promise((settle, fail) => {
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.once("error", fail);
    child.once("close", (code) => {
      if (code === 0) settle(stdout);
      else fail(failureOf(stderr || stdout, failing));
    });
  });
}

function failureOf(output: string, failing: string): Failure {
  if (output.includes("CLOUDFLARE_API_TOKEN")) {
    return new Failure(
      "wrangler is not logged in: run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN.",
    );
  }
  return new Failure(`${failing}: ${reasonOf(output)}`);
}

function reasonOf(output: string): string {
  const lines = stripVTControlCharacters(output)
    .split("\n")
    .map((line) => line.replace(/^.*\[ERROR\]\s*/, "").trim())
    .filter((line) => line !== "");
  return lines.slice(0, SHOWN_LINES).join(" ") || "it did not say why";
}
