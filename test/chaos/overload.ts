import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MICROS_PER_MS, MS_PER_S } from "../../bench/clock.ts";
import { type Helper, startHelper } from "../../bench/host/helper.ts";
import { type Population, signIn, TEAM } from "../../bench/host/population.ts";
import { type RelayHost, startRelay } from "../../bench/host/relay.ts";
import type { Ask } from "../../bench/load/job.ts";
import { cpuMicros } from "../../bench/measure/process-figures.ts";
import { DATA_DIR } from "../../bench/options.ts";
import { longRequest, smallRequest } from "../../bench/scenarios/requests.ts";
import { type Stage, withStage } from "../../bench/stage.ts";
import { ANSWER_OUTPUT_TOKENS, JSON_ANSWER_BYTES } from "../../bench/upstream/answers.ts";
import type { WorkerBundle } from "../../scripts/host/bundle.ts";
import type { FloodFigures, FloodJob } from "./flood/job.ts";
import { sampling } from "./process-sample.ts";

/** More than it can take, of one kind. */
export interface OverloadRow {
  name: string;
  population: Population;
  ask: Pick<Ask, "path" | "body" | "answerBytes">;
  /** Enough to keep the relay busy, where these are more than {@link CONNECTIONS}. */
  connections?: number;
}

/** How long, and how much. */
export interface OverloadPlan {
  /** Of what the relay can take. */
  over: number;
  /** Connections that clients have open; more are opened where these do not suffice, up to the most. */
  connected: number;
  mostConnections: number;
  /** For how long it is measured what the relay can take; or what is taken for it, a second. */
  capacityMs: number;
  capacityAssumed?: number;
  normalMs: number;
  floodMs: number;
  afterMs: number;
}

export interface OverloadFigures {
  name: string;
  /** Requests a second that are served where each client waits for its answer. */
  capacity: number;
  flood: FloodFigures;
  peakMb: number;
  peakFiles: number;
  /** Files and sockets that were open before, and when all was over. */
  filesBefore: number;
  filesAfter: number;
  /** Whether afterwards each caller was served at its first try. */
  isWell: boolean;
  /** Of one core, over all phases. */
  generatorCores: number;
  kept: KeptSums;
}

/** What upstream answered, beside what the ledger has. */
export interface KeptSums {
  billed: number;
  inMeters: number;
  inLedger: number;
  /** Tokens in the ledger beyond those that upstream billed, or below them. */
  tokensOff: number;
  estimated: number;
  unsettled: number;
  /** Let in, and refused all the same. */
  failed: number;
  openLeases: number;
}

const JSON_ASK = {
  path: "/v1/messages?answer=json",
  body: smallRequest(false),
  answerBytes: JSON_ANSWER_BYTES,
};

export const OVERLOAD_ROWS: readonly OverloadRow[] = [
  { name: "overload: 8 keys", population: TEAM, ask: JSON_ASK },
  {
    name: "overload: one key",
    population: { accounts: 4, keys: 1, sessions: 32 },
    ask: JSON_ASK,
  },
  {
    name: "overload: 1,000 keys",
    population: { accounts: 4, keys: 1_000, sessions: 1_000 },
    ask: JSON_ASK,
  },
  {
    name: "overload: streams",
    population: TEAM,
    ask: { path: "/v1/messages?answer=burst", body: smallRequest(true), answerBytes: null },
  },
  {
    name: "overload: 400 KB asked",
    population: TEAM,
    ask: { ...JSON_ASK, body: longRequest() },
  },
  {
    name: "overload: upstream thinks for a second",
    population: TEAM,
    ask: { ...JSON_ASK, path: "/v1/messages?answer=json&after=1000" },
    connections: 1_000,
  },
];

export const OVERLOAD_PLAN: OverloadPlan = {
  over: 2,
  connected: 1_000,
  mostConnections: 4_000,
  capacityMs: 4_000,
  normalMs: 5_000,
  floodMs: 20_000,
  afterMs: 10_000,
};

const FLOOD_MAIN = join(import.meta.dirname, "flood/main.ts");
/** Enough to keep the relay busy, and few enough that none waits long. */
const CONNECTIONS = 32;
const WARM_MS = 3_000;
const FIRST_USE_LIMIT_MS = 60_000;
const UNDER = 0.5;
const SAMPLE_EVERY_MS = 250;
/** For idle connections to be closed. */
const SETTLE_MS = 3_000;
const LOOKS = 600;
const LOOK_EVERY_MS = 200;

/** Measures what the relay can take, offers twice as much, then half of it, and counts what became of it. */
export async function playOverload(
  bundle: WorkerBundle,
  row: OverloadRow,
  plan: OverloadPlan,
): Promise<OverloadFigures> {
  return withStage(DATA_DIR, async (stage) => {
    const relay = await startRelay({
      bundle,
      dir: stage.newDir(),
      upstreamUrl: stage.upstreamUrl,
      population: row.population,
    });
    stage.onEnd(() => relay.stop());
    const clients = await startHelper(FLOOD_MAIN);
    stage.onEnd(() => clients.stop());
    return measured(stage, relay, clients, row, plan);
  });
}

async function measured(
  stage: Stage,
  relay: RelayHost,
  clients: Helper,
  { name, ask, connections = CONNECTIONS }: OverloadRow,
  plan: OverloadPlan,
): Promise<OverloadFigures> {
  const admin = await AdminReader.of(relay);
  const asked: Ask = { port: relay.port, callers: relay.callers, ...ask };
  const closed = { kind: "closed", ...asked, connections: CONNECTIONS } as const;
  // A key's first request makes its object.
  const eachOnce = { ...closed, warmMs: 0, forMs: FIRST_USE_LIMIT_MS, callersBy: "turn" } as const;
  await stage.load.run(eachOnce);
  const { answers, tookMicros, wrong } = await stage.load.run({
    ...closed,
    connections,
    warmMs: WARM_MS,
    forMs: plan.capacityMs,
    callersBy: "connection",
  });
  if (wrong.length > 0) throw new Error(wrong.join("; "));
  const measuredPerSecond = (answers / tookMicros) * MICROS_PER_MS * MS_PER_S;
  const capacity = plan.capacityAssumed ?? measuredPerSecond;
  const runtime = sampling(() => relay.workerd.pid, SAMPLE_EVERY_MS);
  stage.onEnd(async () => runtime.stop());
  const filesBefore = runtime.now().files;
  const cpuBefore = cpuMicros(clients.pid);
  const flood = await flooded(clients, {
    ...asked,
    connected: plan.connected,
    mostConnections: plan.mostConnections,
    phases: [
      { name: "before", perSecond: capacity * UNDER, forMs: plan.normalMs },
      { name: "flood", perSecond: capacity * plan.over, forMs: plan.floodMs },
      { name: "after", perSecond: capacity * UNDER, forMs: plan.afterMs },
    ],
  });
  const forMs = plan.normalMs + plan.floodMs + plan.afterMs;
  const generatorCores = (cpuMicros(clients.pid) - cpuBefore) / (forMs * MICROS_PER_MS);
  runtime.stop();
  await sleep(SETTLE_MS);
  const afterwards = await stage.load.run(eachOnce);
  return {
    name,
    capacity,
    flood,
    peakMb: Math.max(...runtime.samples.map(({ mb }) => mb)),
    peakFiles: Math.max(...runtime.samples.map(({ files }) => files)),
    filesBefore,
    filesAfter: runtime.now().files,
    isWell: afterwards.answers === asked.callers.length && afterwards.wrongCount === 0,
    generatorCores,
    kept: await keptSums(stage, relay, admin),
  };
}

async function flooded({ process }: Helper, job: FloodJob): Promise<FloodFigures> {
  process.send(job);
  const [{ figures }] = (await once(process, "message")) as [{ figures: FloodFigures }];
  return figures;
}

interface LedgerSums {
  requests: number;
  outputTokens: number;
  failedRequests: number;
  estimatedRequests: number;
  unsettledRequests: number;
}

/** Waits until the ledger has what the meters have, and compares it with what upstream answered. */
async function keptSums(stage: Stage, relay: RelayHost, admin: AdminReader): Promise<KeptSums> {
  stage.upstream.process.send("How many?");
  const [{ answered }] = (await once(stage.upstream.process, "message")) as [{ answered: number }];
  for (let look = 1; ; look += 1) {
    const meters = await inMeters(relay);
    const ledger = await admin.ledger();
    const isDelivered = meters.open === 0 && meters.requests === ledger.requests;
    if (!isDelivered && look < LOOKS) {
      await sleep(LOOK_EVERY_MS);
      continue;
    }
    return {
      billed: answered,
      inMeters: meters.requests,
      inLedger: ledger.requests,
      tokensOff: ledger.outputTokens - answered * ANSWER_OUTPUT_TOKENS,
      estimated: ledger.estimatedRequests,
      unsettled: ledger.unsettledRequests,
      failed: ledger.failedRequests,
      openLeases: meters.open,
    };
  }
}

async function inMeters({ port, callers }: RelayHost): Promise<{ requests: number; open: number }> {
  const sum = { requests: 0, open: 0 };
  for (const key of new Set(callers.map((caller) => caller.key))) {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/usage`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const { usage } = (await answer.json()) as {
      usage: { total: { requests: number }; inFlight: number };
    };
    sum.requests += usage.total.requests;
    sum.open += usage.inFlight;
  }
  return sum;
}

/** Reads the ledger's sums; the first look already makes the meters deliver soon. */
class AdminReader {
  readonly #url: string;
  readonly #token: string;

  private constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  static async of({ port, admin }: RelayHost): Promise<AdminReader> {
    const url = `http://127.0.0.1:${port}`;
    const reader = new AdminReader(url, await signIn(url, admin));
    await reader.ledger();
    return reader;
  }

  async ledger(): Promise<LedgerSums> {
    const answer = await fetch(`${this.#url}/admin/usage-costs`, {
      headers: { authorization: `Bearer ${this.#token}` },
    });
    const { data } = (await answer.json()) as { data: { total: LedgerSums } };
    return data.total;
  }
}
