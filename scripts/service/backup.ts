import { spawnSync } from "node:child_process";
import {
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { relayVersion, STORE_DIR } from "../host/project.ts";
import { hasData, secretsPath } from "../host/secrets-file.ts";
import { lockState, runningRelay } from "../host/state-lock.ts";
import { Stop } from "../host/stop.ts";
import { whilePaused } from "./pause.ts";

export const MANIFEST_FILE = "backup.json";
/** Of the archive: grows when an older relay could no longer restore it. */
export const BACKUP_FORMAT = 1;
/** Beside the state: the relay's own secrets, and what was made for deployed ones. */
export const SECRET_FILES = /^(?:secrets|deployed(?:-[\w-]+)?)\.env$/;
const DIR_MODE = 0o700;
const FILE_MODE = 0o600;

export interface BackupOptions {
  stateDir: string;
  /** A path, or `-` for standard output. */
  file: string;
  withSecrets: boolean;
  print(line: string): void;
}

/**
 * Writes the state of one instant into an archive. A running relay stands still while its files are
 * copied, and goes on: the copy is what a power cut would have left, of all objects at the same moment.
 *
 * @throws Stop
 */
export async function backUp({ stateDir, file, withSecrets, print }: BackupOptions): Promise<void> {
  const target = file === "-" ? null : resolve(process.env.INIT_CWD ?? process.cwd(), file);
  if (target !== null && existsSync(target)) {
    throw new Stop(`${target} exists, and a backup overwrites nothing. Choose another name.`);
  }
  if (target !== null && !existsSync(dirname(target))) {
    throw new Stop(`${dirname(target)} does not exist. Make it first, or choose another folder.`);
  }
  if (!hasData(stateDir) && !existsSync(secretsPath(stateDir))) {
    throw new Stop(`${stateDir} holds no relay's state: there is nothing to back up.`);
  }
  // On the same disk, where a copy may cost nothing; beside the folder nothing may be writable.
  const draft = mkdtempSync(join(stateDir, ".backup-"));
  try {
    const content = join(draft, "content");
    const pausedMs = await copyState(stateDir, content, withSecrets);
    const databases = checkDatabases(content);
    const manifest = {
      format: BACKUP_FORMAT,
      version: relayVersion(),
      at: new Date().toISOString(),
      withSecrets,
    };
    writeFileSync(join(content, MANIFEST_FILE), JSON.stringify(manifest));
    const archive = join(draft, "archive.tar.gz");
    runTar(["-czf", archive, "-C", content, "."]);
    chmodSync(archive, FILE_MODE);
    if (target === null) process.stdout.write(readFileSync(archive));
    else moveFile(archive, target);
    print(
      `Backed up ${databases} databases${pausedText(pausedMs)} to ${target ?? "standard output"}.`,
    );
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  print(
    withSecrets
      ? "It holds the encryption key: whoever has the file can read every credential. Guard it."
      : "It is without secrets.env: it cannot be read without that file. Keep the two apart, and both.",
  );
}

function pausedText(pausedMs: number | null): string {
  return pausedMs === null ? "" : ` (the relay stood still for ${pausedMs} ms)`;
}

/** @returns how long the relay stood still; null where none was running */
async function copyState(
  stateDir: string,
  content: string,
  withSecrets: boolean,
): Promise<number | null> {
  mkdirSync(content, { mode: DIR_MODE });
  const copy = () => {
    for (const name of readdirSync(stateDir)) {
      if (name !== STORE_DIR && !(withSecrets && SECRET_FILES.test(name))) continue;
      cpSync(join(stateDir, name), join(content, name), {
        recursive: true,
        mode: constants.COPYFILE_FICLONE,
        preserveTimestamps: true,
        // An index that SQLite makes anew from the log beside it.
        filter: (path) => !path.endsWith("-shm"),
      });
    }
  };
  const running = runningRelay(stateDir);
  if (running === null) {
    const lock = await lockState(stateDir);
    try {
      copy();
    } finally {
      lock.release();
    }
    return null;
  }
  if (running.runtime === null) {
    throw new Stop(
      "The relay is just starting, or its process is not known. Try again, or stop it.",
    );
  }
  return await whilePaused(running.runtime, copy);
}

/** Opens each database, which replays its log, and has SQLite check it. @returns how many there are */
function checkDatabases(content: string): number {
  const paths = readdirSync(content, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".sqlite"),
  );
  for (const path of paths) {
    const database = new DatabaseSync(join(content, path));
    try {
      const [row] = database.prepare("PRAGMA quick_check").all();
      if (row?.quick_check !== "ok") throw new Stop(`${path} is damaged: ${row?.quick_check}`);
    } finally {
      database.close();
    }
  }
  return paths.length;
}

/** @throws Stop with tar's own words */
export function runTar(args: readonly string[]): void {
  const { status, stderr, error } = spawnSync("tar", args, { encoding: "utf8" });
  if (error !== undefined) throw new Stop(`tar could not be run: ${error.message}`);
  if (status !== 0) throw new Stop(`tar failed: ${stderr.trim()}`);
}

/** Onto another disk, too; under its name there is a whole file or none. */
function moveFile(from: string, to: string): void {
  const draft = join(dirname(to), `.${basename(to)}.${process.pid}.tmp`);
  cpSync(from, draft, { preserveTimestamps: true });
  renameSync(draft, to);
}
