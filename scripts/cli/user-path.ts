import { homedir } from "node:os";
import { join, resolve } from "node:path";

/**
 * A path as the person meant it: from where they are, although npm runs scripts in the project's
 * folder.
 */
export function pathFrom(path: string): string {
  const isNpmRun = process.env.npm_lifecycle_event === "cli";
  const from = (isNpmRun && process.env.INIT_CWD) || process.cwd();
  return path.startsWith("~/") ? join(homedir(), path.slice(2)) : resolve(from, path);
}
