import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { STORE_DIR } from "../host/project.ts";
import { hasData, readSecrets, secretsPath } from "../host/secrets-file.ts";
import { lockState, runningRelay } from "../host/state-lock.ts";
import { Stop } from "../host/stop.ts";
import { BACKUP_FORMAT, MANIFEST_FILE, runTar, SECRET_FILES } from "./backup.ts";

const DIR_MODE = 0o700;

export interface RestoreOptions {
  stateDir: string;
  /** A path, or `-` for standard input. */
  file: string;
  /** Moves what is there aside instead of refusing. */
  mayReplace: boolean;
  print(line: string): void;
}

interface Manifest {
  format: number;
  version: string;
  at: string;
}

/**
 * Puts a backup where a relay's state belongs. What was there is never removed.
 *
 * @throws Stop where a relay runs there, or where there is something and it may not be replaced
 */
export async function restore({
  stateDir,
  file,
  mayReplace,
  print,
}: RestoreOptions): Promise<void> {
  const source = file === "-" ? null : resolve(process.env.INIT_CWD ?? process.cwd(), file);
  if (source !== null && !existsSync(source)) throw new Stop(`${source} does not exist.`);
  if (runningRelay(stateDir) !== null) {
    throw new Stop(`A relay is running on ${stateDir}. Stop it first: npm run service:stop`);
  }
  const isUsed = hasData(stateDir) || existsSync(secretsPath(stateDir));
  if (isUsed && !mayReplace) {
    throw new Stop(
      `${stateDir} holds a relay's state; nothing was changed. To put the backup in its place, and what is there aside: npm run service:restore -- --replace FILE\nOr restore into another folder: RELAY_STATE_DIR=… npm run service:restore -- FILE`,
    );
  }
  const isNew = !existsSync(stateDir);
  mkdirSync(stateDir, { recursive: true, mode: DIR_MODE });
  const draft = mkdtempSync(join(stateDir, ".restore-"));
  try {
    const manifest = unpack(source, draft);
    const lock = await lockState(stateDir);
    try {
      const aside = exchange(stateDir, join(draft, "content"));
      print(`Restored the state of ${manifest.at}, of relay ${manifest.version}, to ${stateDir}.`);
      if (aside !== null) print(`What was there is in ${aside}. Remove it once it is not needed.`);
    } finally {
      lock.release();
    }
  } catch (error) {
    if (isNew) rmSync(stateDir, { recursive: true, force: true });
    throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  if (!readSecrets(stateDir)?.ENCRYPTION_KEY) {
    print(
      `The backup is without secrets. Put secrets.env, as it was then, to ${secretsPath(stateDir)} before the start, or give its ENCRYPTION_KEY: without it no account can be read.`,
    );
  }
  print("Do not run it beside the relay that it came from: a refresh token works once.");
}

function unpack(source: string | null, draft: string): Manifest {
  let archive = source;
  if (archive === null) {
    archive = join(draft, "archive.tar.gz");
    writeFileSync(archive, readFileSync(0));
  }
  const content = join(draft, "content");
  mkdirSync(content, { mode: DIR_MODE });
  runTar(["-xzf", archive, "-C", content, "--no-same-owner"]);
  const path = join(content, MANIFEST_FILE);
  if (!existsSync(path)) throw new Stop("That is no backup of this relay; nothing was changed.");
  const manifest = JSON.parse(readFileSync(path, "utf8")) as Manifest;
  if (manifest.format > BACKUP_FORMAT) {
    throw new Stop(
      `The backup is of relay ${manifest.version}, which is newer than this one; nothing was changed.`,
    );
  }
  return manifest;
}

/** @returns where the present state was moved to; null where there was none */
function exchange(stateDir: string, content: string): string | null {
  const isState = (name: string) => name === STORE_DIR || SECRET_FILES.test(name);
  const fresh = readdirSync(content).filter(isState);
  // The data go in any case; a secret stays where the backup has none.
  const old = readdirSync(stateDir).filter(
    (name) => name === STORE_DIR || (isState(name) && fresh.includes(name)),
  );
  let aside: string | null = null;
  if (old.length > 0) {
    aside = mkdtempSync(join(stateDir, "before-restore-"));
    for (const name of old) renameSync(join(stateDir, name), join(aside, name));
  }
  for (const name of fresh) renameSync(join(content, name), join(stateDir, name));
  return aside;
}
