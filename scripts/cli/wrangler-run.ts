import { spawn } from "node:child_process";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { projectDir, quietWranglerEnv, wranglerScript } from "../host/project.ts";
import { COMPILE_CACHE_DIR } from "./compile-cache.ts";
import { Failure } from "./failure.ts";

const SHOWN_LINES = 3;

/** How wrangler is called; the default is the project's own, and production. */
export interface WranglerCall {
  /** A script that Node.js runs. */
  script?: string | undefined;
  /** What it is given on standard input; nothing by default. */
  stdin?: string | undefined;
  /** The environment of wrangler.toml; production by default. */
  environment?: string | undefined;
  /** Variables of the process that differ from this one's. */
  env?: Record<string, string>;
}

export interface WranglerRun extends WranglerCall {
  /** What could not be done, where it fails: the beginning of a sentence. */
  failing: string;
}

export interface WranglerOutcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs wrangler on the project's configuration. Arguments can be seen by every user of the machine:
 * no secret is ever among them.
 *
 * @returns what it wrote to standard output
 * @throws Failure in a line
 */
export async function runWrangler(args: readonly string[], run: WranglerRun): Promise<string> {
  const { code, stdout, stderr } = await wranglerOutcome(args, run);
  if (code !== 0) throw failureOf(stderr || stdout, run.failing);
  return stdout;
}

/** The same, for a caller that reads failures itself. */
export function wranglerOutcome(
  args: readonly string[],
  { script = wranglerScript, stdin, environment = "", env = {} }: WranglerCall,
): Promise<WranglerOutcome> {
  const child = spawn(process.execPath, [script, ...args, ...configFlags(environment)], {
    cwd: projectDir,
    env: {
      ...quietWranglerEnv(),
      // Its answers are log lines: at level "error" it would say nothing.
      WRANGLER_LOG: "log",
      NO_COLOR: "1",
      // Loading wrangler takes longer than what it is asked for.
      NODE_COMPILE_CACHE: COMPILE_CACHE_DIR,
      ...env,
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
    child.once("close", (code) => settle({ code, stdout, stderr }));
  });
}

/** Without a name it would warn at each call that it took the environment without a name. */
export function configFlags(environment: string): string[] {
  return ["--config", join(projectDir, "wrangler.toml"), `--env=${environment}`];
}

function failureOf(output: string, failing: string): Failure {
  if (output.includes("CLOUDFLARE_API_TOKEN")) {
    return new Failure(
      "wrangler is not logged in: run `npx wrangler login`, or set CLOUDFLARE_API_TOKEN.",
    );
  }
  return new Failure(`${failing}: ${reasonOf(output)}`);
}

/** The first lines of what wrangler said, without its decoration. */
export function reasonOf(output: string): string {
  const lines = stripVTControlCharacters(output)
    .split("\n")
    .map((line) => line.replace(/^.*\[ERROR\]\s*/, "").trim())
    .filter((line) => line !== "");
  return lines.slice(0, SHOWN_LINES).join(" ") || "it did not say why";
}
