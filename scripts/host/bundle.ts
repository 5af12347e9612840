import { type ChildProcess, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Json, V4ModuleDefinition, V4WorkerOptionsShape } from "miniflare";
import { createExclusively } from "./exclusive-file.ts";
import { isSameProcess, type ProcessRecord, processRecord } from "./process-table.ts";
import { projectDir, quietWranglerEnv, wranglerScript } from "./project.ts";
import { errorCode, Stop } from "./stop.ts";

/** What goes into the bundle. A folder's own time changes when a file in it is removed. */
const SOURCES = [
  "src",
  "durable-objects",
  "forward-proxy/src/contract.ts",
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
const LOCK_FILE = "dist/.build-lock";
const LOCK_POLL_MS = 100;
const OLDEST_LOCK_MS = 120_000;

/** The Worker as Miniflare takes it: the bundle that would be deployed, and wrangler.toml. */
export interface WorkerBundle {
  modules: V4ModuleDefinition[];
  modulesRoot: string;
  /** Compatibility settings, bindings and classes; `bindings` are the [vars]. */
  options: V4WorkerOptionsShape & { name: string; bindings: Record<string, Json> };
}

/**
 * Builds the Worker if it is missing or older than any of its sources.
 *
 * @param announce told in a line when a build begins
 * @throws Stop with wrangler's own words when the Worker does not build
 */
export async function ensureBundle(
  announce: (line: string) => void = () => {},
  root = projectDir,
): Promise<WorkerBundle> {
  if (!isFresh(root)) {
    announce("Building the Worker ...");
    await withBuildLock(root, async () => {
      // Another process may have built it while this one waited for the lock.
      if (!isFresh(root)) await build(root);
    });
  }
  return readBundle(root);
}

/** Builds the Worker from its sources as they are now. */
export async function buildBundle(root = projectDir): Promise<WorkerBundle> {
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
  const stamp = statSync(join(root, BUNDLE_DIR, STAMP_FILE), { throwIfNoEntry: false });
  if (stamp === undefined) return false;
  return bundleSources(root).every((path) => newestChange(path) < stamp.mtimeMs);
}

function newestChange(path: string): number {
  const stats = statSync(path);
  const { mtimeMs } = stats;
  if (!stats.isDirectory()) return mtimeMs;
  return readdirSync(path).reduce(
    (newest, name) => Math.max(newest, newestChange(join(path, name))),
    mtimeMs,
  );
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
      runNode(root, [
        wranglerScript,
        "deploy",
        "--dry-run",
        ...["--config", config],
        ...["--outdir", draftDir],
      ]),
      runNode(root, [
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
    createExclusively(join(outDir, STAMP_FILE), "");
    utimesSync(join(outDir, STAMP_FILE), startedAt, startedAt);
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

async function runNode(cwd: string, args: string[]): Promise<void> {
  const child = spawn(process.execPath, args, {
    cwd,
    env: quietWranglerEnv(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { code, output } = await outcomeOf(child);
  if (code !== 0) throw new Stop(`The Worker could not be built.\n${output.trim()}`);
}

function outcomeOf(child: ChildProcess): Promise<{ code: number | null; output: string }> {
  return new Promise((settle, fail) => {
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk) => {
        output += chunk;
      });
    }
    child.once("error", fail);
    child.once("close", (code) => settle({ code, output }));
  });
}

/** Test files start relays at the same moment; one of them builds and the others wait for it. */
async function withBuildLock(root: string, work: () => Promise<void>): Promise<void> {
  mkdirSync(join(root, "dist"), { recursive: true });
  const lock = join(root, LOCK_FILE);
  while (!createExclusively(lock, JSON.stringify(processRecord(process.pid)))) {
    if (isAbandoned(lock)) rmSync(lock, { force: true });
    else await sleep(LOCK_POLL_MS);
  }
  try {
    await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function isAbandoned(lock: string): boolean {
  try {
    if (Date.now() - statSync(lock).mtimeMs > OLDEST_LOCK_MS) return true;
    return !isSameProcess(JSON.parse(readFileSync(lock, "utf8")) as ProcessRecord);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
}
