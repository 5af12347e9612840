import { join } from "node:path";
import { unstable_readConfig as readWranglerConfig } from "wrangler";
import { readConfig } from "../../src/config.ts";
import { projectDir } from "../host/project.ts";
import { placeholderSecrets } from "../host/secrets-file.ts";
import { Stop } from "../host/stop.ts";

/** Stands for a secret that the deployed Worker has, which nobody can read. */
const UNREADABLE = {
  ENCRYPTION_KEY_PREVIOUS: "",
  FORWARD_PROXY_SECRET: "0123456789abcdef".repeat(2),
  METRICS_TOKEN: "0123456789abcdef".repeat(2),
  UPSTASH_REDIS_REST_URL: "https://redis.invalid",
  UPSTASH_REDIS_REST_TOKEN: "unknown",
};

/** A Worker that wrangler.toml describes. */
export interface Target {
  /** Empty: production. */
  environment: string;
  workerName: string;
  vars: Record<string, string>;
}

/** @throws Stop where wrangler.toml has no such environment */
export function findTarget(environment: string): Target {
  const config = join(projectDir, "wrangler.toml");
  const { definedEnvironments = [] } = readWranglerConfig({ config }, { hideWarnings: true });
  if (environment !== "" && !definedEnvironments.includes(environment)) {
    const names = definedEnvironments.join(", ");
    throw new Stop(
      `wrangler.toml has no environment "${environment}". It has: ${names}; without --env it is production.`,
    );
  }
  const read = readWranglerConfig({ config, env: environment }, { hideWarnings: true });
  if (!read.name) throw new Stop('wrangler.toml lacks the Worker\'s name: name = "claude-relay".');
  return {
    environment,
    workerName: read.name,
    vars: Object.fromEntries(
      Object.entries(read.vars).filter(
        (entry): entry is [string, string] => typeof entry[1] === "string",
      ),
    ),
  };
}

/**
 * Checks the vars as the Worker will, with the secrets that it has and will be given.
 *
 * @param has the names of the secrets that the deployed Worker has
 * @throws Stop with every problem
 */
export function checkConfiguration({ vars, environment }: Target, has: ReadonlySet<string>): void {
  const known = Object.fromEntries(Object.entries(UNREADABLE).filter(([name]) => has.has(name)));
  const config = readConfig({ ...vars, ...placeholderSecrets(), ...known });
  if (config.ok) return;
  const flags = environment === "" ? "" : ` --env ${environment}`;
  throw new Stop(
    [
      "The configuration has problems; nothing was made:",
      ...config.error.map(({ message }) => `  ${message}`),
      `Vars stand in wrangler.toml. A secret is set with: npx wrangler secret put NAME${flags}`,
    ].join("\n"),
  );
}
