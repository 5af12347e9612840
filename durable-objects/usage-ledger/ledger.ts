import type { LedgerRetention } from "../../src/ledger/retention.ts";
import { migrate } from "../migrate.ts";
import type {
  Dimension,
  GroupSums,
  KeySums,
  KeySumsQuery,
  LedgerBatch,
  LedgerReach,
  LedgerRequest,
  LifetimeSums,
  RecentQuery,
  Sums,
  TrendQuery,
  UsageFilter,
  UsageRange,
} from "./contract.ts";
import { Lifetime } from "./lifetime.ts";
import { Recent } from "./recent.ts";
import { type Addition, Rollups } from "./rollups.ts";
import { HOUR_MS, SCHEMA_STEPS } from "./schema.ts";

/** Often enough that a day is folded soon after its end; it costs a write a time. */
const TIDY_EVERY_MS = HOUR_MS;
/** Meters deliver within seconds: by then hardly anything of a day that is over is still to come. */
const FOLD_AFTER_MS = HOUR_MS;
const EVER: UsageRange = { fromMs: 0, toMs: Number.MAX_SAFE_INTEGER };
const ALL: UsageFilter = { keyId: null, accountId: null, model: null };

export type LedgerStorage = Pick<
  DurableObjectStorage,
  "sql" | "transactionSync" | "setAlarm" | "getAlarm"
>;

/** What the keys of one shard have used: sums by hour and day, and the newest requests. */
export class Ledger {
  readonly #storage: LedgerStorage;
  readonly #now: () => number;
  readonly #retention: () => LedgerRetention;
  readonly #rollups: Rollups;
  readonly #recent: Recent;
  readonly #lifetime: Lifetime;
  #isAlarmSet = false;

  constructor(storage: LedgerStorage, now: () => number, retention: () => LedgerRetention) {
    this.#storage = storage;
    this.#now = now;
    this.#retention = retention;
    migrate(storage, SCHEMA_STEPS);
    this.#rollups = new Rollups(storage.sql);
    this.#recent = new Recent(storage.sql);
    this.#lifetime = new Lifetime(() => this.#rollups.sums(EVER, ALL, ["account_id", "model"]));
  }

  /**
   * Counts what a meter tells: each fact once, however often it comes. Facts come in their order, so
   * one number a key says which were counted. All of a batch is taken, or nothing.
   */
  async take({ keyId, facts }: LedgerBatch): Promise<void> {
    const additions = this.#storage.transactionSync((): Addition[] => {
      const counted = this.#countedOf(keyId);
      const fresh = facts.filter(({ seq }) => seq > counted);
      const last = fresh.at(-1);
      if (last === undefined) return [];
      const added = this.#rollups.add(keyId, fresh);
      this.#recent.add(keyId, fresh);
      this.#storage.sql.exec(
        `INSERT INTO sources (key_id, counted_seq) VALUES (?1, ?2)
         ON CONFLICT (key_id) DO UPDATE SET counted_seq = ?2`,
        keyId,
        last.seq,
      );
      return added;
    });
    for (const { accountId, model, sums } of additions) this.#lifetime.add(accountId, model, sums);
    this.#recent.pruneIfLong(() => this.#retention());
    await this.#ensureAlarm();
  }

  reach(): LedgerReach {
    return this.#rollups.reach();
  }

  sums(range: UsageRange, filter: UsageFilter, by: Dimension[]): GroupSums[] {
    return this.#rollups.sums(range, filter, by);
  }

  keySums(query: KeySumsQuery): KeySums[] {
    return this.#rollups.keySums(query);
  }

  /** Sums over everything that was ever counted, by account and listed model. */
  lifetime(): LifetimeSums[] {
    return this.#lifetime.read();
  }

  trend(query: TrendQuery): Sums[] {
    return this.#rollups.trend(query);
  }

  /** The newest first. */
  recent(query: RecentQuery): LedgerRequest[] {
    return this.#recent.page(query);
  }

  find(id: string): LedgerRequest | null {
    return this.#recent.find(id);
  }

  /** Folds the days that are over, and drops what is older than it is to be kept. */
  async alarm(): Promise<void> {
    const nowMs = this.#now();
    await this.#storage.setAlarm(nowMs + TIDY_EVERY_MS);
    this.#isAlarmSet = true;
    const retention = this.#retention();
    this.#storage.transactionSync(() => {
      this.#rollups.fold(nowMs - FOLD_AFTER_MS);
      this.#rollups.prune(retention, nowMs);
      this.#recent.prune(retention, nowMs);
    });
  }

  #countedOf(keyId: string): number {
    const [row] = this.#storage.sql
      .exec<{ counted_seq: number }>("SELECT counted_seq FROM sources WHERE key_id = ?", keyId)
      .toArray();
    return row?.counted_seq ?? 0;
  }

  async #ensureAlarm(): Promise<void> {
    if (this.#isAlarmSet) return;
    this.#isAlarmSet = true;
    if ((await this.#storage.getAlarm()) !== null) return;
    await this.#storage.setAlarm(this.#now() + TIDY_EVERY_MS);
  }
}
