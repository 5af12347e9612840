import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ensureBundle } from "../scripts/host/bundle.ts";
import { projectDir, relayVersion } from "../scripts/host/project.ts";
import { runMain, Stop } from "../scripts/host/stop.ts";
import { withBuildOf } from "./compare.ts";
import { costText, reportCost } from "./cost/report.ts";
import { buildReport } from "./measure/build-figures.ts";
import { HELP, type Options, readOptions } from "./options.ts";
import { type Environment, environment } from "./report/environment.ts";
import { budgetLines, scenarioText } from "./report/scenario-text.ts";
import { table } from "./report/table.ts";
import { scenarios } from "./scenarios/registry.ts";
import { BASE, RELAY, type Scenario, type ScenarioReport } from "./scenarios/scenario.ts";
import { type Build, withStage, withSubjects } from "./stage.ts";

const ENDED_BY_SIGNAL = 130;
const BUILD = "build";
const RESULTS_DIR = "bench/results";

/** `npm run bench`: measures, prints tables for people, and writes the figures where asked to. */
async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  if (process.platform !== "linux") throw new Stop("The benchmark reads /proc: it needs Linux.");
  // What runs elsewhere ends with this process, and its folders go.
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => process.exit(ENDED_BY_SIGNAL));
  }
  const chosen = await chosenScenarios(options.only);
  const where = environment(options.dataDir);
  console.log(environmentText(where));
  const newest: Build = { name: RELAY, bundle: await ensureBundle(console.log) };
  const run = { environment: where, effort: options.effortName };
  if (options.cost) {
    const cost = await withStage(options.dataDir, (stage) =>
      reportCost({ ...stage, bundle: newest.bundle }, options.effort.costScale),
    );
    console.log(`\n${costText(cost)}`);
    write(options, { ...run, cost });
  } else if (options.compare === null) {
    write(options, { ...run, scenarios: await speed(options, [newest], chosen) });
  } else {
    const scenarios = await withBuildOf(options.compare, (bundle) =>
      speed(options, [newest, { name: BASE, bundle }], chosen),
    );
    write(options, { ...run, base: options.compare, scenarios });
  }
  return 0;
}

async function speed(
  { effort, dataDir, only }: Options,
  builds: Build[],
  chosen: Scenario[],
): Promise<ScenarioReport[]> {
  const reports: ScenarioReport[] = [];
  const [newest] = builds;
  if (newest !== undefined && (only === null || only.includes(BUILD))) {
    reports.push(await buildReport(newest.bundle, effort.startUps, dataDir));
  }
  await withStage(dataDir, (stage) =>
    withSubjects(stage, builds, effort, async (bench) => {
      for (const scenario of chosen) {
        const { name, title } = scenario;
        const report = { name, title, ...(await scenario.run(bench)) };
        reports.push(report);
        console.log(`\n${scenarioText(report)}`);
      }
    }),
  );
  const lines = reports.flatMap(({ name, budgets }) => budgetLines(name, budgets));
  console.log(
    `\n## Budgets\n\n${table([["", "", "", "measured", "budget", "noise"], ...lines], 3)}`,
  );
  return reports;
}

async function chosenScenarios(only: string[] | null): Promise<Scenario[]> {
  const all = await scenarios();
  const known = [...all.map(({ name }) => name), BUILD];
  const unknown = only?.filter((name) => !known.includes(name)) ?? [];
  if (unknown.length > 0) {
    throw new Stop(`No such scenario: ${unknown.join(", ")}. There are: ${known.join(", ")}.`);
  }
  return all.filter(({ name }) => only === null || only.includes(name));
}

function environmentText(where: Environment): string {
  return [
    `Relay ${where.version}, commit ${where.commit}${where.changed ? " with changes" : ""}`,
    `${where.cores} cores of ${where.cpu}, ${where.memoryGb} GB, Linux ${where.kernel}`,
    `Node.js ${where.node}, workerd ${where.workerd}`,
    `Objects' data in ${where.dataDir}, where a flush takes ${where.flushMs.toFixed(3)} ms`,
  ].join("\n");
}

function write({ out, save }: Options, content: object): void {
  const json = `${JSON.stringify(content, null, 2)}\n`;
  const paths = [
    ...(out === null ? [] : [out]),
    ...(save ? [join(projectDir, RESULTS_DIR, `${relayVersion()}.json`)] : []),
  ];
  for (const path of paths) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, json);
    console.log(`\nFigures written to ${path}`);
  }
}

await runMain(main);
