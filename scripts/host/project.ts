import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** The folder that holds package.json and wrangler.toml. */
export const projectDir = resolve(import.meta.dirname, "../..");

/** Where a relay on this machine keeps its state unless told otherwise. */
export const DEFAULT_STATE_DIR = ".relay";

/** Below the state folder; `wrangler … --local --persist-to <state folder>` looks there too. */
export const STORE_DIR = "v3";

/** The command line of wrangler, to be run with `process.execPath`. */
export const wranglerScript = join(projectDir, "node_modules/wrangler/bin/wrangler.js");

/** The relay's version, from package.json. */
export function relayVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(projectDir, "package.json"), "utf8"));
  const version =
    typeof manifest === "object" && manifest !== null && "version" in manifest
      ? manifest.version
      : undefined;
  return typeof version === "string" ? version : "unknown";
}

/**
 * The environment for wrangler as a child: it reports nothing, asks nothing and fetches nothing.
 * Its own log stays out of the project's folder.
 */
export function quietWranglerEnv(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_HIDE_BANNER: "true",
    WRANGLER_WRITE_LOGS: "false",
    WRANGLER_LOG: "error",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    CI: "true",
  };
}
