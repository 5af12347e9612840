import type { FigureName, LoadReport } from "../measure/rounds.ts";
import { median, ratio, roundsOf, spread } from "../measure/statistics.ts";
import {
  BASE,
  type Budget,
  type FigureTable,
  RELAY,
  type ScenarioReport,
} from "../scenarios/scenario.ts";
import { percent, shown, table } from "./table.ts";

const COLUMNS: { title: string; figure: FigureName }[] = [
  { title: "requests/s", figure: "requestsPerS" },
  { title: "p50 ms", figure: "p50Ms" },
  { title: "p99 ms", figure: "p99Ms" },
  { title: "CPU µs/request", figure: "cpuMicrosPerRequest" },
  { title: "peak MB", figure: "peakMemoryMb" },
  { title: "event p50 ms", figure: "eventDelayP50Ms" },
  { title: "event p99 ms", figure: "eventDelayP99Ms" },
];

/** A scenario as tables for people, medians over the rounds. */
export function scenarioText({ name, title, loads, tables = [] }: ScenarioReport): string {
  const compared = loads.flatMap(comparisonText);
  return [
    `## ${name}: ${title}`,
    ...loads.map(loadText),
    ...compared,
    ...tables.map(tableText),
  ].join("\n\n");
}

/** The relay against the older commit; nothing where there is none. */
function comparisonText(report: LoadReport): string[] {
  if (roundsOf(report, BASE, "p50Ms").length === 0) return [];
  const rows = COLUMNS.flatMap(({ title, figure }) => {
    const compared = ratio(report, RELAY, BASE, figure);
    return compared.figure === null
      ? []
      : [[title, shown(compared.figure), percent(compared.spread)]];
  });
  return [table([[`${report.load}: relay to base`, "ratio", "noise"], ...rows])];
}

function loadText(report: LoadReport): string {
  const measured = COLUMNS.filter(({ figure }) =>
    report.subjects.some(({ subject }) => roundsOf(report, subject, figure).length > 0),
  );
  const direct = medianOf(report, "direct", "p50Ms");
  const rows = report.subjects.map(({ subject }) => {
    const own = medianOf(report, subject, "p50Ms");
    const added = direct === null || own === null || subject === "direct" ? null : own - direct;
    return [
      subject,
      ...measured.map(({ figure }) => shown(medianOf(report, subject, figure))),
      shown(added),
      percent(spread(roundsOf(report, subject, "p50Ms"))),
      shown(medianOf(report, subject, "generatorCores")),
    ];
  });
  const titles = [
    report.load,
    ...measured.map(({ title }) => title),
    "added p50 ms",
    "noise",
    "generator cores",
  ];
  return table([titles, ...rows]);
}

function tableText({ title, columns, rows }: FigureTable): string {
  return table([
    [title, ...columns],
    ...rows.map(({ name, figures }) => [name, ...figures.map(shown)]),
  ]);
}

function medianOf(report: LoadReport, subject: string, figure: FigureName): number | null {
  const rounds = roundsOf(report, subject, figure);
  return rounds.length === 0 ? null : median(rounds);
}

export function isMet({ figure, limit, is }: Budget): boolean {
  if (figure === null || !Number.isFinite(figure)) return false;
  return is === "at least" ? figure >= limit : figure <= limit;
}

/** A line per budget: met or not. */
export function budgetLines(scenario: string, budgets: Budget[]): string[][] {
  return budgets.map((budget) => [
    isMet(budget) ? "met" : "NOT MET",
    scenario,
    budget.what,
    `${shown(budget.figure)} ${budget.unit}`.trim(),
    `${budget.is} ${budget.limit} ${budget.unit}`.trim(),
    percent(budget.spread),
  ]);
}
