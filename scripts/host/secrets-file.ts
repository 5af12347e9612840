import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { hashPassword } from "../../src/admin/password.ts";
import { createExclusively, replaceAtomically } from "./exclusive-file.ts";
import { passwordProblem } from "./password-rules.ts";
import { STORE_DIR } from "./project.ts";
import { errorCode, Stop } from "./stop.ts";

const SECRETS_FILE = "secrets.env";
const DIR_MODE = 0o700;
const FILE_MODE = 0o600;
/** Access for anyone but the owner. */
const OTHERS_MASK = 0o077;
const SECRET_BYTES = 32;
const GENERATED_PASSWORD_CHARS = 24;
/** Without characters that are mistaken for each other; 32 of them, so that no byte is favoured. */
const PASSWORD_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";
const DEFAULT_USERNAME = "admin";

const HEADER = `# Secrets of the relay whose state lies in this folder. Keep this file with that state, and back up
# both: accounts are stored under ENCRYPTION_KEY and cannot be read without it. Do not hand it to
# wrangler as it is, which would take the $ signs for variables: \`npm run setup -- --json\` is for that.
`;

/** The names that a relay cannot start without and that are made for it. */
export const SECRET_NAMES = [
  "JWT_SECRET",
  "ENCRYPTION_KEY",
  "ADMIN_USERNAME",
  "ADMIN_PASSWORD_HASH",
] as const;

export type SecretName = (typeof SECRET_NAMES)[number];

/** What such a file may hold: also the old key, while another one takes its place. */
const STORED_NAMES = [...SECRET_NAMES, "ENCRYPTION_KEY_PREVIOUS"] as const;

export type Secrets = Partial<Record<(typeof STORED_NAMES)[number], string>>;

export interface SecretsRequest {
  stateDir: string;
  /** What comes from elsewhere and need not be made. */
  given: Partial<Record<string, string>>;
  /** The admin's first name and password; made up where missing. */
  adminUsername?: string | undefined;
  adminPassword?: string | undefined;
  /** Replaces `hashPassword`, which takes a large part of a second. */
  hash?: (password: string) => string;
}

export interface SecretsOutcome {
  secrets: Secrets;
  /** Names that were made now; empty on every later start. */
  made: SecretName[];
  /** A password that was made up now: shown once, never stored. */
  newPassword: string | null;
}

/** Where the secrets of a state folder are kept. */
export function secretsPath(stateDir: string): string {
  return join(stateDir, SECRETS_FILE);
}

/**
 * Reads the secrets of a state folder, and makes those that are missing.
 *
 * @throws Stop where a new encryption key would make stored accounts unreadable, or where the
 *   given password is too short
 */
export function ensureSecrets(request: SecretsRequest): SecretsOutcome {
  const { stateDir, given } = request;
  const path = secretsPath(stateDir);
  const stored = readSecrets(stateDir);
  const missing = missingSecrets(given, stored);
  if (missing.length === 0) return { secrets: stored ?? {}, made: [], newPassword: null };
  if (missing.includes("ENCRYPTION_KEY") && hasData(stateDir)) {
    throw new Stop(
      `${path} ${stored === null ? "is missing" : "holds no ENCRYPTION_KEY"}, but ${stateDir} holds a relay's data.
Its accounts were stored under that key; a new one could not read them, so none was made.
To go on with this data: put the file back from a backup, or give the old key as ENCRYPTION_KEY.
To begin anew: move ${stateDir} away, or choose another folder with RELAY_STATE_DIR.`,
    );
  }

  const { made, newPassword } = makeSecrets(missing, {
    username: request.adminUsername,
    password: request.adminPassword,
    hash: request.hash,
  });
  const secrets: Secrets = { ...stored, ...made };

  mkdirSync(stateDir, { recursive: true, mode: DIR_MODE });
  const content = serialise(secrets);
  if (stored !== null) {
    replaceAtomically(path, content);
  } else if (!createExclusively(path, content)) {
    // Another start was faster: its set counts, and this one's is forgotten.
    return ensureSecrets(request);
  }
  return { secrets, made: missing, newPassword };
}

/**
 * Makes secrets.
 *
 * @param admin the first name and password; made up where missing
 * @returns the secrets, and the password where it was made up
 * @throws Stop where the given password is too weak
 */
export function makeSecrets(
  names: readonly SecretName[],
  admin: {
    username?: string | undefined;
    password?: string | undefined;
    hash?: ((password: string) => string) | undefined;
  },
): { made: Partial<Record<SecretName, string>>; newPassword: string | null } {
  let newPassword: string | null = null;
  const makers: Record<SecretName, () => string> = {
    JWT_SECRET: randomSecret,
    ENCRYPTION_KEY: randomSecret,
    ADMIN_USERNAME: () => admin.username || DEFAULT_USERNAME,
    ADMIN_PASSWORD_HASH: () => {
      if (admin.password) checkPassword(admin.password, admin.username);
      else newPassword = generatePassword();
      return (admin.hash ?? hashPassword)(admin.password || newPassword || "");
    },
  };
  const made = Object.fromEntries(names.map((name) => [name, makers[name]()]));
  return { made, newPassword };
}

function missingSecrets(given: SecretsRequest["given"], stored: Secrets | null): SecretName[] {
  const isMissing = (name: SecretName) => !given[name] && !stored?.[name];
  return SECRET_NAMES.filter((name) =>
    // A first password belongs to a name: both are kept, so that the next start needs neither.
    name === "ADMIN_USERNAME"
      ? !stored?.ADMIN_USERNAME && (!given.ADMIN_USERNAME || isMissing("ADMIN_PASSWORD_HASH"))
      : isMissing(name),
  );
}

/** @returns the stored secrets, or null where there is no file */
export function readSecrets(stateDir: string): Secrets | null {
  const path = secretsPath(stateDir);
  try {
    const text = readFileSync(path, "utf8");
    if (process.platform !== "win32" && (statSync(path).mode & OTHERS_MASK) !== 0) {
      chmodSync(path, FILE_MODE);
    }
    const parsed = parseEnv(text);
    return Object.fromEntries(
      STORED_NAMES.flatMap((name) => (parsed[name] ? [[name, parsed[name]]] : [])),
    );
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}

/**
 * Gives the admin another password; nothing else changes.
 *
 * @returns the password, where it was made up
 */
export function resetAdminPassword(stateDir: string, wanted?: string): string | null {
  const stored = storedSecrets(stateDir);
  if (wanted) checkPassword(wanted, stored.ADMIN_USERNAME);
  const password = wanted || generatePassword();
  writeSecrets(stateDir, { ...stored, ADMIN_PASSWORD_HASH: hashPassword(password) });
  return wanted ? null : password;
}

/** The secrets of a state folder that has some. @throws Stop where it has none */
export function storedSecrets(stateDir: string): Secrets {
  const stored = readSecrets(stateDir);
  if (stored !== null) return stored;
  throw new Stop(`${secretsPath(stateDir)} does not exist yet: run \`npm run setup\` first.`);
}

/** Replaces the secrets of a state folder: whoever reads them sees the old ones or the new ones. */
export function writeSecrets(stateDir: string, secrets: Secrets): void {
  replaceAtomically(secretsPath(stateDir), serialise(secrets));
}

/** Whether a relay has stored anything below this folder. */
export function hasData(stateDir: string): boolean {
  const store = join(stateDir, STORE_DIR);
  return existsSync(store) && readdirSync(store).length > 0;
}

function checkPassword(password: string, username?: string): void {
  const problem = passwordProblem(password, username);
  if (problem !== null) throw new Stop(`ADMIN_PASSWORD ${problem}.`);
}

/** A new key or secret of 256 random bits. */
export function randomSecret(): string {
  return randomBytes(SECRET_BYTES).toString("hex");
}

function generatePassword(): string {
  return Array.from(randomBytes(GENERATED_PASSWORD_CHARS), (byte) =>
    PASSWORD_ALPHABET.charAt(byte % PASSWORD_ALPHABET.length),
  ).join("");
}

function serialise(secrets: Secrets): string {
  return HEADER + serialiseSecrets(secrets);
}

/** Single quotes: a `$` in a password hash stays a `$` for every reader of such files. */
export function serialiseSecrets(secrets: Secrets): string {
  const lines = STORED_NAMES.flatMap((name) =>
    secrets[name] === undefined ? [] : [`${name}='${secrets[name].replaceAll("'", "")}'`],
  );
  return `${lines.join("\n")}\n`;
}

/** Valid secrets that nothing is ever stored under: to check the rest of a configuration with. */
export function placeholderSecrets(): Record<SecretName, string> {
  return {
    JWT_SECRET: randomSecret(),
    ENCRYPTION_KEY: randomSecret(),
    ADMIN_USERNAME: DEFAULT_USERNAME,
    ADMIN_PASSWORD_HASH: `$scrypt$ln=14,r=8,p=5$${"A".repeat(22)}$${"A".repeat(43)}`,
  };
}
