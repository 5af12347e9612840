import type { WorkerBundle } from "../../scripts/host/bundle.ts";
import { MS_PER_S } from "../clock.ts";
import type { LoadGenerator } from "../host/load-generator.ts";
import { type RelayHost, startRelay } from "../host/relay.ts";
import { cpuMicros } from "../measure/process-figures.ts";
import { WrongAnswer } from "../measure/rounds.ts";
import { smallRequest } from "../scenarios/requests.ts";
import { JSON_ANSWER_BYTES } from "../upstream/answers.ts";
import { COUNTS_SOCKET, countingWorker } from "./counting-worker.ts";
import { type CostLoad, shares } from "./loads.ts";
import { type Counts, objectTotal, type Usage, usagePerRequest } from "./usage.ts";

const MICROS_PER_MS = 1_000;
const PACED = { streams: 20, everyMs: 100, events: 50 };

export interface CostStage {
  bundle: WorkerBundle;
  load: LoadGenerator;
  upstreamUrl: string;
  newDir(): string;
}

/** Plays a load on a fast clock, and counts what each request uses once the first hour is over. */
export async function measureCost(stage: CostStage, load: CostLoad): Promise<Usage> {
  const { sampleKeys, sampleAccounts, clockScale, perKeyPerS } = load;
  const relay = await startCounting(stage, sampleKeys, sampleAccounts, clockScale);
  try {
    const { pid } = relay.workerd;
    let before: Promise<Counts> | null = null;
    let cpuBefore = 0;
    const result = await stage.load.run(
      {
        kind: "open",
        port: relay.port,
        path: "/v1/messages?answer=json",
        body: smallRequest(false),
        callers: relay.callers,
        answerBytes: JSON_ANSWER_BYTES,
        perSecond: sampleKeys * perKeyPerS * clockScale,
        warmMs: (load.warmS * MS_PER_S) / clockScale,
        forMs: (load.windowS * MS_PER_S) / clockScale,
      },
      () => {
        before = countsOf(relay);
        cpuBefore = cpuMicros(pid);
      },
    );
    const cpuMs = (cpuMicros(pid) - cpuBefore) / MICROS_PER_MS;
    if (result.wrongCount > 0) throw new WrongAnswer(`${load.name}: ${result.wrong.join("; ")}`);
    if (before === null) throw new Error("the load was never warm");
    return usagePerRequest(await before, await countsOf(relay), cpuMs, shares(load));
  } finally {
    await relay.stop();
  }
}

/** The part of a stream's time in which it keeps any Durable Object awake, on the machine's clock. */
export async function awakeDuringStreams(stage: CostStage, timeScale: number): Promise<number> {
  const events = Math.ceil(PACED.events * timeScale);
  const relay = await startCounting(stage, PACED.streams, 1, 1);
  try {
    const before = await countsOf(relay);
    const result = await stage.load.run({
      kind: "streams",
      port: relay.port,
      path: `/v1/messages?answer=paced&every=${PACED.everyMs}&events=${events}`,
      body: smallRequest(true),
      callers: relay.callers,
      answerBytes: null,
      streams: PACED.streams,
      beginOverMs: PACED.everyMs,
      eventsEach: events,
    });
    if (result.wrongCount > 0) throw new WrongAnswer(`streams: ${result.wrong.join("; ")}`);
    const { objects } = usagePerRequest(before, await countsOf(relay), 0, {});
    return objectTotal({ objects }).activeMs / (PACED.everyMs * events);
  } finally {
    await relay.stop();
  }
}

function startCounting(
  { bundle, upstreamUrl, newDir }: CostStage,
  keys: number,
  accounts: number,
  clockScale: number,
): Promise<RelayHost> {
  const dir = newDir();
  return startRelay({
    bundle,
    dir,
    upstreamUrl,
    population: { accounts, keys, sessions: keys },
    wrapper: countingWorker(bundle, dir),
    vars: { BENCH_CLOCK_SCALE: String(clockScale) },
  });
}

async function countsOf({ workerd }: RelayHost): Promise<Counts> {
  const answer = await fetch(`http://127.0.0.1:${workerd.ports.get(COUNTS_SOCKET)}/`);
  return (await answer.json()) as Counts;
}
