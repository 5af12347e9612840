import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { isBuiltSince, withBuildLock, writeStamp } from "./build-lock.ts";
import { projectDir } from "./project.ts";
import { runBuildStep } from "./run-build-step.ts";

const PANEL_SOURCE = "admin-pages";
/** What goes into the panel; it takes the shapes of answers from the relay's own source. */
const SOURCES = [
  ...["index.html", "vite.config.ts", "src"].map((name) => `${PANEL_SOURCE}/${name}`),
  "src",
  "package.json",
];
/** The root of the assets: everything of the panel is in `web/` below it. */
const PANEL_DIR = "dist/panel";
const WEB_DIR = "web";
const PAGE = "index.html";
/** Beside the assets, of which it is none. */
const STAMP_FILE = `${PANEL_DIR}.built-at`;

/**
 * Builds the panel if it is missing or older than any of its sources.
 *
 * @param announce told in a line when a build begins
 * @throws Stop with Vite's own words when it does not build
 */
export async function ensurePanel(
  announce: (line: string) => void = () => {},
  root = projectDir,
): Promise<void> {
  if (isFresh(root)) return;
  announce("Building the panel ...");
  await withBuildLock(root, async () => {
    if (!isFresh(root)) await build(root);
  });
}

/** Builds the panel from its sources as they are now. @returns the folder of its files */
export async function buildPanel(root = projectDir): Promise<string> {
  await withBuildLock(root, () => build(root));
  return join(root, PANEL_DIR, WEB_DIR);
}

/** The files and folders whose change makes the panel stale. */
export function panelSources(root = projectDir): string[] {
  return SOURCES.map((name) => join(root, name)).filter((path) => existsSync(path));
}

/** Commits before the panel have none; they are built too, to be measured. */
function isFresh(root: string): boolean {
  if (!existsSync(join(root, PANEL_SOURCE, PAGE))) return true;
  return (
    existsSync(join(root, PANEL_DIR, WEB_DIR, PAGE)) &&
    isBuiltSince(join(root, STAMP_FILE), panelSources(root))
  );
}

async function build(root: string): Promise<void> {
  const startedAt = new Date();
  const draft = join(root, `${PANEL_DIR}.${process.pid}`);
  try {
    await runBuildStep("The panel", root, [
      join(root, "node_modules/vite/bin/vite.js"),
      ...["build", PANEL_SOURCE],
      ...["--outDir", draft, "--emptyOutDir", "--logLevel", "warn"],
    ]);
    rmSync(join(root, STAMP_FILE), { force: true });
    replaceFiles(draft, join(root, PANEL_DIR, WEB_DIR));
    writeStamp(join(root, STAMP_FILE), startedAt);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** The page last, and what is no longer wanted after it: whoever reads meanwhile finds what it names. */
function replaceFiles(from: string, to: string): void {
  const filesOf = (folder: string) =>
    existsSync(folder)
      ? readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      : [];
  const built = filesOf(from).sort((a, b) => Number(a === PAGE) - Number(b === PAGE));
  const known = filesOf(to);
  for (const name of built) {
    mkdirSync(dirname(join(to, name)), { recursive: true });
    renameSync(join(from, name), join(to, name));
  }
  for (const name of known) if (!built.includes(name)) rmSync(join(to, name));
}
