import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { WorkerBundle } from "../scripts/host/bundle.ts";
import { startFloor } from "./host/floor.ts";
import { startHelper } from "./host/helper.ts";
import { LoadGenerator } from "./host/load-generator.ts";
import { TEAM } from "./host/population.ts";
import { portOf, type RelayHost, startRelay } from "./host/relay.ts";
import { type Bench, type Effort, RELAY, type Subject } from "./scenarios/scenario.ts";
import { ACCOUNT_TOKEN_PREFIX } from "./upstream/credential.ts";

export interface Build {
  /** `relay`, or `base` where two commits are compared. */
  name: string;
  bundle: WorkerBundle;
}

/** Starts everything that a run needs, and ends it all whatever happens. */
export async function withBench<T>(
  builds: Build[],
  effort: Effort,
  dataDir: string,
  use: (bench: Bench) => Promise<T>,
): Promise<T> {
  const dir = mkdtempSync(join(dataDir, "relay-bench-"));
  const stops: (() => Promise<void>)[] = [() => Promise.resolve(rmSync(dir, { recursive: true }))];
  try {
    const upstream = await startHelper(join(import.meta.dirname, "upstream/main.ts"));
    stops.push(() => upstream.stop());
    const upstreamUrl = `http://127.0.0.1:${portOf(upstream)}`;
    const load = await LoadGenerator.start();
    stops.push(() => load.stop());

    let folders = 0;
    const newDir = () => {
      folders += 1;
      const path = join(dir, String(folders));
      mkdirSync(path);
      return path;
    };
    const date = builds[0]?.bundle.options.compatibilityDate ?? "";
    const floor = await startFloor(newDir(), upstreamUrl, date);
    stops.push(() => floor.stop());
    const relays: Subject[] = [];
    const start = (
      bundle: WorkerBundle,
      population = TEAM,
      vars: Record<string, string> = {},
    ): Promise<RelayHost> => startRelay({ bundle, dir: newDir(), upstreamUrl, population, vars });
    for (const { name, bundle } of builds) {
      const relay = await start(bundle);
      stops.push(() => relay.stop());
      const { pid } = relay.workerd;
      relays.push({ name, pid, port: relay.port, callers: relay.callers });
    }
    const newest = builds.find(({ name }) => name === RELAY);
    if (newest === undefined) throw new Error("there is no build to measure");
    const sessions = relays[0]?.callers ?? [];
    const account = sessions.map(({ session }) => ({ key: `${ACCOUNT_TOKEN_PREFIX}x`, session }));
    return await use({
      load,
      effort,
      direct: { name: "direct", pid: upstream.pid, port: portOf(upstream), callers: account },
      floor: {
        name: "floor",
        pid: floor.pid,
        port: floor.ports.get("http") ?? 0,
        callers: sessions,
      },
      relays,
      startRelay: (population, vars) => start(newest.bundle, population, vars),
    });
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}
