import type { Population } from "../host/population.ts";
import type { ClosedLoad } from "../load/job.ts";
import { alternate } from "../measure/rounds.ts";
import { ratio } from "../measure/statistics.ts";
import { JSON_ANSWER_BYTES } from "../upstream/answers.ts";
import { smallRequest } from "./requests.ts";
import { RELAY, type Scenario, type Subject } from "./scenario.ts";

const LARGE: Population = { accounts: 1_000, keys: 10_000, sessions: 5_000 };
const POOL = "pool";
const CONNECTIONS = 32;
const FIRST_USE_LIMIT_MS = 120_000;

export default {
  name: POOL,
  title: "as json, with 1,000 accounts, 10,000 keys and 5,000 sessions, each request of any key",
  order: 5,
  async run({ load, effort, relays, startRelay }) {
    const scaled = (count: number) => Math.ceil(count * effort.poolScale);
    const pool = await startRelay({
      accounts: scaled(LARGE.accounts),
      keys: scaled(LARGE.keys),
      sessions: scaled(LARGE.sessions),
    });
    try {
      const job = ({ port, callers }: Pick<Subject, "port" | "callers">): ClosedLoad => ({
        kind: "closed",
        port,
        path: "/v1/messages?answer=json",
        body: smallRequest(false),
        callers,
        answerBytes: JSON_ANSWER_BYTES,
        connections: CONNECTIONS,
        warmMs: effort.warmMs,
        forMs: effort.closedMs,
        callersBy: "chance",
      });
      // A key's first request makes its object: each key has had its own before anything is measured.
      await load.run({ ...job(pool), warmMs: 0, forMs: FIRST_USE_LIMIT_MS, callersBy: "turn" });
      const report = await alternate(
        load,
        `closed, ${CONNECTIONS} connections`,
        [
          ...relays.filter(({ name }) => name === RELAY),
          { name: POOL, pid: pool.workerd.pid, port: pool.port, callers: pool.callers },
        ],
        effort.rounds,
        job,
      );
      const compared = ratio(report, POOL, RELAY, "requestsPerS");
      return {
        loads: [report],
        budgets: [
          {
            what: "requests/s to the relay's with few keys",
            is: "at least",
            limit: 0.9,
            unit: "",
            ...compared,
          },
        ],
      };
    } finally {
      await pool.stop();
    }
  },
} satisfies Scenario;
