import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { errorCode } from "./stop.ts";

/** Only the owner may read the files that this module writes. */
const FILE_MODE = 0o600;

/**
 * Makes a file with its whole content at once. A hard link fails where the name is taken, which
 * a rename would not: of two processes exactly one makes the file.
 *
 * @returns false where the file is there already; it is then left as it is
 */
export function createExclusively(path: string, content: string | Uint8Array): boolean {
  const draft = writeDraft(path, content);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Replaces a file's content: a reader sees the old or the new, never half of it. */
export function replaceAtomically(path: string, content: string): void {
  const draft = writeDraft(path, content);
  try {
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

function writeDraft(path: string, content: string | Uint8Array): string {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`;
  const file = openSync(draft, "wx", FILE_MODE);
  try {
    writeFileSync(file, content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return draft;
}
