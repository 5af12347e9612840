import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect } from "vitest";
import { Meter, type MeterStorage } from "../../durable-objects/key-meter/meter.ts";
import type {
  LedgerBatch,
  LedgerFact,
  RecentQuery,
  UsageFilter,
} from "../../durable-objects/usage-ledger/contract.ts";
import { Ledger } from "../../durable-objects/usage-ledger/ledger.ts";
import { DAY_MS } from "../../durable-objects/usage-ledger/schema.ts";
import { noSums } from "../../durable-objects/usage-ledger/sums.ts";
import type { LedgerRetention } from "../../src/ledger/retention.ts";
import { NOTHING_BILLED, type Settlement } from "../../src/relay/settlement.ts";
import { newRequestId } from "../../src/request-id.ts";
import { MARK, OPEN } from "./open-policy.ts";

/** Far ahead: the runtime fires an alarm of the past at once, and the test would not move the clock. */
export const START_MS = Date.UTC(2099, 10, 30, 21, 30, 0);
export const SECOND_MS = 1_000;
export const MINUTE_MS = 60 * SECOND_MS;
export const ALL: UsageFilter = { keyId: null, accountId: null, model: null };
export const KEEP: LedgerRetention = {
  recentRequests: 100_000,
  recentDays: 30,
  hourlyDays: 100,
  dailyDays: 800,
};

/** Counts what is written, as it is billed: rows, and one for each alarm that is set. */
export class CountedStorage {
  readonly storage: MeterStorage;
  #cursors: { rowsWritten: number; rowsRead: number }[] = [];
  alarms = 0;

  constructor(real: DurableObjectStorage) {
    this.storage = {
      sql: {
        exec: (query: string, ...bindings: unknown[]) => {
          const cursor = real.sql.exec(query, ...(bindings as string[]));
          this.#cursors.push(cursor);
          return cursor;
        },
      } as unknown as SqlStorage,
      transactionSync: (run) => real.transactionSync(run),
      getAlarm: () => real.getAlarm(),
      setAlarm: (atMs) => {
        this.alarms += 1;
        return real.setAlarm(atMs);
      },
    };
  }

  forget(): void {
    this.#cursors = [];
    this.alarms = 0;
  }

  get rowsWritten(): number {
    return this.#cursors.reduce((sum, cursor) => sum + cursor.rowsWritten, this.alarms);
  }

  get rowsRead(): number {
    return this.#cursors.reduce((sum, cursor) => sum + cursor.rowsRead, 0);
  }
}

/** A meter, a clock, and the batches that left it. */
export class Sender {
  nowMs = START_MS;
  readonly #storage: DurableObjectStorage;
  readonly counted: CountedStorage;
  meter: Meter;
  readonly sent: LedgerBatch[] = [];
  readonly shards: number[] = [];
  readonly lines: string[] = [];
  /** What becomes of the next batches; each is taken where nothing is planned. */
  readonly fates: ("taken" | "refused" | "taken unheard")[] = [];
  alarms = 0;
  shardCount = 1;
  /** Something that happens while a batch is on its way. */
  meanwhile: (() => void) | null = null;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.counted = new CountedStorage(storage);
    this.meter = this.#wake();
  }

  #wake(): Meter {
    return new Meter(this.counted.storage, () => this.nowMs, {
      keyId: "key",
      newShard: () => this.shardCount - 1,
      take: async (shard, batch) => {
        const fate = this.fates.shift() ?? "taken";
        if (fate !== "refused") {
          this.sent.push(structuredClone(batch));
          this.shards.push(shard);
        }
        await Promise.resolve();
        this.meanwhile?.();
        if (fate !== "taken") throw new Error("the ledger is away");
      },
      log: (_level, event) => this.lines.push(event),
    });
  }

  /** As after an eviction, or a crash. */
  wakeAnew(): void {
    this.meter = this.#wake();
  }

  async admit(model = "claude-sonnet-5"): Promise<string> {
    const requestId = newRequestId(this.nowMs);
    const admission = { requestId, model, previousMessageId: null, session: null, accountId: null };
    const answers = await this.meter.exchange({
      settlements: [],
      admissions: [{ ...admission, policy: OPEN, mark: MARK }],
    });
    expect(answers?.map(({ ok }) => ok)).toEqual([true]);
    return requestId;
  }

  async settle(requestId: string, patch: Partial<Settlement> = {}): Promise<void> {
    await this.meter.exchange({ settlements: [settlementOf(requestId, patch)], admissions: [] });
  }

  /** Fires the alarm as often as it is due up to that time. */
  async runUntil(atMs: number): Promise<void> {
    for (;;) {
      const alarmAtMs = await this.#storage.getAlarm();
      if (alarmAtMs === null || alarmAtMs > atMs) break;
      this.nowMs = Math.max(this.nowMs, alarmAtMs);
      await this.#storage.deleteAlarm();
      this.alarms += 1;
      await this.meter.alarm();
    }
    this.nowMs = atMs;
  }

  /** Long enough for everything to be delivered. */
  settleDown(): Promise<void> {
    return this.runUntil(this.nowMs + 20 * MINUTE_MS);
  }

  count(where: string): number {
    return this.#storage.sql.exec<{ n: number }>(`SELECT COUNT(*) AS n FROM ${where}`).one().n;
  }
}

export function settlementOf(requestId: string, patch: Partial<Settlement> = {}): Settlement {
  return {
    requestId,
    outcome: "completed",
    status: 200,
    accountId: "account-1",
    chosenBy: "hash",
    session: null,
    pinnedTo: null,
    attempts: [{ accountId: "account-1", status: 200, verdict: "ok", durationMs: 9 }],
    firstByteMs: 150,
    durationMs: 2_000,
    bill: {
      ...NOTHING_BILLED,
      tokens: {
        inputTokens: 10,
        outputTokens: 5,
        cacheWrite5mTokens: 3,
        cacheWrite1hTokens: 2,
        cacheReadTokens: 7,
      },
      webSearchRequests: 1,
      model: "claude-sonnet-5-20260101",
      serviceTier: "standard",
      costNanoDollars: 1_000,
      priceId: "sonnet@2026",
    },
    isWatched: false,
    ...patch,
  };
}

export async function withSender(run: (sender: Sender) => Promise<void>): Promise<Sender> {
  const stub = env.KEY_METER.get(env.KEY_METER.idFromName(crypto.randomUUID()));
  let made: Sender | null = null;
  await runInDurableObject(stub, async (_, { storage }) => {
    made = new Sender(storage);
    await run(made);
  });
  if (made === null) throw new Error("the object did not run");
  return made;
}

export interface Shelf {
  ledger: Ledger;
  sql: SqlStorage;
  counted: CountedStorage;
  storage: DurableObjectStorage;
  clock: { nowMs: number };
  keep: LedgerRetention;
}

export async function withLedger<T>(
  run: (shelf: Shelf) => T | Promise<T>,
  keep: Partial<LedgerRetention> = {},
): Promise<T> {
  const stub = env.USAGE_LEDGER.get(env.USAGE_LEDGER.idFromName(crypto.randomUUID()));
  return runInDurableObject(stub, (_, { storage }) => {
    const clock = { nowMs: START_MS };
    const kept = { ...KEEP, ...keep };
    const counted = new CountedStorage(storage);
    const ledger = new Ledger(
      counted.storage,
      () => clock.nowMs,
      () => kept,
    );
    counted.forget();
    return run({ ledger, sql: storage.sql, counted, storage, clock, keep: kept });
  });
}

/** The sums over all that batches told. */
export function summedUp(batches: readonly LedgerBatch[]) {
  return withLedger(async ({ ledger }) => {
    for (const batch of batches) await ledger.take(batch);
    const [whole] = ledger.sums({ fromMs: 0, toMs: START_MS + 9 * DAY_MS }, ALL, []);
    const requests = ledger.recent(recentQuery({ limit: 1_000 }));
    return { sums: whole?.sums ?? noSums(), requests };
  });
}

export function recentQuery(patch: Partial<RecentQuery> = {}): RecentQuery {
  return { ...ALL, outcome: null, before: null, limit: 50, ...patch };
}

let lastSeq = 0;
/** A fact as a meter would tell it. */
export function factOf(
  startedAtMs: number,
  patch: Partial<LedgerFact["request"]> = {},
): LedgerFact {
  lastSeq += 1;
  return {
    seq: lastSeq,
    corrects: false,
    request: {
      id: newRequestId(startedAtMs),
      startedAtMs,
      state: "settled",
      model: "m",
      answeredModel: null,
      outcome: "completed",
      status: 200,
      accountId: "a",
      chosenBy: "hash",
      attempts: [],
      firstByteMs: 100,
      durationMs: 1_000,
      tokens: { input: 1, output: 2, cacheWrite5m: 3, cacheWrite1h: 4, cacheRead: 5 },
      webSearches: 0,
      serviceTier: null,
      speed: null,
      inferenceGeo: null,
      estimated: false,
      costNanoDollars: 10,
      priceId: null,
      priceKnown: true,
      ...patch,
    },
  };
}
