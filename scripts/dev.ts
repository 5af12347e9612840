import { type FSWatcher, watch } from "node:fs";
import { parseArgs } from "node:util";
import { announce } from "./host/announcement.ts";
import { buildBundle, bundleSources } from "./host/bundle.ts";
import { takeSignals, untilEnded } from "./host/ending.ts";
import { type LaunchedRelay, launch } from "./host/launch.ts";
import { panelSources } from "./host/panel-build.ts";
import { DEFAULT_STATE_DIR } from "./host/project.ts";
import { givenValues, portOf } from "./host/settings.ts";
import { runMain, Stop } from "./host/stop.ts";

const DEFAULT_HOST = "127.0.0.1";
const DEFAULT_PORT = 8787;
const DEV_DIR = `${DEFAULT_STATE_DIR}/dev`;
/** Editors write a file in several steps, and a checkout writes many files. */
const SETTLE_MS = 150;

const HELP = `npm run dev

Runs the relay as \`npm start\` does, and loads it anew when its source or the panel's changes.
PORT, HOST and the names of .dev.vars.example count as there; RELAY_STATE_DIR is ${DEV_DIR} by default.`;

async function main(): Promise<number> {
  if (wantsHelp()) {
    console.log(HELP);
    return 0;
  }
  takeSignals();
  const given = givenValues(process.env);
  const relay = await launch({
    host: given.HOST ?? DEFAULT_HOST,
    port: portOf(given.PORT, DEFAULT_PORT),
    stateDir: given.RELAY_STATE_DIR ?? DEV_DIR,
    given,
    print: console.log,
  });
  if (!(await announce(relay))) console.error("Going on without accounts.");
  console.log("Watching the source; Ctrl-C ends.");
  const watchers = reloadOnChange(relay);
  return await untilEnded(relay, console.log, async () => {
    for (const watcher of watchers) watcher.close();
  });
}

function wantsHelp(): boolean {
  try {
    const { values } = parseArgs({
      options: { help: { type: "boolean", short: "h", default: false } },
    });
    return values.help;
  } catch (error) {
    throw new Stop(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
  }
}

/** Rebuilds one change after the other; what changes during a build is built right after it. */
function reloadOnChange({ host }: LaunchedRelay): FSWatcher[] {
  let timer: NodeJS.Timeout | undefined;
  let isBuilding = false;
  let isStale = false;
  const rebuild = async () => {
    if (isBuilding) return;
    isBuilding = true;
    while (isStale) {
      isStale = false;
      try {
        const startedAt = Date.now();
        await host.reload(await buildBundle());
        console.log(`Reloaded in ${Date.now() - startedAt} ms.`);
      } catch (error) {
        // The last version that could be built goes on serving.
        console.error(error instanceof Stop ? error.message : error);
      }
    }
    isBuilding = false;
  };
  return [...new Set([...bundleSources(), ...panelSources()])].map((path) =>
    watch(path, { recursive: true }, () => {
      isStale = true;
      clearTimeout(timer);
      timer = setTimeout(() => void rebuild(), SETTLE_MS);
    }),
  );
}

await runMain(main);
