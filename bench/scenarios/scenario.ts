import type { LoadGenerator } from "../host/load-generator.ts";
import type { Population } from "../host/population.ts";
import type { Furnishing, RelayHost } from "../host/relay.ts";
import type { Caller } from "../load/job.ts";
import type { LoadReport } from "../measure/rounds.ts";

/** One of those that are measured side by side. */
export interface Subject {
  /** `direct` is the fake upstream itself, `floor` the bare pass-through, `relay` this project. */
  name: string;
  pid: number;
  port: number;
  callers: Caller[];
}

/** The name of the subject that budgets are about. */
export const RELAY = "relay";
/** The older commit where two are compared. */
export const BASE = "base";

/** How long things are measured. */
export interface Effort {
  rounds: number;
  warmMs: number;
  closedMs: number;
  openMs: number;
  streamRounds: number;
  /** Part of the streams' number and length; 1: as they are meant. */
  streamScale: number;
  /** Part of the pool's accounts and keys. */
  poolScale: number;
  startUps: number;
  /** Part of the times for which costs are counted. */
  costScale: number;
  /** How often the panel asks each of its questions. */
  panelAsks: number;
}

/** What a scenario works with. */
export interface Bench {
  load: LoadGenerator;
  effort: Effort;
  direct: Subject;
  floor: Subject;
  /** The relay, and where two commits are compared the older one as `base`. */
  relays: Subject[];
  /** Starts another relay of the same build, with other accounts and keys. */
  startRelay(population: Population, further?: Furnishing): Promise<RelayHost>;
}

/** A figure that must not be passed. */
export interface Budget {
  what: string;
  limit: number;
  /** Whether the figure must reach the limit or stay below it. */
  is: "at least" | "at most";
  /** Null where it could not be measured. */
  figure: number | null;
  unit: string;
  /** Spread of the figure over the rounds, as a part of it; null where there is one measurement. */
  spread: number | null;
}

/** Figures that are not those of a load, such as what one object bears. */
export interface FigureTable {
  title: string;
  columns: string[];
  rows: { name: string; figures: number[] }[];
}

export interface ScenarioReport {
  name: string;
  title: string;
  loads: LoadReport[];
  tables?: FigureTable[];
  budgets: Budget[];
}

/** A file in this folder with such a default export is a scenario of the benchmark. */
export interface Scenario {
  name: string;
  title: string;
  /** Place in the run, from small to large. */
  order: number;
  run(bench: Bench): Promise<Omit<ScenarioReport, "name" | "title">>;
}
