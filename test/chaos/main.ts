import { table } from "../../bench/report/table.ts";
import { ensureBundle } from "../../scripts/host/bundle.ts";
import { runMain } from "../../scripts/host/stop.ts";
import type { Kept } from "./conservation.ts";
import type { Sight } from "./load.ts";
import { OVERLOAD_PLAN, OVERLOAD_ROWS, type OverloadFigures, playOverload } from "./overload.ts";
import { isHonest, overloadText } from "./overload-report.ts";
import { FAULT_GROUPS } from "./rows/index.ts";
import type { RowFigures } from "./run.ts";

const FAULT_MS = Number(process.env.CHAOS_FAULT_MS ?? 5_000);
const SIGHTS: readonly Sight[] = [
  "whole",
  "refused",
  "told",
  "broken",
  "left",
  "hung",
  "dishonest",
];
const NONE = "–";
/** Of what is not allowed, so many are shown of each row. */
const EXAMPLES = 5;

/**
 * `npm run chaos [-- FILTER]`: each fault under load, and more load than the relay can take: what
 * clients saw, what was lost, how it recovered.
 */
async function main(): Promise<number> {
  const [filter = ""] = process.argv.slice(2);
  const isWanted = (name: string) => name.includes(filter);
  const overloads = OVERLOAD_ROWS.filter(({ name }) => isWanted(name));
  const areFaults = FAULT_GROUPS.some(({ names }) => names.some(isWanted));
  if (!areFaults && overloads.length === 0) {
    console.error(`No fault has "${filter}" in its name.`);
    return 1;
  }
  const areFaultsGood = !areFaults || (await playFaults(isWanted));
  const areOverloadsGood = overloads.length === 0 || (await playOverloads(overloads));
  return areFaultsGood && areOverloadsGood ? 0 : 1;
}

async function playFaults(isWanted: (name: string) => boolean): Promise<boolean> {
  const figures: RowFigures[] = [];
  const ledger: Kept[] = [];
  for (const group of FAULT_GROUPS) {
    const names = group.names.filter(isWanted);
    if (names.length === 0) continue;
    const reason = group.whyNot();
    if (reason !== null) {
      console.log(`Left out: ${names.join(", ")}. ${reason}`);
      continue;
    }
    const played = await group.play(names, FAULT_MS, (name) => console.log(`${name} ...`));
    figures.push(...played.figures);
    ledger.push(...played.ledger);
  }
  console.log(`\n${figuresText(figures, ledger)}`);
  return isGood(figures, ledger);
}

async function playOverloads(rows: typeof OVERLOAD_ROWS): Promise<boolean> {
  if (process.platform !== "linux") {
    console.log("Overload is left out: it reads /proc, and needs Linux.");
    return true;
  }
  const bundle = await ensureBundle(console.log);
  const figures: OverloadFigures[] = [];
  for (const row of rows) {
    console.log(`${row.name} ...`);
    figures.push(await playOverload(bundle, row, OVERLOAD_PLAN));
  }
  console.log(`\n${overloadText(figures, OVERLOAD_PLAN.floodMs)}`);
  return figures.every(isHonest);
}

function figuresText(figures: readonly RowFigures[], ledger: readonly Kept[]): string {
  const lines = figures.map(({ name, seen, admin, recoveredAfterMs }) => {
    const of = (sight: Sight) => seen.filter((one) => one.sight === sight).length;
    const row = ledger.find((each) => each.row === name);
    return [
      name,
      String(seen.length),
      ...SIGHTS.map((sight) => String(of(sight) || NONE)),
      String(admin?.done ?? NONE),
      String(admin?.refused ?? NONE),
      recoveredAfterMs === null ? "not" : (recoveredAfterMs / 1_000).toFixed(1),
      String(row?.estimated || NONE),
      String(row?.unsettled || NONE),
      String(row?.wrong ?? NONE),
      String(row?.lost ?? NONE),
    ];
  });
  const head = ["fault", "requests", ...SIGHTS, "acts", "acts refused", "well after s"];
  const wrong = figures.flatMap(({ name, wrong: seen, problems }) =>
    [...seen.map((one) => `${one.sight} ${one.status} ${one.excerpt}`), ...problems]
      .slice(0, EXAMPLES)
      .map((words) => `${name}: ${words}`),
  );
  return [
    table([[...head, "estimated", "unsettled", "wrong", "lost"], ...lines]),
    ...(wrong.length === 0 ? [] : ["", "Not allowed:", ...wrong]),
  ].join("\n");
}

function isGood(figures: readonly RowFigures[], ledger: readonly Kept[]): boolean {
  return (
    figures.every(
      ({ wrong, problems, recoveredAfterMs }) =>
        wrong.length === 0 && problems.length === 0 && recoveredAfterMs !== null,
    ) && ledger.every(({ lost, wrong }) => lost === 0 && wrong === 0)
  );
}

await runMain(main);
