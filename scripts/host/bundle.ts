import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Json, V4ModuleDefinition, V4WorkerOptionsShape } from "miniflare";
import { isBuiltSince, withBuildLock, writeStamp } from "./build-lock.ts";
import { ensurePanel } from "./panel-build.ts";
import { projectDir, wranglerScript } from "./project.ts";
import { runBuildStep } from "./run-build-step.ts";

/** What goes into the bundle. */
const SOURCES = [
  "src",
  "durable-objects",
  "forward-proxy/src/contract.ts",
  "forward-proxy/src/special-networks.ts",
  "wrangler.toml",
  "package.json",
];
const BUNDLE_DIR = "dist/worker";
const ENTRY_MODULE = "index.js";
const OPTIONS_FILE = "miniflare-options.json";
/** Written last; its time is when the build began, so that an edit during the build counts. */
const STAMP_FILE = "built-at";
/** Not modules of the Worker. */
const OTHER_FILES = new Set([OPTIONS_FILE, STAMP_FILE, "README.md"]);

/** The Worker as Miniflare takes it: the bundle that would be deployed, and wrangler.toml. */
export interface WorkerBundle {
  modules: V4ModuleDefinition[];
  modulesRoot: string;
  /** Compatibility settings, bindings and classes; `bindings` are the [vars]. */
  options: V4WorkerOptionsShape & { name: string; bindings: Record<string, Json> };
}

/**
 * Builds the Worker, and the panel that it serves, if they are missing or older than their sources.
 *
 * @param announce told in a line when a build begins
 * @throws Stop with the build's own words when it fails
 */
export async function ensureBundle(
  announce: (line: string) => void = () => {},
  root = projectDir,
): Promise<WorkerBundle> {
  await ensurePanel(announce, root);
  if (!isFresh(root)) {
    announce("Building the Worker ...");
    await withBuildLock(root, async () => {
      // Another process may have built it while this one waited for the lock.
      if (!isFresh(root)) await build(root);
    });
  }
  return readBundle(root);
}

/** Builds the Worker from its sources as they are now, and the panel where it is stale. */
export async function buildBundle(root = projectDir): Promise<WorkerBundle> {
  await ensurePanel(() => {}, root);
  await withBuildLock(root, () => build(root));
  return readBundle(root);
}

/** The files and folders whose change makes a bundle stale. */
export function bundleSources(root = projectDir): string[] {
  return SOURCES.map((name) => join(root, name)).filter((path) => existsSync(path));
}

/** The [vars] of wrangler.toml as of the last build. */
export function varsOf(bundle: WorkerBundle): Record<string, string> {
  return Object.fromEntries(
    Object.entries(bundle.options.bindings).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string",
    ),
  );
}

function isFresh(root: string): boolean {
  return isBuiltSince(join(root, BUNDLE_DIR, STAMP_FILE), bundleSources(root));
}

async function build(root: string): Promise<void> {
  const startedAt = new Date();
  const outDir = join(root, BUNDLE_DIR);
  const draftDir = `${outDir}.${process.pid}`;
  rmSync(draftDir, { recursive: true, force: true });
  mkdirSync(draftDir, { recursive: true });
  try {
    const config = join(root, "wrangler.toml");
    await Promise.all([
      runBuildStep("The Worker", root, [
        wranglerScript,
        "deploy",
        "--dry-run",
        ...["--config", config],
        ...["--outdir", draftDir],
      ]),
      runBuildStep("The Worker", root, [
        join(import.meta.dirname, "worker-options.ts"),
        config,
        join(draftDir, OPTIONS_FILE),
      ]),
    ]);
    // File by file, the stamp last: a process that reads meanwhile finds a whole set or no stamp.
    mkdirSync(outDir, { recursive: true });
    rmSync(join(outDir, STAMP_FILE), { force: true });
    const built = readdirSync(draftDir);
    for (const name of readdirSync(outDir)) {
      if (!built.includes(name)) rmSync(join(outDir, name), { recursive: true });
    }
    for (const name of built) renameSync(join(draftDir, name), join(outDir, name));
    writeStamp(join(outDir, STAMP_FILE), startedAt);
  } finally {
    rmSync(draftDir, { recursive: true, force: true });
  }
}

function readBundle(root: string): WorkerBundle {
  const modulesRoot = join(root, BUNDLE_DIR);
  const names = readdirSync(modulesRoot)
    .filter((name) => !OTHER_FILES.has(name) && !name.endsWith(".map"))
    // The first module is the entry.
    .sort((a, b) => Number(b === ENTRY_MODULE) - Number(a === ENTRY_MODULE));
  const modules = names.map((name) => moduleOf(join(modulesRoot, name)));
  const options = JSON.parse(readFileSync(join(modulesRoot, OPTIONS_FILE), "utf8"));
  return { modules, modulesRoot, options };
}

/** The kinds of modules that wrangler bundles by default, by the end of their name. */
function moduleOf(path: string): V4ModuleDefinition {
  const contents = readFileSync(path);
  if (path.endsWith(".wasm")) return { type: "CompiledWasm", path, contents };
  if (path.endsWith(".bin")) return { type: "Data", path, contents };
  const type = path.endsWith(".js") || path.endsWith(".mjs") ? "ESModule" : "Text";
  return { type, path, contents: contents.toString("utf8") };
}
