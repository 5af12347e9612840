import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { MICROS_PER_MS, MS_PER_S, machineMicros } from "../../../bench/clock.ts";
import { type Answer, Connection } from "../../../bench/load/connection.ts";
import { requestBytes } from "../../../bench/load/request-bytes.ts";
import { Samples } from "../../../bench/load/samples.ts";
import type { FloodFigures, FloodJob, Phase, PhaseFigures } from "./job.ts";
import { isWhole, refusalFault } from "./judge.ts";

type Fate = "keptOff" | "served" | "refused" | "broken" | "hung" | "dishonest";

interface Asked {
  phase: number;
  dueAt: number;
  endedAt: number;
  fate: Fate;
}

/** After so many requests in one go the answers that came meanwhile are read. */
const SENT_IN_A_TURN = 32;
const CONNECTED_IN_A_TURN = 20;
const CONNECT_PAUSE_MS = 20;
const LOOK_EVERY_MS = 250;
/** Of the first phase's slowest answers; less than this is chance. */
const NORMAL_WITHIN = 2;
const NORMAL_LEAST_MS = 25;
const MAX_EXAMPLES = 6;
const NO_ANSWER = "no answer came";

/** Offers each phase's requests at their times. The first one is what normal is, the second one the flood. */
export async function runFlood(job: FloodJob): Promise<FloodFigures> {
  const requests = job.callers.map((caller) => requestBytes(job, caller));
  const idle: Connection[] = [];
  const all: Asked[] = [];
  const running = new Set<Promise<void>>();
  const late = new Samples();
  const examples = new Set<string>();
  let connections = job.connected;
  let open = job.connected;

  const ask = async (asked: Asked, request: Buffer): Promise<void> => {
    let connection = idle.pop();
    while (connection?.isOpen === false) {
      open -= 1;
      connection = idle.pop();
    }
    if (connection === undefined) {
      if (open >= job.mostConnections) {
        asked.fate = "keptOff";
        return;
      }
      connection = new Connection(job.port);
      connections += 1;
      open += 1;
    }
    try {
      const answer = await connection.ask(request);
      asked.endedAt = machineMicros();
      const fault = faultOf(answer, job.answerBytes);
      asked.fate = fault === null ? fateOf(answer) : "dishonest";
      if (asked.fate !== "served" && examples.size < MAX_EXAMPLES) {
        examples.add(fault ?? withoutIds(answer));
      }
      idle.push(connection);
    } catch (error) {
      connection.close();
      open -= 1;
      const words = error instanceof Error ? error.message : "it failed";
      asked.fate = words === NO_ANSWER ? "hung" : "broken";
      if (examples.size < MAX_EXAMPLES) examples.add(words);
    }
  };

  for (let nth = 0; nth < job.connected; nth += 1) {
    idle.push(new Connection(job.port));
    if (nth % CONNECTED_IN_A_TURN === 0) await sleep(CONNECT_PAUSE_MS);
  }
  let startsAt = machineMicros();
  for (const [phase, { perSecond, forMs }] of job.phases.entries()) {
    const everyMicros = (MS_PER_S / perSecond) * MICROS_PER_MS;
    const total = Math.floor((forMs * perSecond) / MS_PER_S);
    for (let nth = 0; nth < total; ) {
      const nowAt = machineMicros();
      for (let inTurn = 0; nth < total && inTurn < SENT_IN_A_TURN; inTurn += 1) {
        const dueAt = startsAt + nth * everyMicros;
        if (dueAt > nowAt) break;
        const request = requests[all.length % requests.length];
        if (request === undefined) throw new Error("nobody asks");
        const asked: Asked = { phase, dueAt, endedAt: 0, fate: "broken" };
        all.push(asked);
        late.add(nowAt - dueAt);
        const done = ask(asked, request).finally(() => running.delete(done));
        running.add(done);
        nth += 1;
      }
      const isBehind = startsAt + nth * everyMicros <= nowAt;
      await (isBehind ? turn() : sleep(1));
    }
    startsAt += forMs * MICROS_PER_MS;
  }
  await Promise.all(running);
  for (const connection of idle) connection.close();
  return {
    phases: job.phases.map((phase, index) =>
      figuresOf(
        phase,
        all.filter((asked) => asked.phase === index),
      ),
    ),
    normalAfterMs: normalAfter(all),
    lateP99Ms: late.quantile(0.99) / MICROS_PER_MS,
    connections,
    examples: [...examples],
  };
}

function fateOf({ status }: Answer): Fate {
  return status === "200" ? "served" : "refused";
}

function faultOf(answer: Answer, answerBytes: number | null): string | null {
  if (answer.status === "200") {
    return isWhole(answer, answerBytes) ? null : `200, and not whole: …${answer.tail}`;
  }
  return refusalFault(answer);
}

/** So that all of one kind are one. */
function withoutIds({ status, head, tail }: Answer): string {
  const after = /\r\nretry-after: *(\d+)/i.exec(head)?.[1];
  return `${status}, retry-after ${after}: ${tail.replace(/"rly_\w+"/, '"rly_…"')}`;
}

function figuresOf({ name, forMs }: Phase, asked: readonly Asked[]): PhaseFigures {
  const count = (fate: Fate) => asked.filter((one) => one.fate === fate).length;
  const served = timesOf(asked, "served");
  const endsAt = (asked[0]?.dueAt ?? 0) + forMs * MICROS_PER_MS;
  const inTime = asked.filter((one) => one.fate === "served" && one.endedAt <= endsAt).length;
  return {
    name,
    offered: asked.length,
    keptOff: count("keptOff"),
    served: served.count,
    servedPerSecond: (inTime / forMs) * MS_PER_S,
    servedP50Ms: served.quantile(0.5) / MICROS_PER_MS,
    servedP99Ms: served.quantile(0.99) / MICROS_PER_MS,
    refused: count("refused"),
    refusedP99Ms: timesOf(asked, "refused").quantile(0.99) / MICROS_PER_MS,
    broken: count("broken"),
    hung: count("hung"),
    dishonest: count("dishonest"),
  };
}

function timesOf(asked: readonly Asked[], fate: Fate): Samples {
  const times = new Samples();
  for (const one of asked) if (one.fate === fate) times.add(one.endedAt - one.dueAt);
  return times;
}

/** The first quarter of a second after the flood whose requests were all served, and as quickly as before. */
function normalAfter(all: readonly Asked[]): number | null {
  const normalMicros = Math.max(
    NORMAL_LEAST_MS * MICROS_PER_MS,
    NORMAL_WITHIN *
      timesOf(
        all.filter(({ phase }) => phase === 0),
        "served",
      ).quantile(0.99),
  );
  const after = all.filter(({ phase }) => phase > 1);
  const beganAt = after[0]?.dueAt;
  if (beganAt === undefined) return null;
  const looks = Map.groupBy(after, ({ dueAt }) =>
    Math.floor((dueAt - beganAt) / (LOOK_EVERY_MS * MICROS_PER_MS)),
  );
  for (const [look, asked] of [...looks].sort(([a], [b]) => a - b)) {
    const isServed = asked.every(({ fate }) => fate === "served");
    if (isServed && timesOf(asked, "served").quantile(0.99) <= normalMicros) {
      return look * LOOK_EVERY_MS;
    }
  }
  return null;
}
