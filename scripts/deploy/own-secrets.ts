import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { replaceAtomically } from "../host/exclusive-file.ts";
import {
  makeSecrets,
  SECRET_NAMES,
  type SecretName,
  type Secrets,
  serialiseSecrets,
} from "../host/secrets-file.ts";
import { Stop } from "../host/stop.ts";
import type { Target } from "./target.ts";

const DIR_MODE = 0o700;
const HEADER = `# Secrets of the relay on Cloudflare, as they were made here: a secret cannot be read back from there.
# Keep this file, and back it up: stored accounts cannot be read without ENCRYPTION_KEY.
`;

/** What the deployed Worker lacks, and what it is to be given. */
export interface SecretsPlan {
  /** Empty where it has all. */
  secrets: Partial<Record<SecretName, string>>;
  /** A password that was made up now: shown once, never stored. */
  newPassword: string | null;
  /** Where what was made is written down. */
  path: string;
}

/** The file beside the local state that remembers what was made for a deployed relay. */
export function deployedSecretsPath(stateDir: string, { environment }: Target): string {
  return join(stateDir, environment === "" ? "deployed.env" : `deployed-${environment}.env`);
}

/** @returns what was made for a deployed relay on this machine; null: nothing */
export function writtenSecrets(path: string): Secrets | null {
  return existsSync(path) ? parseEnv(readFileSync(path, "utf8")) : null;
}

/**
 * Finds what the deployed Worker lacks. What has to be made is written down before the Worker is given
 * it: a run that was cut off between the two goes on with the same values, and the password that was
 * shown stays the right one.
 *
 * @param has the names of the secrets that the deployed Worker has
 * @throws Stop where a new encryption key could make stored accounts unreadable
 */
export function planSecrets(
  path: string,
  has: ReadonlySet<string>,
  admin: { username: string | undefined; password: string | undefined },
): SecretsPlan {
  const missing = SECRET_NAMES.filter((name) => !has.has(name));
  const written = writtenSecrets(path) ?? {};
  const unknown = missing.filter((name) => !written[name]);
  const hasOthers = missing.length < SECRET_NAMES.length;
  if (unknown.includes("ENCRYPTION_KEY") && hasOthers) {
    throw new Stop(
      `The deployed relay has lost its ENCRYPTION_KEY, and ${path} does not know it.
Its accounts were stored under that key; a new one could not read them, so none was made.
Set the old key, typed or pasted at its prompt: npx wrangler secret put ENCRYPTION_KEY
To begin anew, remove the Worker with everything in it: npx wrangler delete`,
    );
  }
  const { made, newPassword } = makeSecrets(unknown, admin);
  const all = { ...written, ...made };
  if (unknown.length > 0) {
    mkdirSync(join(path, ".."), { recursive: true, mode: DIR_MODE });
    replaceAtomically(path, HEADER + serialiseSecrets(all));
  }
  const secrets = Object.fromEntries(missing.map((name) => [name, all[name] ?? ""]));
  return { secrets, newPassword, path };
}
