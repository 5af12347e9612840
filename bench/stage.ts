import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { WorkerBundle } from "../scripts/host/bundle.ts";
import { startFloor } from "./host/floor.ts";
import { type Helper, startHelper } from "./host/helper.ts";
import { LoadGenerator } from "./host/load-generator.ts";
import { TEAM } from "./host/population.ts";
import { type Furnishing, portOf, startRelay } from "./host/relay.ts";
import { checkMetered } from "./measure/metered.ts";
import { type Bench, type Effort, RELAY, type Subject } from "./scenarios/scenario.ts";
import { ACCOUNT_TOKEN_PREFIX } from "./upstream/credential.ts";

export interface Build {
  /** `relay`, or `base` where two commits are compared. */
  name: string;
  bundle: WorkerBundle;
}

/** What every kind of run needs. */
export interface Stage {
  load: LoadGenerator;
  upstream: Helper;
  upstreamUrl: string;
  /** A new empty folder, gone with the stage. */
  newDir(): string;
  /** What is to be ended with the stage, before what it stands on. */
  onEnd(stop: () => Promise<void>): void;
}

/** Starts load generator and fake upstream, and ends everything whatever happens. */
export async function withStage<T>(dataDir: string, use: (stage: Stage) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(dataDir, "relay-bench-"));
  const stops: (() => Promise<void>)[] = [];
  const removeDir = () => rmSync(dir, { recursive: true, force: true });
  process.once("exit", removeDir);
  let folders = 0;
  try {
    const upstream = await startHelper(join(import.meta.dirname, "upstream/main.ts"));
    stops.push(() => upstream.stop());
    const load = await LoadGenerator.start();
    stops.push(() => load.stop());
    return await use({
      load,
      upstream,
      upstreamUrl: `http://127.0.0.1:${portOf(upstream)}`,
      newDir() {
        folders += 1;
        const path = join(dir, String(folders));
        mkdirSync(path);
        return path;
      },
      onEnd: (stop) => stops.push(stop),
    });
  } finally {
    for (const stop of stops.reverse()) await stop();
    process.off("exit", removeDir);
    removeDir();
  }
}

/** The floor and the relays side by side; at the end each relay must have metered what it relayed. */
export async function withSubjects<T>(
  stage: Stage,
  builds: Build[],
  effort: Effort,
  use: (bench: Bench) => Promise<T>,
): Promise<T> {
  const { load, upstream, upstreamUrl, newDir, onEnd } = stage;
  const newest = builds.find(({ name }) => name === RELAY);
  if (newest === undefined) throw new Error("there is no build to measure");
  const date = newest.bundle.options.compatibilityDate ?? "";
  const floor = await startFloor(newDir(), upstreamUrl, date);
  onEnd(() => floor.stop());
  const relays: Subject[] = [];
  const start = (bundle: WorkerBundle, population = TEAM, further: Furnishing = {}) =>
    startRelay({ bundle, dir: newDir(), upstreamUrl, population, ...further });
  for (const { name, bundle } of builds) {
    const relay = await start(bundle);
    onEnd(() => relay.stop());
    relays.push({ name, pid: relay.workerd.pid, port: relay.port, callers: relay.callers });
  }
  const callers = relays[0]?.callers ?? [];
  const accounts = callers.map(({ session }) => ({
    key: `${ACCOUNT_TOKEN_PREFIX}direct`,
    session,
  }));
  const result = await use({
    load,
    effort,
    direct: { name: "direct", pid: upstream.pid, port: portOf(upstream), callers: accounts },
    floor: { name: "floor", pid: floor.pid, port: floor.ports.get("http") ?? 0, callers },
    relays,
    startRelay: (population, further) => start(newest.bundle, population, further),
  });
  for (const relay of relays) await checkMetered(relay, load.answered(relay.port));
  return result;
}
