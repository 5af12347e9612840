import { table } from "../../bench/report/table.ts";
import { ensureBundle } from "../../scripts/host/bundle.ts";
import { runMain } from "../../scripts/host/stop.ts";
import { type Kept, kept } from "./conservation.ts";
import type { Sight } from "./load.ts";
import { OVERLOAD_PLAN, OVERLOAD_ROWS, type OverloadFigures, playOverload } from "./overload.ts";
import { isHonest, overloadText } from "./overload-report.ts";
import { FAULT_ROWS, type FaultRow } from "./rows.ts";
import { play, type RowFigures } from "./run.ts";
import { Stage } from "./stage.ts";

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

/**
 * `npm run chaos [-- FILTER]`: each fault under load, and more load than the relay can take: what
 * clients saw, what was lost, how it recovered.
 */
async function main(): Promise<number> {
  const [filter = ""] = process.argv.slice(2);
  const rows = FAULT_ROWS.filter(({ name }) => name.includes(filter));
  const overloads = OVERLOAD_ROWS.filter(({ name }) => name.includes(filter));
  if (rows.length === 0 && overloads.length === 0) {
    console.error(`No fault has "${filter}" in its name.`);
    return 1;
  }
  const areFaultsGood = rows.length === 0 || (await playFaults(rows));
  const areOverloadsGood = overloads.length === 0 || (await playOverloads(overloads));
  return areFaultsGood && areOverloadsGood ? 0 : 1;
}

async function playFaults(rows: readonly FaultRow[]): Promise<boolean> {
  const stage = await Stage.open();
  try {
    const figures: RowFigures[] = [];
    for (const row of rows) {
      console.log(`${row.name} ...`);
      figures.push(await play(stage, row, FAULT_MS));
    }
    console.log("Comparing the ledger with what upstream billed ...\n");
    const ledger = await kept(
      stage,
      figures.flatMap(({ seen }) => seen),
    );
    console.log(figuresText(figures, ledger));
    return isGood(figures, ledger);
  } finally {
    await stage.close();
  }
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
  const lines = figures.map(({ name, seen, recoveredAfterMs }) => {
    const of = (sight: Sight) => seen.filter((one) => one.sight === sight).length;
    const row = ledger.find((each) => each.row === name);
    return [
      name,
      String(seen.length),
      ...SIGHTS.map((sight) => String(of(sight) || NONE)),
      recoveredAfterMs === null ? "not" : (recoveredAfterMs / 1_000).toFixed(1),
      String(row?.estimated || NONE),
      String(row?.unsettled || NONE),
      String(row?.wrong ?? NONE),
      String(row?.lost ?? NONE),
    ];
  });
  const head = ["fault", "requests", ...SIGHTS, "well after s"];
  const wrong = figures.flatMap((row) =>
    row.wrong.slice(0, 3).map((one) => `${row.name}: ${one.sight} ${one.status} ${one.excerpt}`),
  );
  return [
    table([[...head, "estimated", "unsettled", "wrong", "lost"], ...lines]),
    ...(wrong.length === 0 ? [] : ["", "Not allowed:", ...wrong]),
  ].join("\n");
}

function isGood(figures: readonly RowFigures[], ledger: readonly Kept[]): boolean {
  return (
    figures.every(
      ({ wrong, recoveredAfterMs }) => wrong.length === 0 && recoveredAfterMs !== null,
    ) && ledger.every(({ lost, wrong }) => lost === 0 && wrong === 0)
  );
}

await runMain(main);
