import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { CONFIG_NAMES, readConfig } from "../../src/config.ts";
import { projectDir } from "./project.ts";
import { errorCode, Stop } from "./stop.ts";

const DEV_VARS_FILE = ".dev.vars";

export type Values = Partial<Record<string, string>>;

/**
 * What the operator gives: the process environment over .dev.vars. An empty value counts as not
 * given, as templates and compose files write it.
 */
export function givenValues(env: NodeJS.ProcessEnv, root = projectDir): Values {
  const file = readDevVars(join(root, DEV_VARS_FILE));
  const names = [...CONFIG_NAMES, "ADMIN_PASSWORD", "PORT", "HOST", "RELAY_STATE_DIR"];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = env[name]?.trim() || file[name]?.trim();
      return value ? [[name, value]] : [];
    }),
  );
}

/** What is otherwise here than on the edge: nothing in front sets a header that can be believed. */
const LOCAL_VARS: Values = { CLIENT_ADDRESS_HEADER: "" };

/**
 * The Worker's vars and secrets: those of wrangler.toml, over them this machine's, over them the
 * further sources, of which a later one wins.
 *
 * @throws Stop with every problem of the configuration
 */
export function workerVars(fromWrangler: Values, ...sources: Values[]): Record<string, string> {
  const vars: Record<string, string> = {};
  for (const name of CONFIG_NAMES) {
    for (const source of [fromWrangler, LOCAL_VARS, ...sources]) {
      const value = source[name];
      if (value !== undefined) vars[name] = value;
    }
  }
  const config = readConfig(vars);
  if (!config.ok) {
    const lines = config.error.map(({ message }) => `  ${message}`);
    throw new Stop(["The configuration has problems; nothing was started:", ...lines].join("\n"));
  }
  return vars;
}

/** @throws Stop where the value is no TCP port */
export function portOf(value: string | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  const port = Number(value);
  if (!/^\d+$/.test(value) || port > 65_535) {
    throw new Stop(`PORT must be a number from 0 to 65535 (0: any free one), not "${value}".`);
  }
  return port;
}

function readDevVars(path: string): Values {
  try {
    return parseEnv(readFileSync(path, "utf8"));
  } catch (error) {
    if (errorCode(error) === "ENOENT") return {};
    throw error;
  }
}
