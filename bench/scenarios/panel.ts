import { DAY_MS } from "../../durable-objects/usage-ledger/schema.ts";
import { MICROS_PER_MS, machineMicros } from "../clock.ts";
import { signIn } from "../host/population.ts";
import type { RelayHost } from "../host/relay.ts";
import { WrongAnswer } from "../measure/rounds.ts";
import { quantile } from "../measure/statistics.ts";
import { type History, type HistoryShape, writeHistory } from "../objects/ledger-history.ts";
import { PROBED, Probe } from "../objects/probe.ts";
import type { Budget, Scenario } from "./scenario.ts";

/** What a team's relay has after a quarter: each key uses each model through its working day. */
const HISTORY: HistoryShape = { days: 90, hoursADay: 8, keys: 1_000, models: 5, accounts: 10 };
const LEDGER = { binding: "USAGE_LEDGER", name: "ledger-0" } as const;
const LIMIT_MS = 1_000;
const BYTES_PER_MB = 1_000_000;

/** Counted in an answer: each has the same requests in other groups. */
interface Counted {
  requests: number;
}

interface Question {
  name: string;
  path: string;
  /** All that its answer must add up to. */
  requests: number;
  groups(data: Record<string, Counted[]>): Counted[] | undefined;
}

export default {
  name: "panel",
  title: `sums over ${HISTORY.days} days, ${HISTORY.keys} keys and ${HISTORY.models} models, asked one by one`,
  order: 6,
  async run({ effort, startRelay }) {
    const shape = { ...HISTORY, keys: Math.ceil(HISTORY.keys * effort.poolScale) };
    const population = { accounts: shape.accounts, keys: shape.keys, sessions: 0 };
    const relay = await startRelay(population, { wrapper: PROBED });
    try {
      const probe = new Probe(relay);
      const history = await writeHistory(probe, LEDGER, shape);
      const bytes = await probe.call<number>({ ...LEDGER, method: "bytes", args: [] });
      const ask = await asker(relay);
      const rows: { name: string; figures: number[] }[] = [];
      const budgets: Budget[] = [];
      for (const question of questions(history)) {
        const times: number[] = [];
        while (times.length < effort.panelAsks) times.push(await ask(question));
        const p99 = quantile(times, 0.99);
        rows.push({ name: question.name, figures: [quantile(times, 0.5), p99] });
        budgets.push({
          what: `${question.name}, p99`,
          is: "at most",
          limit: LIMIT_MS,
          figure: p99,
          unit: "ms",
          spread: null,
        });
      }
      return {
        loads: [],
        tables: [
          { title: "asked of the admin API", columns: ["p50 ms", "p99 ms"], rows },
          {
            title: "the ledger's shard",
            columns: ["rows by key and hour", "MB in all"],
            rows: [{ name: "holds", figures: [history.rows, bytes / BYTES_PER_MB] }],
          },
        ],
        budgets,
      };
    } finally {
      await relay.stop();
    }
  },
} satisfies Scenario;

function questions({ keyIds, fromMs, toMs, requests }: History): Question[] {
  const day = (atMs: number) => new Date(atMs).toISOString().slice(0, 10);
  const range = `from=${day(fromMs)}&to=${day(toMs - DAY_MS)}`;
  const points = (data: Record<string, Counted[]>) => data.points;
  return [
    {
      name: "usage-trend by day",
      path: `/admin/usage-trend?${range}`,
      requests,
      groups: points,
    },
    {
      name: "usage-trend by day of a time zone",
      path: `/admin/usage-trend?${range}&timeZone=Europe/Berlin`,
      requests,
      groups: points,
    },
    {
      name: "usage-trend of one key, of a time zone",
      path: `/admin/usage-trend?${range}&timeZone=Europe/Berlin&keyId=${keyIds[0]}`,
      requests: requests / keyIds.length,
      groups: points,
    },
    {
      name: "model-stats",
      path: `/admin/model-stats?${range}`,
      requests,
      groups: ({ models }) => models,
    },
    {
      name: "usage-costs",
      path: `/admin/usage-costs?${range}&limit=1000`,
      requests,
      groups: ({ byKey }) => byKey,
    },
  ];
}

/** @returns a function that asks and tells how many milliseconds the whole answer took */
async function asker(relay: RelayHost): Promise<(question: Question) => Promise<number>> {
  const url = `http://127.0.0.1:${relay.port}`;
  const headers = { authorization: `Bearer ${await signIn(url, relay.admin)}` };
  return async ({ name, path, requests, groups }) => {
    const begunAt = machineMicros();
    const answer = await fetch(url + path, { headers });
    const text = await answer.text();
    const tookMs = (machineMicros() - begunAt) / MICROS_PER_MS;
    if (!answer.ok) throw new WrongAnswer(`${name} answered ${answer.status}: ${text}`);
    const { data } = JSON.parse(text) as { data: Record<string, Counted[]> };
    const counted = groups(data)?.reduce((sum, group) => sum + group.requests, 0);
    if (counted !== requests) {
      throw new WrongAnswer(`${name} counted ${counted} requests; there were ${requests}`);
    }
    return tookMs;
  };
}
