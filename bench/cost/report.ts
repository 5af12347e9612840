import { budgetLines } from "../report/scenario-text.ts";
import { shown, table } from "../report/table.ts";
import type { Budget } from "../scenarios/scenario.ts";
import { COST_LOADS, type CostLoad } from "./loads.ts";
import { awakeDuringStreams, type CostStage, measureCost } from "./measure.ts";
import { PRICES_AS_OF } from "./prices.ts";
import { objectTotal, pricePerMillion, type Usage } from "./usage.ts";

const OBJECT_REQUESTS_MAX = 2.5;
const ROWS_WRITTEN_MAX = 4;
const KV_READS_MAX = 0.1;
/** Less than this part of a stream's time is its beginning and its end. */
const AWAKE_MAX = 0.05;
/** On the machine's clock; in less there might be no request at all. */
const MIN_WINDOW_S = 0.5;

export interface CostReport {
  pricesAsOf: string;
  loads: { load: CostLoad; usage: Usage; dollarsPerMillion: Record<string, number> }[];
  budgets: Budget[];
}

/** Counts what a relayed request uses, under three loads, and prices a million of them. */
export async function reportCost(stage: CostStage, timeScale: number): Promise<CostReport> {
  const awake = await awakeDuringStreams(stage, timeScale);
  const loads: CostReport["loads"] = [];
  for (const each of COST_LOADS) {
    const load: CostLoad = {
      ...each,
      warmS: each.warmS * timeScale,
      windowS: Math.max(each.windowS * timeScale, MIN_WINDOW_S * each.clockScale),
    };
    const usage = await measureCost(stage, load);
    const parts = pricePerMillion(usage);
    const total = parts.reduce((sum, { dollars }) => sum + dollars, 0);
    const dollarsPerMillion = Object.fromEntries(parts.map(({ part, dollars }) => [part, dollars]));
    loads.push({ load, usage, dollarsPerMillion: { ...dollarsPerMillion, total } });
  }
  const budgets = [
    ...loads.flatMap(({ load, usage }) => budgetsOf(load.name, usage)),
    line("time that a stream keeps an object awake, as a part", AWAKE_MAX, awake),
  ];
  return { pricesAsOf: PRICES_AS_OF, loads, budgets };
}

export function costText({ pricesAsOf, loads, budgets }: CostReport): string {
  const names = loads.map(({ load }) => load.name);
  const rows = (figure: (usage: Usage) => number | undefined) =>
    loads.map(({ usage }) => shown(figure(usage) ?? 0));
  const classes = Object.keys(loads[0]?.usage.objects ?? {});
  const used = table([
    ["used per request", ...names],
    ["Worker requests", ...rows(({ workerRequests }) => workerRequests)],
    ["CPU ms, Worker and objects together", ...rows(({ workerCpuMs }) => workerCpuMs)],
    ["KV reads", ...rows(({ kvReads }) => kvReads)],
    ["KV writes", ...rows(({ kvWrites }) => kvWrites)],
    ...classes.flatMap((name) => [
      [`${name}: requests`, ...rows(({ objects }) => objects[name]?.requests)],
      [`${name}: rows read`, ...rows(({ objects }) => objects[name]?.rowsRead)],
      [`${name}: rows written`, ...rows(({ objects }) => objects[name]?.rowsWritten)],
      [`${name}: active ms`, ...rows(({ objects }) => objects[name]?.activeMs)],
    ]),
  ]);
  const parts = Object.keys(loads[0]?.dollarsPerMillion ?? {});
  const priced = table([
    [`dollars per million, ${pricesAsOf}`, ...names],
    ...parts.map((part) => [
      part,
      ...loads.map(({ dollarsPerMillion }) => (dollarsPerMillion[part] ?? 0).toFixed(2)),
    ]),
  ]);
  const lines = table(
    [["", "", "", "measured", "budget", "noise"], ...budgetLines("cost", budgets)],
    3,
  );
  return `## cost\n\n${used}\n\n${priced}\n\n## Budgets\n\n${lines}`;
}

function budgetsOf(load: string, usage: Usage): Budget[] {
  const total = objectTotal(usage);
  return [
    line(`${load}: Durable Object requests`, OBJECT_REQUESTS_MAX, total.requests),
    line(`${load}: rows written`, ROWS_WRITTEN_MAX, total.rowsWritten),
    line(`${load}: KV reads`, KV_READS_MAX, usage.kvReads),
  ];
}

function line(what: string, limit: number, figure: number): Budget {
  return { what, is: "at most", limit, figure, unit: "", spread: null };
}
