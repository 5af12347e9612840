import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { WorkerBundle } from "../../scripts/host/bundle.ts";
import { WORKERS_DIR } from "../host/floor.ts";
import type { RelayWrapper } from "../host/relay.ts";

const COUNTING_DIR = join(WORKERS_DIR, "counting");
const MODULES = ["clock.js", "counts.js", "bindings.js", "objects.js"];
const ENTRY = "counting.js";
export const COUNTS_SOCKET = "counts";

/** A Worker around the relay's that counts what it uses, and tells it on a socket of its own. */
export function countingWorker(bundle: WorkerBundle, dir: string): RelayWrapper {
  const classes = Object.fromEntries(
    Object.entries(bundle.options.durableObjects ?? {}).map(([binding, object]) => [
      binding,
      typeof object === "string" ? object : (object?.className ?? ""),
    ]),
  );
  const path = join(dir, ENTRY);
  writeFileSync(path, entryText(classes));
  return {
    modules: [
      { name: ENTRY, path },
      ...MODULES.map((name) => ({ name, path: join(COUNTING_DIR, name) })),
    ],
    sockets: { [COUNTS_SOCKET]: "Counts" },
  };
}

/** The clock comes first: the relay must find it in place. */
function entryText(classes: Record<string, string>): string {
  return `import "./clock.js";
import { counts } from "./counts.js";
import { countedEnv } from "./bindings.js";
import { countAllRows, countedObject } from "./objects.js";
import relay, * as objects from "./index.js";

const classes = ${JSON.stringify(classes)};

export default {
  fetch(request, env, ctx) {
    counts.workerRequests += 1;
    return relay.fetch(request, countedEnv(env, classes), ctx);
  },
};
export const Counts = {
  fetch() {
    countAllRows();
    return Response.json(counts);
  },
};
${Object.values(classes)
  .map((name) => `export const ${name} = countedObject("${name}", objects.${name}, classes);`)
  .join("\n")}
`;
}
