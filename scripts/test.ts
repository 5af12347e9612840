import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureBundle } from "./host/bundle.ts";
import { projectDir, quietWranglerEnv, wranglerScript } from "./host/project.ts";
import { runMain, Stop } from "./host/stop.ts";
import { type Tally, tallyOf } from "./host/test-report.ts";

const module = (path: string) => join(projectDir, "node_modules", path);

/** Checks that pass or fail as a whole; each counts as one test. */
const CHECKS = [
  { name: "lint", command: [module("@biomejs/biome/bin/biome"), "check", "."] },
  { name: "types of the Worker", command: [module("typescript/bin/tsc"), "-p", "tsconfig.json"] },
  {
    name: "types of scripts and tests",
    command: [module("typescript/bin/tsc"), "-p", "tsconfig.node.json"],
  },
  {
    name: "types of the panel",
    command: [module("typescript/bin/tsc"), "-p", "tsconfig.panel.json"],
  },
  {
    name: "worker-configuration.d.ts is up to date (npm run types)",
    command: [
      wranglerScript,
      ...["types", "--check", "--include-runtime=false", "--strict-vars=false"],
    ],
  },
];

/** Vitest projects, each with the configuration that it runs under. */
const SUITES = [
  { name: "unit and Durable Objects, inside workerd", config: "vitest.config.ts" },
  { name: "integration and clients, against a running relay", config: "vitest.node.config.ts" },
  { name: "the panel in a browser, on both hosts", config: "vitest.browser.config.ts" },
];

/** Linux's disk in memory. What tests store is synced to disk with care, and wanted for a minute. */
const MEMORY_DIR = "/dev/shm";
/** More than all tests together ever hold; containers often have far less. */
const MEMORY_LEAST_BYTES = 2 * 1024 ** 3;

/**
 * Runs everything that can fail. The last line is the sum of all suites; what did not run counts
 * as failed.
 */
async function main(): Promise<number> {
  // With a filter, the suites that hold no such test are no failure, and the checks are left out.
  const filters = process.argv.slice(2);
  const tallies: Tally[] = [];
  if (filters.length === 0) {
    console.log("== lint and types");
    for (const { name, command } of CHECKS) tallies.push(await runCheck(name, command));
  }
  await buildOnce();
  for (const { name, config } of SUITES) {
    console.log(`\n== ${name}`);
    const tally = await runSuite(config, filters);
    if (tally.passed + tally.failed === 0 && filters.length === 0) {
      console.log("No test ran: that counts as a failure.");
      tally.failed = 1;
    }
    tallies.push(tally);
  }
  const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
  const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0);
  // A filter that matches nothing is a mistake.
  const isEmpty = passed + failed === 0;
  if (isEmpty) console.log(`\nNo test matches: ${filters.join(" ")}`);
  console.log(`\n${passed} passed, ${isEmpty ? 1 : failed} failed`);
  return failed === 0 && !isEmpty ? 0 : 1;
}

async function runCheck(name: string, command: string[]): Promise<Tally> {
  const { code, output } = await run(command, quietWranglerEnv(), "pipe");
  const isFine = code === 0;
  console.log(`${isFine ? "ok    " : "FAILED"} ${name}`);
  if (!isFine) console.log(output.trimEnd());
  return { passed: Number(isFine), failed: Number(!isFine) };
}

/** So that no test's time limit pays for it. Where it fails, the tests that need it say so. */
async function buildOnce(): Promise<void> {
  try {
    await ensureBundle();
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    console.log(`\n${error.message}`);
  }
}

async function runSuite(config: string, filters: string[]): Promise<Tally> {
  const dir = mkdtempSync(join(tmpdir(), "relay-test-report-"));
  const report = join(dir, "report.json");
  try {
    const { CI: _, ...env } = quietWranglerEnv();
    const { CI } = process.env;
    const { code } = await run(
      [
        module("vitest/vitest.mjs"),
        ...["run", "--config", config],
        ...["--reporter=default", "--reporter=json", `--outputFile=${report}`],
        ...(filters.length > 0 ? ["--passWithNoTests"] : []),
        ...filters,
      ],
      { TEST_SCRATCH_DIR: scratchDir(), ...env, ...(CI === undefined ? {} : { CI }) },
      "inherit",
    );
    return tallyOf(readReport(report), code === 0);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function scratchDir(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY_DIR);
    return bavail * bsize >= MEMORY_LEAST_BYTES ? MEMORY_DIR : tmpdir();
  } catch {
    return tmpdir(); // not on this system
  }
}

function readReport(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return null; // the suite crashed before it could write one
  }
}

function run(
  command: string[],
  env: NodeJS.ProcessEnv,
  stdio: "pipe" | "inherit",
): Promise<{ code: number | null; output: string }> {
  return new Promise((settle, fail) => {
    const child = spawn(process.execPath, command, {
      cwd: projectDir,
      env,
      stdio: ["ignore", stdio, stdio],
    });
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

await runMain(main);
