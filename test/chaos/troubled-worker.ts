import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { WorkerBundle } from "../../scripts/host/bundle.ts";

const WORKER_DIR = join(import.meta.dirname, "worker");
const MODULES = ["trouble.js", "clock.js", "bindings.js", "objects.js"];
const RELAY_ENTRY = "index.js";
const ENTRY = "troubled.js";
/** The door by which a test steers it. Only this Worker has it. */
export const DOOR_PATH = "/__trouble";
/** By how much its clock is ahead at its start, in milliseconds. */
export const CLOCK_BINDING = "CHAOS_CLOCK_AHEAD_MS";

/** A Worker around the relay's own bundle, in which things can be made to go wrong. */
export function troubledWorker(bundle: WorkerBundle): WorkerBundle {
  const { modulesRoot, options } = bundle;
  const classes = Object.fromEntries(
    Object.entries(options.durableObjects ?? {}).map(([binding, object]) => [
      binding,
      typeof object === "string" ? object : (object?.className ?? ""),
    ]),
  );
  const module = (name: string, contents: string) => ({
    type: "ESModule" as const,
    path: join(modulesRoot, name),
    contents,
  });
  return {
    ...bundle,
    options: { ...options, bindings: { ...options.bindings } },
    modules: [
      module(ENTRY, entryText(classes)),
      ...MODULES.map((name) => module(name, readFileSync(join(WORKER_DIR, name), "utf8"))),
      ...bundle.modules,
    ],
  };
}

/** The clock comes first: the relay must find it in place. */
function entryText(classes: Record<string, string>): string {
  return `import { setClock } from "./clock.js";
import { troubledEnv } from "./bindings.js";
import { troubledObject } from "./objects.js";
import { setTrouble, struckCalls } from "./trouble.js";
import relay, * as objects from "./${RELAY_ENTRY}";

const classes = ${JSON.stringify(classes)};

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "${DOOR_PATH}") {
      return relay.fetch(request, troubledEnv(env, classes), ctx);
    }
    if (request.method === "GET") return Response.json(struckCalls());
    const wanted = await request.json();
    if (wanted.clockAheadMs !== undefined) setClock(wanted.clockAheadMs);
    setTrouble(wanted);
    return new Response();
  },
};
${Object.values(classes)
  .map((name) => `export const ${name} = troubledObject("${name}", objects.${name}, classes);`)
  .join("\n")}
`;
}
