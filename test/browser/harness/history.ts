import { join } from "node:path";
import type { RequestRecord } from "../../../durable-objects/key-meter/request-record.ts";
import type { LedgerBatch, LedgerFact } from "../../../durable-objects/usage-ledger/contract.ts";
import type { WorkerBundle } from "../../../scripts/host/bundle.ts";
import { newRequestId } from "../../../src/request-id.ts";
import { costOf } from "../../../src/upstream/cost.ts";
import { emptyReading, noTokens } from "../../../src/upstream/usage.ts";

const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;
const DAYS = 30;
/** One batch has to fit a call to an object. */
const FACTS_A_BATCH = 2_000;
const HISTORY_PATH = "/history-for-tests";
/** Puts the ledger's own way in on a path; everything else goes to the relay as it is. */
const HISTORY_WORKER = `import relay from "./index.js";
export * from "./index.js";
export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "${HISTORY_PATH}") return relay.fetch(request, env, ctx);
    await env.USAGE_LEDGER.getByName("ledger-0").take(await request.json());
    return new Response(null, { status: 204 });
  },
};`;

const MODELS = ["claude-opus-5", "claude-sonnet-5", "claude-haiku-4-5"];

/** Whose past it is. */
export interface HistoryOwner {
  keyId: string;
  accountIds: string[];
  /** At noon of a working day. */
  requestsAnHour: number;
}

/** The relay's Worker, with a way to hand its ledger requests of the past. */
export function withHistory(bundle: WorkerBundle): WorkerBundle {
  const entry = {
    type: "ESModule" as const,
    path: join(bundle.modulesRoot, "history.js"),
    contents: HISTORY_WORKER,
  };
  return { ...bundle, modules: [entry, ...bundle.modules] };
}

/**
 * Gives a relay thirty days of use: working days with a noon and a night, some failures, prompts that
 * come from the cache more often than not. The same each time, but for ids and the present hour.
 */
export async function writeHistory(relayUrl: string, owners: HistoryOwner[]): Promise<void> {
  const random = numbersFrom(20_261_124);
  const nowMs = Date.now();
  for (const owner of owners) {
    const requests = requestsOf(owner, nowMs, random);
    for (let from = 0; from < requests.length; from += FACTS_A_BATCH) {
      const facts = requests.slice(from, from + FACTS_A_BATCH).map(
        (request, index): LedgerFact => ({
          // Below the first number that the key's own meter will give.
          seq: (from + index + 1) / (requests.length + 1),
          corrects: false,
          request,
        }),
      );
      await post(relayUrl, { keyId: owner.keyId, facts });
    }
  }
}

async function post(relayUrl: string, batch: LedgerBatch): Promise<void> {
  const answer = await fetch(relayUrl + HISTORY_PATH, {
    method: "POST",
    body: JSON.stringify(batch),
  });
  if (answer.status !== 204) throw new Error(`the ledger took no history: ${answer.status}`);
}

function requestsOf(owner: HistoryOwner, nowMs: number, random: () => number): RequestRecord[] {
  const requests: RequestRecord[] = [];
  for (let hour = DAYS * DAY_HOURS; hour > 0; hour -= 1) {
    const hourMs = nowMs - hour * HOUR_MS;
    const count = Math.round(owner.requestsAnHour * activityAt(hourMs) * (0.5 + random()));
    const times = Array.from({ length: count }, () => hourMs + Math.floor(random() * HOUR_MS));
    for (const atMs of times.sort((a, b) => a - b)) {
      requests.push(requestAt(atMs, owner, random));
    }
  }
  return requests;
}

/** How busy people are: from a tenth at night and on weekends to one at noon. */
function activityAt(atMs: number): number {
  const date = new Date(atMs);
  const isWeekend = date.getUTCDay() % 6 === 0;
  const day = Math.max(0, Math.cos(((date.getUTCHours() - 13) / DAY_HOURS) * 2 * Math.PI));
  return (0.1 + 0.9 * day) * (isWeekend ? 0.25 : 1);
}

function requestAt(
  atMs: number,
  { accountIds }: HistoryOwner,
  random: () => number,
): RequestRecord {
  const pick = <T>(items: readonly T[], first: T): T =>
    items[Math.floor(random() ** 1.6 * items.length)] ?? first;
  const model = pick(MODELS, "claude-sonnet-5");
  const accountId = pick(accountIds, "");
  const hasFailed = random() < 0.02;
  const isCached = random() < 0.8;
  const prompt = 800 + Math.floor(random() ** 3 * 60_000);
  const firstByteMs = 350 + Math.floor(random() * 1_400);
  const durationMs = firstByteMs + 600 + Math.floor(random() ** 2 * 18_000);
  const tokens = hasFailed
    ? { input: 0, output: 0, cacheWrite5m: 0, cacheWrite1h: 0, cacheRead: 0 }
    : {
        input: isCached ? Math.floor(prompt * 0.08) : prompt,
        output: 40 + Math.floor(random() ** 2 * 2_600),
        cacheWrite5m: isCached ? Math.floor(prompt * 0.12) : 0,
        cacheWrite1h: 0,
        cacheRead: isCached ? Math.floor(prompt * 0.8) : 0,
      };
  const cost = costOf(
    {
      ...emptyReading(),
      model,
      tokens: {
        ...noTokens(),
        inputTokens: tokens.input,
        outputTokens: tokens.output,
        cacheWrite5mTokens: tokens.cacheWrite5m,
        cacheReadTokens: tokens.cacheRead,
      },
    },
    model,
    atMs,
  );
  const status = hasFailed ? 529 : 200;
  const verdict = hasFailed ? "overloaded" : "ok";
  return {
    id: newRequestId(atMs),
    startedAtMs: atMs,
    state: "settled",
    model,
    answeredModel: hasFailed ? null : model,
    outcome: hasFailed ? "upstream_error" : "completed",
    status,
    accountId,
    chosenBy: "pin",
    attempts: [{ accountId, status, verdict, durationMs }],
    firstByteMs: hasFailed ? null : firstByteMs,
    durationMs,
    tokens,
    webSearches: 0,
    serviceTier: "standard",
    speed: null,
    inferenceGeo: null,
    estimated: false,
    costNanoDollars: hasFailed ? 0 : cost.nanoDollars,
    priceId: cost.priceId,
    priceKnown: cost.priceKnown,
  };
}

/** Numbers from 0 to 1 that are the same each time (mulberry32). */
function numbersFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
