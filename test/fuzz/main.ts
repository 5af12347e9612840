import { table } from "../../bench/report/table.ts";
import { runMain } from "../../scripts/host/stop.ts";
import { ADMIN_TARGETS } from "./admin-api.ts";
import { CLIENT_TARGETS } from "./client-api.ts";
import { PROXY_TARGETS } from "./proxies.ts";
import { READER_TARGETS } from "./readers.ts";
import { Stage } from "./stage.ts";
import { type Bounds, type Figures, fuzz } from "./target.ts";

const SECONDS = Number(process.env.FUZZ_SECONDS ?? 240);
const RUNS = process.env.FUZZ_RUNS;
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

/** `npm run fuzz [-- FILTER]`: hostile input for every door, until the time is over. */
async function main(): Promise<number> {
  const [filter = ""] = process.argv.slice(2);
  const parts = [...READER_TARGETS, ...PROXY_TARGETS].filter(({ name }) => name.includes(filter));
  const doors = [...CLIENT_TARGETS, ...ADMIN_TARGETS].filter(({ name }) => name.includes(filter));
  const count = parts.length + doors.length;
  if (count === 0) {
    console.error(`No target has "${filter}" in its name.`);
    return 1;
  }
  console.log(`Seed ${SEED}: FUZZ_SEED=${SEED} sends the same input again.\n`);
  const bounds: Bounds = {
    seed: SEED,
    ...(RUNS === undefined ? { forMs: (SECONDS * 1_000) / count } : { runs: Number(RUNS) }),
  };
  const figures: Figures[] = [];
  const note = (one: Figures) => {
    console.log(`${one.target}: ${one.runs} runs, ${one.finding === null ? "well" : "FOUND"}`);
    figures.push(one);
  };
  for (const target of parts) note(await fuzz(target, undefined, bounds));
  if (doors.length > 0) {
    const stage = await Stage.open();
    try {
      for (const target of doors) note(await fuzz(target, stage, bounds));
    } finally {
      await stage.close();
    }
  }
  console.log(`\n${figuresText(figures)}`);
  return figures.every(({ finding }) => finding === null) ? 0 : 1;
}

function figuresText(figures: readonly Figures[]): string {
  const rows = figures.map(({ target, runs, finding }) => [
    target,
    String(runs),
    finding === null ? "0" : "1",
  ]);
  const found = figures.flatMap(({ target, finding }) =>
    finding === null ? [] : ["", `${target}: ${finding}`],
  );
  return [table([["target", "runs", "findings"], ...rows]), ...found].join("\n");
}

await runMain(main);
