import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { WorkerBundle } from "../../scripts/host/bundle.ts";
import { configText } from "../host/capnp.ts";
import { WORKERS_DIR } from "../host/floor.ts";
import { startRelay } from "../host/relay.ts";
import { startWorkerd } from "../host/workerd.ts";
import type { ScenarioReport } from "../scenarios/scenario.ts";
import { cpuMicros } from "./process-figures.ts";
import { median } from "./statistics.ts";

const BYTES_PER_KB = 1_000;
const MICROS_PER_MS = 1_000;
const BUNDLE_MAX_KB = 60;
const START_MAX_MS = 30;
/** Answered by the Worker itself, at once. */
const FIRST_PATH = "/api/hello";
/** Nothing listens there, and nothing is asked. */
const NO_UPSTREAM = "http://127.0.0.1:9";

/** What the build weighs, and what it costs to start. */
export async function buildReport(
  bundle: WorkerBundle,
  times: number,
  dataDir: string,
): Promise<ScenarioReport> {
  const bytes = bundle.modules.map(({ contents }) => gzipSync(contents ?? "").length);
  const empty: number[] = [];
  const relay: number[] = [];
  for (let round = 0; round < times; round += 1) {
    empty.push(await emptyStartMs(bundle.options.compatibilityDate ?? "", dataDir));
    relay.push(await relayStartMs(bundle, dataDir));
  }
  return {
    name: "build",
    title: "the Worker as it is deployed",
    loads: [],
    budgets: [
      {
        what: "bundle, compressed",
        is: "at most",
        limit: BUNDLE_MAX_KB,
        figure: bytes.reduce((sum, size) => sum + size, 0) / BYTES_PER_KB,
        unit: "kB",
        spread: null,
      },
      {
        what: "CPU of a start to the first answer, beyond an empty Worker's",
        is: "at most",
        limit: START_MAX_MS,
        figure: median(relay) - median(empty),
        unit: "ms",
        spread: null,
      },
    ],
  };
}

async function emptyStartMs(compatibilityDate: string, dataDir: string): Promise<number> {
  return inFolder(dataDir, async (dir) => {
    const configPath = join(dir, "empty.capnp");
    const modules = [{ name: "empty.js", path: join(WORKERS_DIR, "empty.js") }];
    const worker = { name: "empty", modules, compatibilityDate };
    writeFileSync(configPath, configText({ worker, sockets: { http: null }, storageDir: null }));
    const workerd = await startWorkerd(configPath, ["http"]);
    return firstAnswerMs(workerd.pid, workerd.ports.get("http") ?? 0, () => workerd.stop());
  });
}

async function relayStartMs(bundle: WorkerBundle, dataDir: string): Promise<number> {
  return inFolder(dataDir, async (dir) => {
    const population = { accounts: 0, keys: 0, sessions: 0 };
    const relay = await startRelay({ bundle, dir, upstreamUrl: NO_UPSTREAM, population });
    return firstAnswerMs(relay.workerd.pid, relay.port, () => relay.stop());
  });
}

async function firstAnswerMs(
  pid: number,
  port: number,
  stop: () => Promise<void>,
): Promise<number> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}${FIRST_PATH}`);
    await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`${FIRST_PATH} answered ${answer.status}`);
    return cpuMicros(pid) / MICROS_PER_MS;
  } finally {
    await stop();
  }
}

async function inFolder<T>(dataDir: string, use: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(dataDir, "relay-bench-start-"));
  try {
    return await use(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}
