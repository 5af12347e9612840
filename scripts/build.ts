import { statSync } from "node:fs";
import { join, relative } from "node:path";
import { buildBundle } from "./host/bundle.ts";
import { projectDir } from "./host/project.ts";
import { runMain } from "./host/stop.ts";

const BYTES_PER_KB = 1000;

/** Builds the Worker as it would be deployed. */
async function main(): Promise<number> {
  const { modules, modulesRoot } = await buildBundle();
  const bytes = modules.reduce((sum, { path }) => sum + statSync(path).size, 0);
  const entry = relative(projectDir, join(modulesRoot, "index.js"));
  console.log(`Built ${entry}, ${Math.round(bytes / BYTES_PER_KB)} kB.`);
  return 0;
}

await runMain(main);
