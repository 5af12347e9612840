import { describeError } from "../../src/background.ts";
import type { Logger } from "../../src/log.ts";
import type { LedgerBatch, LedgerFact } from "../usage-ledger/contract.ts";
import { type RequestRow, recordOf } from "./request-record.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
/** A key that was quiet: its request is alone, and waiting for others would only show it later. */
const DELAY_AFTER_QUIET_MS = 5 * SECOND_MS;
/** A key in use: what a delivery costs is shared by all that ends meanwhile. */
const DELAY_IN_USE_MS = 15 * SECOND_MS;
const QUIET_MS = MINUTE_MS;
/**
 * So soon are deliveries made only so often where no one watches: each costs as much as several
 * requests. Who tries a key, or uses it now and then, has what he did in the ledger at once; a key that
 * goes on and on for hours delivers once in this time, or when there is a batch of it.
 */
const SOON_AGAIN_MS = 10 * MINUTE_MS;
/** So many deliveries soon can be saved up. */
const SOON_SAVED_MAX = 10;
const SAVED_UP_MS = (SOON_SAVED_MAX - 1) * SOON_AGAIN_MS;
/** While the ledger does not answer. */
const FIRST_RETRY_MS = 15 * SECOND_MS;
const MAX_RETRY_MS = 5 * 60 * SECOND_MS;
/** Some hundred kilobytes a call. */
const MAX_FACTS_A_BATCH = 250;
/** So many facts are looked for at once: after an outage there may be more than fit into memory. */
const MAX_FACTS_A_LOOK = 5_000;

/** The ledger, as a meter sees it. */
export interface LedgerPost {
  keyId: string;
  /** The shard that a key is put on with its first delivery. */
  newShard(): number;
  /** Rejects where the ledger did not take it. May be called again with the same batch. */
  take(shard: number, batch: LedgerBatch): Promise<void>;
  log: Logger;
}

type FactRow = { seq: number; id: string; kind: "swept" | "settled" };

/**
 * The way of a key's requests into the usage ledger. The rows of `requests` are the outbox: what is
 * told of them is numbered as it happens, in the write that happens anyway, and one number says how
 * far the ledger has it. Nothing is told that a crash could take back, and nothing is left out: the
 * ledger takes facts in their order, each once.
 */
export class Outbox {
  readonly #sql: SqlStorage;
  readonly #now: () => number;
  readonly #post: LedgerPost;
  #shard: number | null;
  #deliveredSeq: number;
  #lastSeq: number;
  /** No undelivered fact is about an older request than this one; null: all are delivered. */
  #oldestPending: string | null;
  #dueAtMs: number | null = null;
  /** Someone watches, so that the next delivery uses up nothing of what is saved. */
  #isWatched = false;
  /** When every delivery that was made soon will have been made up for. */
  #soonSpentUntilMs: number;
  #deliveredAtMs = 0;
  #failures = 0;

  constructor(sql: SqlStorage, now: () => number, post: LedgerPost) {
    this.#sql = sql;
    this.#now = now;
    this.#post = post;
    const [row] = sql
      .exec<{ shard: number; delivered_seq: number; soon_spent_until_ms: number }>(
        "SELECT shard, delivered_seq, soon_spent_until_ms FROM delivery",
      )
      .toArray();
    this.#shard = row?.shard ?? null;
    this.#deliveredSeq = row?.delivered_seq ?? 0;
    this.#soonSpentUntilMs = row?.soon_spent_until_ms ?? 0;
    const { last, oldest } = sql
      .exec<{ last: number | null; oldest: string | null }>(
        `SELECT MAX(MAX(COALESCE(swept_seq, 0), COALESCE(settled_seq, 0))) AS last,
                MIN(id) FILTER (WHERE swept_seq > ?1 OR settled_seq > ?1) AS oldest
         FROM requests`,
        this.#deliveredSeq,
      )
      .one();
    this.#lastSeq = Math.max(this.#deliveredSeq, last ?? 0);
    this.#oldestPending = oldest;
    if (oldest !== null) this.#dueAtMs = this.#soonAtMs(now());
  }

  /** Facts up to this one are in the ledger. */
  get deliveredSeq(): number {
    return this.#deliveredSeq;
  }

  /** When something is to be delivered; null: nothing is. */
  get dueAtMs(): number | null {
    return this.#dueAtMs;
  }

  /** The number of the next fact: to be written with it, and then noted. */
  get nextSeq(): number {
    return this.#lastSeq + 1;
  }

  /**
   * The next fact was written.
   *
   * @param isWatched whether someone reads the ledger these minutes, and so waits for it
   */
  note(requestId: string, isWatched: boolean): void {
    this.#lastSeq += 1;
    this.#addPending(requestId);
    const dueAtMs = this.#dueAtMs ?? Number.POSITIVE_INFINITY;
    this.#isWatched ||= isWatched;
    const nowMs = this.#now();
    const isQuiet = nowMs - this.#deliveredAtMs > QUIET_MS;
    const gatheredAtMs = nowMs + (isQuiet ? DELAY_AFTER_QUIET_MS : DELAY_IN_USE_MS);
    const isBatch = this.#lastSeq - this.#deliveredSeq >= MAX_FACTS_A_BATCH;
    const isSoon = this.#isWatched || isBatch;
    const wantedAtMs = isSoon ? gatheredAtMs : this.#soonAtMs(gatheredAtMs);
    // While the ledger does not answer, nothing new brings the next try forward.
    if (this.#failures === 0 || this.#dueAtMs === null)
      this.#dueAtMs = Math.min(dueAtMs, wantedAtMs);
  }

  #spendOne(): void {
    const nowMs = this.#now();
    const untilMs = Math.max(nowMs, this.#soonSpentUntilMs) + SOON_AGAIN_MS;
    this.#soonSpentUntilMs = Math.min(untilMs, nowMs + SOON_SAVED_MAX * SOON_AGAIN_MS);
  }

  /** The wanted time, or the first one after it at which a delivery has been saved up. */
  #soonAtMs(wantedAtMs: number): number {
    return Math.max(wantedAtMs, this.#soonSpentUntilMs - SAVED_UP_MS);
  }

  /** Tells the ledger what it has not been told. Where it does not answer, tries again later. */
  async deliver(): Promise<void> {
    const isResting = this.#failures > 0 && (this.#dueAtMs ?? 0) > this.#now();
    const oldest = this.#oldestPending;
    if (oldest === null || isResting) return;
    const isWatched = this.#isWatched;
    const soonSpentUntilMs = this.#soonSpentUntilMs;
    this.#oldestPending = null;
    this.#dueAtMs = null;
    this.#isWatched = false;
    if (!isWatched) this.#spendOne();
    try {
      await this.#deliverFrom(oldest);
      this.#failures = 0;
      this.#deliveredAtMs = this.#now();
    } catch (error) {
      const restMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
      this.#failures += 1;
      this.#dueAtMs = this.#now() + restMs;
      this.#addPending(oldest);
      this.#isWatched ||= isWatched;
      this.#soonSpentUntilMs = soonSpentUntilMs;
      this.#post.log("warn", "outbox.delayed", { restMs, error: describeError(error) });
    }
  }

  #addPending(requestId: string): void {
    if (this.#oldestPending !== null && this.#oldestPending <= requestId) return;
    this.#oldestPending = requestId;
  }

  async #deliverFrom(oldest: string): Promise<void> {
    const shard = this.#shard ?? this.#post.newShard();
    // What is noted from now on may be about a request that is older still: the next delivery's.
    const upTo = this.#lastSeq;
    for (;;) {
      const rows = this.#undelivered(oldest, upTo);
      for (let at = 0; at < rows.length; at += MAX_FACTS_A_BATCH) {
        const facts = this.#facts(rows.slice(at, at + MAX_FACTS_A_BATCH));
        this.#keepShard(shard);
        await this.#post.take(shard, { keyId: this.#post.keyId, facts });
        this.#noteDelivered(facts.at(-1)?.seq ?? this.#deliveredSeq);
      }
      if (rows.length < MAX_FACTS_A_LOOK) return;
    }
  }

  /** In their order. A request that was settled after its lease ran out gives both facts. */
  #undelivered(oldest: string, upTo: number): FactRow[] {
    return this.#sql
      .exec<FactRow>(
        `SELECT settled_seq AS seq, id, 'settled' AS kind FROM requests
         WHERE id >= ?1 AND settled_seq > ?2 AND settled_seq <= ?3
         UNION ALL
         SELECT swept_seq, id, 'swept' FROM requests
         WHERE id >= ?1 AND swept_seq > ?2 AND swept_seq <= ?3
         ORDER BY seq LIMIT ?4`,
        oldest,
        this.#deliveredSeq,
        upTo,
        MAX_FACTS_A_LOOK,
      )
      .toArray();
  }

  #facts(told: readonly FactRow[]): LedgerFact[] {
    const ids = JSON.stringify(told.map(({ id }) => id));
    const rows = new Map<string, RequestRow & { swept_seq: number | null }>();
    for (const row of this.#sql.exec<RequestRow & { swept_seq: number | null }>(
      "SELECT requests.* FROM json_each(?) AS told CROSS JOIN requests ON requests.id = told.value",
      ids,
    )) {
      rows.set(row.id, row);
    }
    return told.map(({ seq, id, kind }) => {
      const row = rows.get(id);
      if (row === undefined) throw new Error("a request was folded before the ledger had it");
      return kind === "swept"
        ? { seq, corrects: false, request: recordOf(asSwept(row)) }
        : { seq, corrects: row.swept_seq !== null, request: recordOf(row) };
    });
  }

  /** Before the first call: a batch that was taken unheard must not go to another shard later. */
  #keepShard(shard: number): void {
    if (this.#shard !== null) return;
    this.#sql.exec("INSERT INTO delivery (one, shard, delivered_seq) VALUES (1, ?, 0)", shard);
    this.#shard = shard;
  }

  #noteDelivered(seq: number): void {
    this.#sql.exec(
      "UPDATE delivery SET delivered_seq = ?, soon_spent_until_ms = ?",
      seq,
      this.#soonSpentUntilMs,
    );
    this.#deliveredSeq = seq;
  }
}

/** The row as it was when its lease ran out. */
function asSwept(row: RequestRow): RequestRow {
  return {
    ...row,
    state: "unsettled",
    answered_model: null,
    outcome: null,
    status: null,
    account_id: null,
    chosen_by: null,
    attempts: null,
    first_byte_ms: null,
    duration_ms: null,
    input_tokens: 0,
    output_tokens: 0,
    write_5m_tokens: 0,
    write_1h_tokens: 0,
    read_tokens: 0,
    web_searches: 0,
    service_tier: null,
    speed: null,
    inference_geo: null,
    estimated: 0,
    cost_nano: 0,
    price_id: null,
    price_known: 1,
  };
}
