import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBundle, type WorkerBundle } from "../scripts/host/bundle.ts";
import { projectDir } from "../scripts/host/project.ts";
import { Stop } from "../scripts/host/stop.ts";
import { git } from "./report/environment.ts";

const LOCKFILE = "package-lock.json";

/**
 * Builds another commit of this project in a worktree of its own, which is gone afterwards.
 *
 * @param use is handed the build while the worktree exists
 * @throws Stop where there is no such commit
 */
export async function withBuildOf<T>(
  commit: string,
  use: (bundle: WorkerBundle) => Promise<T>,
): Promise<T> {
  const id = git("rev-parse", "--verify", `${commit}^{commit}`);
  if (id === "unknown") throw new Stop(`There is no commit ${commit} to compare with.`);
  const parent = mkdtempSync(join(tmpdir(), "relay-bench-base-"));
  const dir = join(parent, "base");
  try {
    run("git", ["worktree", "add", "--detach", dir, id], projectDir);
    provideModules(dir);
    return await use(await buildBundle(dir));
  } finally {
    git("worktree", "remove", "--force", dir);
    rmSync(parent, { recursive: true, force: true });
  }
}

/** The installed packages where that commit wants the same ones, else its own. */
function provideModules(dir: string): void {
  const lockfile = (root: string) => readFileSync(join(root, LOCKFILE), "utf8");
  if (lockfile(dir) === lockfile(projectDir)) {
    symlinkSync(join(projectDir, "node_modules"), join(dir, "node_modules"));
  } else {
    run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], dir);
  }
}

function run(command: string, args: string[], cwd: string): void {
  try {
    execFileSync(command, args, { cwd, stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    throw new Stop(error instanceof Error ? error.message : `${command} failed`);
  }
}
