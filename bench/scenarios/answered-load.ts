import type { Ask } from "../load/job.ts";
import { alternate } from "../measure/rounds.ts";
import { addedRatio, ratio } from "../measure/statistics.ts";
import type { AnswerKind } from "../upstream/answers.ts";
import { type Bench, type Budget, RELAY, type ScenarioReport, type Subject } from "./scenario.ts";

const CONNECTIONS = 32;
const PER_SECOND = 50;

export interface AnsweredLoad {
  answer: AnswerKind;
  body: string;
  answerBytes: number | null;
  budgets: { requestsPerS: number; cpu: number; added: number };
}

/** The two loads of a scenario in which each answer comes at once: as much as goes, and 50/s. */
export async function answeredLoad(
  { load, effort, direct, floor, relays }: Bench,
  { answer, body, answerBytes, budgets }: AnsweredLoad,
): Promise<Pick<ScenarioReport, "loads" | "budgets">> {
  const { rounds, warmMs } = effort;
  const ask = ({ port, callers }: Subject): Ask => ({
    port,
    path: `/v1/messages?answer=${answer}`,
    body,
    callers,
    answerBytes,
  });
  const closed = await alternate(
    load,
    `closed, ${CONNECTIONS} connections`,
    [direct, floor, ...relays],
    rounds,
    (subject) => ({
      kind: "closed",
      ...ask(subject),
      connections: CONNECTIONS,
      warmMs,
      forMs: effort.closedMs,
      callersBy: "connection",
    }),
  );
  const open = await alternate(
    load,
    `open, ${PER_SECOND}/s`,
    [direct, floor, ...relays],
    rounds,
    (subject) => ({
      kind: "open",
      ...ask(subject),
      perSecond: PER_SECOND,
      warmMs,
      forMs: effort.openMs,
    }),
  );
  const lines: Budget[] = [
    {
      what: "requests/s to the floor's",
      is: "at least",
      limit: budgets.requestsPerS,
      unit: "",
      ...ratio(closed, RELAY, floor.name, "requestsPerS"),
    },
    {
      what: "CPU per request to the floor's",
      is: "at most",
      limit: budgets.cpu,
      unit: "",
      ...ratio(closed, RELAY, floor.name, "cpuMicrosPerRequest"),
    },
    {
      what: `added latency p50 at ${PER_SECOND}/s to the floor's`,
      is: "at most",
      limit: budgets.added,
      unit: "",
      ...addedRatio(open, RELAY, floor.name),
    },
  ];
  return { loads: [closed, open], budgets: lines };
}
