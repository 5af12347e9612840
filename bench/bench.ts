import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildBundle } from "../scripts/host/bundle.ts";
import { projectDir, relayVersion } from "../scripts/host/project.ts";
import { runMain, Stop } from "../scripts/host/stop.ts";
import { buildReport } from "./measure/build-figures.ts";
import { HELP, type Options, readOptions } from "./options.ts";
import { type Environment, environment } from "./report/environment.ts";
import { budgetLines, scenarioText } from "./report/scenario-text.ts";
import { table } from "./report/table.ts";
import { scenarios } from "./scenarios/registry.ts";
import { RELAY, type Scenario, type ScenarioReport } from "./scenarios/scenario.ts";
import { type Build, withBench } from "./stage.ts";

const RESULTS_DIR = "bench/results";

/** `npm run bench`: measures, prints tables for people, and writes the figures where asked to. */
async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  if (process.platform !== "linux") throw new Stop("The benchmark reads /proc: it needs Linux.");
  const where = environment(options.dataDir);
  console.log(environmentText(where));
  const chosen = await chosenScenarios(options.only);
  const builds: Build[] = [{ name: RELAY, bundle: await buildBundle() }];
  const reports = await speed(options, builds, chosen);
  write(options, { environment: where, effort: options.effortName, scenarios: reports });
  return 0;
}

async function speed(
  { effort, dataDir, only }: Options,
  builds: Build[],
  chosen: Scenario[],
): Promise<ScenarioReport[]> {
  const reports: ScenarioReport[] = [];
  const [newest] = builds;
  if (newest !== undefined && (only === null || only.includes("build"))) {
    reports.push(await buildReport(newest.bundle, effort.startUps, dataDir));
  }
  await withBench(builds, effort, dataDir, async (bench) => {
    for (const scenario of chosen) {
      const { name, title } = scenario;
      const report = { name, title, ...(await scenario.run(bench)) };
      reports.push(report);
      console.log(`\n${scenarioText(report)}`);
    }
  });
  const lines = reports.flatMap(({ name, budgets }) => budgetLines(name, budgets));
  console.log(
    `\n## Budgets\n\n${table([["", "", "", "measured", "budget", "noise"], ...lines], 3)}`,
  );
  return reports;
}

async function chosenScenarios(only: string[] | null): Promise<Scenario[]> {
  const all = await scenarios();
  const known = [...all.map(({ name }) => name), "build"];
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
    writeFileSync(path, json);
    console.log(`\nFigures written to ${path}`);
  }
}

await runMain(main);
