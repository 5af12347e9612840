import { randomUUID } from "node:crypto";
import { HOUR_MS } from "../../durable-objects/usage-ledger/schema.ts";
import { MICROS_PER_MS, MS_PER_S } from "../clock.ts";
import type { Population } from "../host/population.ts";
import type { RelayHost } from "../host/relay.ts";
import type { Caller } from "../load/job.ts";
import { checkMetered } from "../measure/metered.ts";
import { WrongAnswer } from "../measure/rounds.ts";
import { median } from "../measure/statistics.ts";
import { PROBED, Probe } from "../objects/probe.ts";
import { LedgerLoad, MeterLoad } from "../objects/requests.ts";
import { roster } from "../objects/roster.ts";
import { JSON_ANSWER_BYTES } from "../upstream/answers.ts";
import { smallRequest } from "./requests.ts";
import type { Bench, Effort, FigureTable, Scenario } from "./scenario.ts";

const MICROS_PER_S = MICROS_PER_MS * MS_PER_S;
const BYTES_PER_KB = 1_000;

const ONE_KEY: Population = { accounts: 4, keys: 1, sessions: 32 };
const CONNECTIONS = [8, 32, 128];
/** Requests a call: alone, as few isolates send them, and as many as one sends at most. */
const REQUESTS_A_CALL = [1, 10, 200];
const METER_REQUESTS = 4_000;
/** Facts a batch: of a quiet key, of one at one request a second, and as many as a meter sends. */
const FACTS_A_BATCH = [1, 15, 250];
const LEDGER_FACTS = 10_000;
const LEDGER_KEYS = 1_000;
const LEDGER_ACCOUNTS = 10;
const ACCOUNTS = 1_000;
const FLEET_CALLS = 400;
/** So many callers at once keep an object from waiting for them. */
const AT_ONCE = 8;

const FLEET = { binding: "FLEET", name: "fleet" } as const;

/** What one object of each kind bears: docs/scale.md goes on from there. */
export default {
  name: "saturation",
  title: "as much as one object bears; caller and object share one core",
  order: 8,
  async run(bench) {
    const relay = await bench.startRelay(ONE_KEY, { wrapper: PROBED });
    try {
      const probe = new Probe(relay);
      const tables = [
        await oneKey(bench, relay, probe),
        await oneMeter(bench, probe),
        await oneFleet(bench, probe),
        await oneLedger(bench, probe),
      ];
      return { loads: [], tables, budgets: [] };
    } finally {
      await relay.stop();
    }
  },
} satisfies Scenario;

/** Messages of one key: what comes while its meter is asked shares the next call. */
async function oneKey(bench: Bench, relay: RelayHost, probe: Probe): Promise<FigureTable> {
  const { port, callers, workerd } = relay;
  const rows: FigureTable["rows"] = [];
  for (const connections of CONNECTIONS) {
    const rounds: number[][] = [];
    while (rounds.length < bench.effort.rounds) {
      rounds.push(await messages(bench, port, callers, connections, probe));
    }
    rows.push({
      name: `${connections} connections`,
      figures: [0, 1, 2, 3].map((column) => median(rounds.map((round) => round[column] ?? 0))),
    });
  }
  const subject = { name: "the relay of one key", pid: workerd.pid, port, callers };
  await checkMetered(subject, bench.load.answered(port));
  return {
    title: "messages of one key",
    columns: ["requests/s", "p50 ms", "p99 ms", "meter calls a request"],
    rows,
  };
}

async function messages(
  { load, effort }: Bench,
  port: number,
  callers: Caller[],
  connections: number,
  probe: Probe,
): Promise<number[]> {
  const before = await probe.exchanged();
  const figures = await load.run({
    kind: "closed",
    port,
    path: "/v1/messages?answer=json",
    body: smallRequest(false),
    callers,
    answerBytes: JSON_ANSWER_BYTES,
    connections,
    warmMs: effort.warmMs,
    forMs: effort.closedMs,
    callersBy: "connection",
  });
  const { calls, admissions } = await probe.exchanged();
  if (figures.wrongCount > 0) throw new WrongAnswer(figures.wrong.join("; "));
  return [
    (figures.answers / figures.tookMicros) * MICROS_PER_S,
    figures.p50Micros / MICROS_PER_MS,
    figures.p99Micros / MICROS_PER_MS,
    (calls - before.calls) / (admissions - before.admissions),
  ];
}

async function oneMeter({ effort }: Bench, probe: Probe): Promise<FigureTable> {
  const rows: FigureTable["rows"] = [];
  for (const requests of REQUESTS_A_CALL) {
    const meter = await MeterLoad.make();
    const name = randomUUID();
    const count = scaled(METER_REQUESTS / requests, effort);
    const { callsPerS, cpuMicrosPerCall } = await probe.rate(effort.rounds, AT_ONCE, () =>
      Array.from({ length: count }, () => ({
        binding: "KEY_METER",
        name,
        method: "exchange",
        args: [meter.next(requests)],
      })),
    );
    await checkSettled(probe, name, meter, requests);
    rows.push({
      name: `${requests} a call`,
      figures: [callsPerS, callsPerS * requests, cpuMicrosPerCall / requests],
    });
  }
  return {
    title: "one KeyMeter: requests let in and settled",
    columns: ["calls/s", "requests/s", "CPU µs/request"],
    rows,
  };
}

async function oneFleet({ effort }: Bench, probe: Probe): Promise<FigureTable> {
  const accounts = roster(scaled(ACCOUNTS, effort));
  const push = (revision: number) =>
    accounts.map((row) => ({ ...FLEET, method: "push", args: [{ ...row, revision }] }));
  const pushes = await probe.rate(effort.rounds, AT_ONCE, (round) => push(round + 2));
  const snapshot = (known: number | null) => ({ ...FLEET, method: "snapshot", args: [known] });
  const whole = await probe.call<{ version: number; rows: string[] }>(snapshot(null));
  const calls = (known: number | null) => () =>
    Array.from({ length: scaled(FLEET_CALLS, effort) }, () => snapshot(known));
  const wholes = await probe.rate(effort.rounds, AT_ONCE, calls(null));
  const knowns = await probe.rate(effort.rounds, AT_ONCE, calls(whole.version));
  const kb = JSON.stringify(whole).length / BYTES_PER_KB;
  return {
    title: `one Fleet with ${whole.rows.length} accounts`,
    columns: ["calls/s", "CPU µs/call", "kB a call"],
    rows: [
      { name: "snapshot, the version is known", rate: knowns, kb: 0 },
      { name: "snapshot, whole", rate: wholes, kb },
      { name: "push of a row", rate: pushes, kb: kb / whole.rows.length },
    ].map(({ name, rate, kb }) => ({
      name,
      figures: [rate.callsPerS, rate.cpuMicrosPerCall, kb],
    })),
  };
}

async function oneLedger({ effort }: Bench, probe: Probe): Promise<FigureTable> {
  const rows: FigureTable["rows"] = [];
  for (const facts of FACTS_A_BATCH) {
    const load = new LedgerLoad(LEDGER_KEYS, LEDGER_ACCOUNTS);
    const name = `saturation-${facts}`;
    const count = scaled(LEDGER_FACTS / facts, effort);
    const { callsPerS, cpuMicrosPerCall } = await probe.rate(effort.rounds, AT_ONCE, () =>
      Array.from({ length: count }, () => ({
        binding: "USAGE_LEDGER",
        name,
        method: "take",
        args: [load.next(facts)],
      })),
    );
    await checkCounted(probe, name, load.facts);
    rows.push({
      name: `batches of ${facts}`,
      figures: [callsPerS, callsPerS * facts, cpuMicrosPerCall / facts],
    });
  }
  return {
    title: "one shard of the UsageLedger",
    columns: ["batches/s", "facts/s", "CPU µs/fact"],
    rows,
  };
}

/** A meter that let less in than it was asked to would only look fast. */
async function checkSettled(
  probe: Probe,
  name: string,
  { policy, requests }: MeterLoad,
  running: number,
): Promise<void> {
  const { total, inFlight } = await probe.call<{ total: { requests: number }; inFlight: number }>({
    binding: "KEY_METER",
    name,
    method: "usage",
    args: [policy],
  });
  if (inFlight !== running || total.requests !== requests - running) {
    throw new WrongAnswer(
      `a meter settled ${total.requests} of ${requests} requests, and ${inFlight} were running`,
    );
  }
}

/** A ledger that took less than it was told would only look fast. */
async function checkCounted(probe: Probe, name: string, facts: number): Promise<void> {
  const [all] = await probe.call<{ sums: { completed: number } }[]>({
    binding: "USAGE_LEDGER",
    name,
    method: "sums",
    args: [
      { fromMs: 0, toMs: Date.now() + HOUR_MS },
      { keyId: null, accountId: null, model: null },
      [],
    ],
  });
  const counted = all?.sums.completed;
  if (counted !== facts) throw new WrongAnswer(`a ledger counted ${counted} of ${facts} facts`);
}

function scaled(count: number, { poolScale }: Effort): number {
  return Math.ceil(count * poolScale);
}
