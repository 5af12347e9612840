import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { Stop } from "../scripts/host/stop.ts";
import type { Effort } from "./scenarios/scenario.ts";

const MEMORY_DIR = "/dev/shm";
/** Where objects' data lies unless a flag says otherwise: in memory, so that no disk is measured. */
export const DATA_DIR = existsSync(MEMORY_DIR) ? MEMORY_DIR : tmpdir();

export const HELP = `npm run bench [-- flags]

Measures the relay against a bare pass-through Worker on the same runtime, in turns. Needs Linux.

  --only NAMES      some scenarios, by name, separated by commas
  --quick           a short look, with more noise
  --compare BASE    another commit of this project as well, in the same turns
  --cost            counts what a request costs on the platform, and prices a million; no speed
  --out FILE        writes all figures as JSON
  --save            the same, to bench/results/<version>.json
  --data-dir DIR    where the objects' data lies; default ${MEMORY_DIR} where there is one
  --help            this text

What the figures mean: docs/benchmarks.md`;

const FULL: Effort = {
  rounds: 5,
  warmMs: 500,
  closedMs: 2_000,
  openMs: 2_000,
  streamRounds: 2,
  streamScale: 1,
  poolScale: 1,
  startUps: 9,
  costScale: 1,
  panelAsks: 20,
};
const QUICK: Effort = {
  rounds: 3,
  warmMs: 300,
  closedMs: 1_000,
  openMs: 1_000,
  streamRounds: 1,
  streamScale: 0.25,
  poolScale: 0.2,
  startUps: 5,
  costScale: 0.2,
  panelAsks: 8,
};
/** Shows that everything works; its figures say nothing. */
const SHORTEST: Effort = {
  rounds: 1,
  warmMs: 50,
  closedMs: 150,
  openMs: 150,
  streamRounds: 1,
  streamScale: 0.02,
  poolScale: 0.002,
  startUps: 1,
  costScale: 0.01,
  panelAsks: 2,
};
const EFFORTS = { full: FULL, quick: QUICK, shortest: SHORTEST };

export interface Options {
  help: boolean;
  /** Null: all. */
  only: string[] | null;
  effortName: keyof typeof EFFORTS;
  effort: Effort;
  compare: string | null;
  cost: boolean;
  out: string | null;
  save: boolean;
  dataDir: string;
}

/** @throws Stop where a flag is not known */
export function readOptions(args: string[]): Options {
  try {
    const { values } = parseArgs({
      args,
      options: {
        only: { type: "string" },
        quick: { type: "boolean", default: false },
        shortest: { type: "boolean", default: false },
        compare: { type: "string" },
        cost: { type: "boolean", default: false },
        out: { type: "string" },
        save: { type: "boolean", default: false },
        "data-dir": { type: "string" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    const effortName = values.shortest ? "shortest" : values.quick ? "quick" : "full";
    return {
      help: values.help,
      only: values.only?.split(",").map((name) => name.trim()) ?? null,
      effortName,
      effort: EFFORTS[effortName],
      compare: values.compare ?? null,
      cost: values.cost,
      out: values.out ?? null,
      save: values.save,
      dataDir: values["data-dir"] ?? DATA_DIR,
    };
  } catch (error) {
    throw new Stop(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
  }
}
