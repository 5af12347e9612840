import { join } from "node:path";
import type { RequestRecord } from "../../../durable-objects/key-meter/request-record.ts";
import { SUM_COLUMNS, type SumColumn } from "../../../durable-objects/key-meter/schema.ts";
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
/**
 * Puts the ledger's own way in on a path, and gives a meter's object one for sums of the past; it is
 * begun anew then, since it remembers what it has read. Everything else goes to the relay as it is.
 */
const HISTORY_WORKER = `import relay, { KeyMeter as Meter } from "./index.js";
export * from "./index.js";
export class KeyMeter extends Meter {
  takeHistory(table, rows) {
    for (const row of rows) {
      const names = Object.keys(row);
      const places = names.map(() => "?").join(", ");
      const insert = "INSERT INTO " + table + " (" + names.join(", ") + ") VALUES (" + places + ")";
      this.ctx.storage.sql.exec(insert, ...Object.values(row));
    }
  }
  beginAnew() {
    this.ctx.abort("it has a history now");
  }
}
export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "${HISTORY_PATH}") return relay.fetch(request, env, ctx);
    const { batches, keyId, hourly, lifetime } = await request.json();
    for (const batch of batches) await env.USAGE_LEDGER.getByName("ledger-0").take(batch);
    const meter = env.KEY_METER.getByName(keyId);
    await meter.takeHistory("hourly", hourly);
    await meter.takeHistory("lifetime", lifetime);
    await meter.beginAnew().catch(() => {});
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
 * Gives a relay thirty days of use, before its keys are used: working days with a noon and a night,
 * some failures, prompts that come from the cache more often than not. The same each time, but for ids
 * and the present hour.
 */
export async function writeHistory(relayUrl: string, owners: HistoryOwner[]): Promise<void> {
  const random = numbersFrom(20_261_124);
  const nowMs = Date.now();
  for (const owner of owners) {
    const { keyId } = owner;
    const requests = requestsOf(owner, nowMs, random);
    const answer = await fetch(relayUrl + HISTORY_PATH, {
      method: "POST",
      body: JSON.stringify({
        batches: batchesOf(keyId, requests),
        keyId,
        hourly: summed(requests, ({ startedAtMs, model }) => ({
          hour_ms: startedAtMs - (startedAtMs % HOUR_MS),
          model,
        })),
        lifetime: summed(requests, ({ model }) => ({ model })),
      }),
    });
    if (answer.status !== 204) throw new Error(`no history was taken: ${answer.status}`);
  }
}

function batchesOf(keyId: string, requests: RequestRecord[]): LedgerBatch[] {
  const facts = requests.map(
    (request, index): LedgerFact => ({
      // Below the first number that the key's own meter will give.
      seq: (index + 1) / (requests.length + 1),
      corrects: false,
      request,
    }),
  );
  return Array.from({ length: Math.ceil(facts.length / FACTS_A_BATCH) }, (_, batch) => ({
    keyId,
    facts: facts.slice(batch * FACTS_A_BATCH, (batch + 1) * FACTS_A_BATCH),
  }));
}

/** As a meter sums up requests that it no longer keeps one by one. */
function summed<Group extends Record<string, string | number>>(
  requests: RequestRecord[],
  groupOf: (request: RequestRecord) => Group,
): (Group & Record<SumColumn, number>)[] {
  const rows = new Map<string, Group & Record<SumColumn, number>>();
  for (const request of requests) {
    const group = groupOf(request);
    const name = JSON.stringify(group);
    const zeros = Object.fromEntries(SUM_COLUMNS.map((column) => [column, 0]));
    const row = rows.get(name) ?? { ...group, ...(zeros as Record<SumColumn, number>) };
    const added: Partial<Record<SumColumn, number>> = {
      requests: 1,
      failed: Number(request.outcome !== "completed"),
      input_tokens: request.tokens.input,
      output_tokens: request.tokens.output,
      write_5m_tokens: request.tokens.cacheWrite5m,
      read_tokens: request.tokens.cacheRead,
      cost_nano: request.costNanoDollars,
    };
    const sums: Record<SumColumn, number> = row;
    for (const column of SUM_COLUMNS) sums[column] += added[column] ?? 0;
    rows.set(name, row);
  }
  return [...rows.values()];
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
