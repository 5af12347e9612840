import type { Job } from "../load/job.ts";
import { alternate, type LoadReport } from "../measure/rounds.ts";
import { ratio, roundsOf } from "../measure/statistics.ts";
import { smallRequest } from "./requests.ts";
import { type Bench, type Budget, RELAY, type Scenario, type Subject } from "./scenario.ts";

interface PacedLoad {
  streams: number;
  everyMs: number;
  forMs: number;
  beginOverMs: number;
}

/** More events a second than these saturate the floor itself on two cores. */
const FAST: PacedLoad = { streams: 200, everyMs: 20, forMs: 10_000, beginOverMs: 4_000 };
const MANY: PacedLoad = { streams: 1_000, everyMs: 100, forMs: 20_000, beginOverMs: 15_000 };

export default {
  name: "paced",
  title: "2 KB asked, streams whose events come one by one",
  order: 4,
  async run(bench) {
    const { direct, floor, relays } = bench;
    const fast = await paced(bench, FAST, [direct, floor, ...relays]);
    const many = await paced(bench, MANY, [floor, ...relays]);
    return { loads: [fast, many], budgets: [fast, many].flatMap(budgetsOf) };
  },
} satisfies Scenario;

function paced({ load, effort }: Bench, full: PacedLoad, subjects: Subject[]): Promise<LoadReport> {
  const scaled = (value: number) => Math.ceil(value * effort.streamScale);
  const streams = scaled(full.streams);
  const beginOverMs = scaled(full.beginOverMs);
  const eventsEach = Math.floor(scaled(full.forMs) / full.everyMs);
  const name = `${streams} streams, an event each ${full.everyMs} ms`;
  return alternate(
    load,
    name,
    subjects,
    effort.streamRounds,
    ({ port, callers }): Job => ({
      kind: "streams",
      port,
      path: `/v1/messages?answer=paced&every=${full.everyMs}&events=${eventsEach}`,
      body: smallRequest(true),
      callers,
      answerBytes: null,
      streams,
      beginOverMs,
      eventsEach,
    }),
  );
}

function budgetsOf(report: LoadReport): Budget[] {
  const unit = "";
  return [
    {
      // A stream that broke off would have ended the run.
      what: `${report.load}: streams whole`,
      is: "at least",
      limit: 1,
      figure: roundsOf(report, RELAY, "p50Ms").length > 0 ? 1 : null,
      spread: null,
      unit,
    },
    {
      what: `${report.load}: CPU per stream to the floor's`,
      is: "at most",
      limit: 1.6,
      unit,
      ...ratio(report, RELAY, "floor", "cpuMicrosPerRequest"),
    },
    {
      what: `${report.load}: delay per event p50 to the floor's`,
      is: "at most",
      limit: 1.5,
      unit,
      ...ratio(report, RELAY, "floor", "eventDelayP50Ms"),
    },
    {
      what: `${report.load}: delay per event p99 to the floor's`,
      is: "at most",
      limit: 2,
      unit,
      ...ratio(report, RELAY, "floor", "eventDelayP99Ms"),
    },
  ];
}
