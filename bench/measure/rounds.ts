import { Stop } from "../../scripts/host/stop.ts";
import { MICROS_PER_MS } from "../clock.ts";
import type { LoadGenerator } from "../host/load-generator.ts";
import type { Job, LoadFigures } from "../load/job.ts";
import type { Subject } from "../scenarios/scenario.ts";
import { cpuMicros, peakMemoryBytes, resetPeakMemory } from "./process-figures.ts";

const MICROS_PER_S = 1_000_000;
const BYTES_PER_MB = 1_000_000;

/** What is measured in each round. */
export interface Figures {
  requestsPerS: number;
  p50Ms: number;
  p99Ms: number;
  cpuMicrosPerRequest: number;
  peakMemoryMb: number;
  eventDelayP50Ms: number | null;
  eventDelayP99Ms: number | null;
  /** CPU that load generator and fake upstream used, in cores: near 1 they are what is measured. */
  generatorCores: number;
}

export type FigureName = keyof Figures;

export interface SubjectRounds {
  subject: string;
  rounds: Figures[];
}

export interface LoadReport {
  load: string;
  subjects: SubjectRounds[];
}

/** An answer was wrong: what was measured says nothing. */
export class WrongAnswer extends Stop {
  override name = "WrongAnswer";
}

/**
 * Puts the same load on each subject in turn, several times over. They take turns so that whatever
 * else the machine does hits all of them; every other round goes backwards, so that none is always first.
 */
export async function alternate(
  load: LoadGenerator,
  name: string,
  subjects: Subject[],
  rounds: number,
  jobFor: (subject: Subject) => Job,
): Promise<LoadReport> {
  const measured = subjects.map(
    (subject): SubjectRounds => ({ subject: subject.name, rounds: [] }),
  );
  for (let round = 0; round < rounds; round += 1) {
    const order = subjects.map((_, index) => index);
    if (round % 2 === 1) order.reverse();
    for (const index of order) {
      const subject = subjects[index];
      if (subject === undefined) continue;
      measured[index]?.rounds.push(await measure(load, name, subject, jobFor(subject)));
    }
  }
  return { load: name, subjects: measured };
}

async function measure(
  load: LoadGenerator,
  name: string,
  subject: Subject,
  job: Job,
): Promise<Figures> {
  resetPeakMemory(subject.pid);
  let cpuBefore = 0;
  let generatorBefore = 0;
  const result = await load.run(job, () => {
    cpuBefore = cpuMicros(subject.pid);
    generatorBefore = cpuMicros(load.pid);
  });
  const cpu = cpuMicros(subject.pid) - cpuBefore;
  const generator = cpuMicros(load.pid) - generatorBefore;
  refuseWrong(name, subject, result);
  return {
    requestsPerS: (result.answers / result.tookMicros) * MICROS_PER_S,
    p50Ms: result.p50Micros / MICROS_PER_MS,
    p99Ms: result.p99Micros / MICROS_PER_MS,
    cpuMicrosPerRequest: cpu / result.answers,
    peakMemoryMb: peakMemoryBytes(subject.pid) / BYTES_PER_MB,
    eventDelayP50Ms: msOf(result.eventDelayP50Micros),
    eventDelayP99Ms: msOf(result.eventDelayP99Micros),
    generatorCores: generator / result.tookMicros,
  };
}

function refuseWrong(name: string, subject: Subject, result: LoadFigures): void {
  const { wrong, wrongCount, answers } = result;
  if (wrongCount > 0) {
    throw new WrongAnswer(
      `${subject.name}, ${name}: ${wrongCount} wrong answers beside ${answers} right ones: ${wrong.join("; ")}`,
    );
  }
  if (answers === 0) throw new WrongAnswer(`${subject.name}, ${name}: no answer came in time`);
}

function msOf(micros: number | null): number | null {
  return micros === null ? null : micros / MICROS_PER_MS;
}
