import { statSync } from "node:fs";
import { join, relative } from "node:path";
import { buildBundle } from "./host/bundle.ts";
import { buildPanel } from "./host/panel-build.ts";
import { FIRST_VIEW_MAX_BYTES, firstViewOf } from "./host/panel-size.ts";
import { projectDir } from "./host/project.ts";
import { runMain, Stop } from "./host/stop.ts";

const BYTES_PER_KB = 1000;

/** Builds the Worker and its panel as they would be deployed. */
async function main(): Promise<number> {
  const firstView = firstViewOf(await buildPanel());
  const kB = (bytes: number) => Math.round(bytes / BYTES_PER_KB);
  console.log(
    `Built dist/panel, ${kB(firstView.scriptBytes)} kB of scripts compressed for the first view; at most ${kB(FIRST_VIEW_MAX_BYTES)} are allowed.`,
  );
  if (firstView.scriptBytes > FIRST_VIEW_MAX_BYTES) {
    throw new Stop(
      `The panel's first view is too heavy: ${firstView.scripts.join(", ")}. Load what it does not need with the screen that does.`,
    );
  }
  const { modules, modulesRoot } = await buildBundle();
  const bytes = modules.reduce((sum, { path }) => sum + statSync(path).size, 0);
  const entry = relative(projectDir, join(modulesRoot, "index.js"));
  console.log(`Built ${entry}, ${kB(bytes)} kB.`);
  return 0;
}

await runMain(main);
