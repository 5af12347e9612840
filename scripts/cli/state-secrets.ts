import { existsSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { DEFAULT_STATE_DIR, projectDir } from "../host/project.ts";
import { secretsPath } from "../host/secrets-file.ts";
import { givenValues, type Values } from "../host/settings.ts";
import { type LockContent, runningRelay } from "../host/state-lock.ts";
import { Failure, usageFailure } from "./failure.ts";
import type { RelayAddress } from "./relay-address.ts";

/** The state folder of a relay on this machine, and the secrets file in it. */
export interface SecretsPlace {
  stateDir: string;
  path: string;
  /** The relay that runs on it now, or null. */
  running: LockContent | null;
}

/** The state folder that RELAY_STATE_DIR names, whether it is there or not. */
export function stateDirOf(values: Values): string {
  return resolve(projectDir, values.RELAY_STATE_DIR ?? DEFAULT_STATE_DIR);
}

/**
 * Where the secrets of the relay on this machine are.
 *
 * @param names of the secrets that are to be changed there
 * @throws Failure where another relay is meant, or where the file does not decide
 */
export function localSecrets(address: RelayAddress, names: readonly string[]): SecretsPlace {
  if (address.isGiven && !address.isLoopback) {
    throw usageFailure(
      `${address.url} is not on this machine: add --remote for the deployed relay.`,
    );
  }
  const values = givenValues(process.env);
  const stateDir = stateDirOf(values);
  const path = secretsPath(stateDir);
  if (!existsSync(path)) {
    throw new Failure(
      `${path} is not there: no relay has been set up in this folder.\nMake it with \`npm run setup\`, or say where the state is with RELAY_STATE_DIR.`,
    );
  }
  const winning = names.find((name) => values[name] !== undefined);
  if (winning !== undefined) {
    throw new Failure(
      `${winning} is given in .dev.vars or the environment, which win over ${path}.\nChange it there, or take it away there and run this again.`,
    );
  }
  return { stateDir, path, running: runningRelay(realpathSync(stateDir)) };
}

/** How to make a running relay take new secrets, in a line. */
export function restartText({ running, stateDir }: SecretsPlace): string {
  const isDefault = stateDir === resolve(projectDir, DEFAULT_STATE_DIR);
  const start = `${isDefault ? "" : `RELAY_STATE_DIR='${stateDir}' `}npm start`;
  return running === null
    ? start
    : `stop the relay (kill ${running.starter.pid}, or Ctrl-C where it runs), then ${start}`;
}
