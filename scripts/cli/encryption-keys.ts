import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { Vault } from "../../src/accounts/vault.ts";
import { replaceAtomically } from "../host/exclusive-file.ts";
import { readSecrets, storedSecrets, writeSecrets } from "../host/secrets-file.ts";
import { givenValues } from "../host/settings.ts";
import { Failure } from "./failure.ts";
import type { RelayAddress } from "./relay-address.ts";
import { localSecrets, restartText, type SecretsPlace, stateDirOf } from "./state-secrets.ts";
import { putSecrets } from "./wrangler-secrets.ts";

const DIR_MODE = 0o700;
const DEPLOYED_FILE = "deployed.env";
const DEPLOYED_HEADER = `# The encryption key of the deployed relay: a secret cannot be read back from Cloudflare. Back this
# file up. While a change of the key is under way, the old key stands here too.
`;
const NAMES = ["ENCRYPTION_KEY", "ENCRYPTION_KEY_PREVIOUS"] as const;

/** A relay's encryption keys in the clear. They are never printed and never an argument. */
export interface EncryptionKeys {
  current: string;
  /** Newest first; none while no change is under way. */
  previous: string[];
}

/** Where a relay's encryption keys are written down, and how it is given them. */
export interface KeyHolder {
  /** In words, for people. */
  place: string;
  /** What is written down; null: nothing yet. */
  read(): EncryptionKeys | null;
  /** Writes both down: in one step, so that no kill leaves one without the other. */
  write(keys: EncryptionKeys): void;
  /** Gives the relay what is written down, where that does not need a person. */
  handOver(keys: EncryptionKeys): Promise<void>;
  /** What a person has to do for the relay to take it; null: nothing, it comes by itself. */
  restart(): string | null;
}

/** The name of a key: it tells nothing of the key itself. */
export async function kidOf(key: string): Promise<string> {
  return (await Vault.open(key)).kid;
}

/** Those of the relay on this machine: in the secrets file that it reads at its start. */
export function localKeys(address: RelayAddress): KeyHolder {
  const place: SecretsPlace = localSecrets(address, NAMES);
  return {
    place: place.path,
    read: () => keysOf(storedSecrets(place.stateDir)),
    write(keys) {
      // Everything else in the file stays; the previous key goes where there is none any more.
      const { ENCRYPTION_KEY_PREVIOUS: _, ...others } = storedSecrets(place.stateDir);
      writeSecrets(place.stateDir, { ...others, ...namesOf(keys) });
    },
    handOver: async () => {},
    restart: () => restartText(place),
  };
}

/**
 * Those of the deployed relay. They are written down on this machine before the relay is given them:
 * a new key that nobody else knows would be lost with the accounts sealed under it.
 *
 * @param script instead of the project's own wrangler
 */
export function deployedKeys(script?: string): KeyHolder {
  const stateDir = stateDirOf(givenValues(process.env));
  const path = join(stateDir, DEPLOYED_FILE);
  return {
    place: path,
    read: () => (existsSync(path) ? keysOf(parseEnv(readFileSync(path, "utf8"))) : null),
    write(keys) {
      mkdirSync(stateDir, { recursive: true, mode: DIR_MODE });
      const lines = Object.entries(namesOf(keys)).map(([name, value]) => `${name}='${value}'\n`);
      replaceAtomically(path, DEPLOYED_HEADER + lines.join(""));
    },
    handOver: (keys) => putSecrets({ ENCRYPTION_KEY_PREVIOUS: null, ...namesOf(keys) }, script),
    restart: () => null,
  };
}

/** The key that the secrets file of this machine holds: what was handed to Cloudflare, perhaps. */
export function keyOnThisMachine(): string | null {
  return readSecrets(stateDirOf(givenValues(process.env)))?.ENCRYPTION_KEY ?? null;
}

function keysOf(values: Partial<Record<string, string>>): EncryptionKeys {
  const { ENCRYPTION_KEY: current, ENCRYPTION_KEY_PREVIOUS: previous = "" } = values;
  if (!current) throw new Failure("No ENCRYPTION_KEY is written down. Nothing was changed.");
  const keys = previous.split(",").map((key) => key.trim());
  return { current, previous: keys.filter((key) => key !== "") };
}

function namesOf({ current, previous }: EncryptionKeys) {
  return {
    ENCRYPTION_KEY: current,
    ...(previous.length === 0 ? {} : { ENCRYPTION_KEY_PREVIOUS: previous.join(",") }),
  };
}
