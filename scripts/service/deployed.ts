import { spawn } from "node:child_process";
import { configFlags, wranglerOutcome } from "../cli/wrangler-run.ts";
import { stopFor } from "../deploy/failures.ts";
import { findTarget } from "../deploy/target.ts";
import { projectDir, quietWranglerEnv, wranglerScript } from "../host/project.ts";

/** Which deployed relay, and how it is reached. */
export interface DeployedRelay {
  /** An environment of wrangler.toml; empty: production. */
  environment: string;
  print(line: string): void;
  /** Instead of the project's own wrangler. */
  script?: string;
}

interface DeploymentStatus {
  created_on?: string;
  versions?: { version_id: string; percentage: number }[];
}

/** Says which versions serve, and since when. */
export async function deployedStatus(relay: DeployedRelay): Promise<void> {
  const { workerName } = findTarget(relay.environment);
  const outcome = await wranglerOutcome(["deployments", "status", "--json"], relay);
  if (outcome.code !== 0) throw stopFor(`${workerName} could not be looked up`, outcome);
  const start = outcome.stdout.search(/^\{/m);
  const { created_on, versions = [] } = JSON.parse(outcome.stdout.slice(start)) as DeploymentStatus;
  relay.print(`${workerName} was deployed at ${created_on ?? "an unknown time"}. It serves:`);
  for (const { version_id, percentage } of versions) {
    relay.print(`  version ${version_id}   ${percentage} % of requests`);
  }
  relay.print("How it is: npm run cli -- --url https://… status");
}

/**
 * Puts an older version in the present one's place.
 *
 * @param version of `wrangler versions list`; without it the one before
 */
export async function rollBack(relay: DeployedRelay, version: string | undefined): Promise<void> {
  const { workerName } = findTarget(relay.environment);
  const args = ["rollback", ...(version === undefined ? [] : [version])];
  const message = ["--yes", "--message", "npm run service:rollback"];
  const outcome = await wranglerOutcome([...args, ...message], relay);
  if (outcome.code !== 0) throw stopFor(`${workerName} could not be rolled back`, outcome);
  relay.print(outcome.stdout.trim());
  relay.print(
    "Only the code went back. State and secrets are as they were: what newer code has stored stays.",
  );
}

/** Hands the deployed relay's log on, line by line, until it is interrupted. @returns the exit code */
export function tailDeployed(relay: DeployedRelay): Promise<number> {
  const { script = wranglerScript, environment } = relay;
  findTarget(environment);
  const args = ["tail", "--format", "json", ...configFlags(environment)];
  const child = spawn(process.execPath, [script, ...args], {
    cwd: projectDir,
    env: { ...quietWranglerEnv(), WRANGLER_LOG: "log" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let rest = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) relay.print(line);
  });
  return new Promise((settle, fail) => {
    child.once("error", fail);
    child.once("close", (code) => settle(code ?? 1));
  });
}
