import { type KeyPolicy, type PolicyRefusal, refusalOf } from "../../src/keys/key-record.ts";
import type { StoredKey } from "../../src/keys/key-store.ts";
import type { Bill, Settlement } from "../../src/relay/settlement.ts";
import { fail, ok } from "../../src/result.ts";
import type { KeyLevel } from "../alerts/contract.ts";
import { migrate } from "../migrate.ts";
import type {
  Admission,
  AdmissionAnswer,
  KeyUse,
  LatestKey,
  MeterBatch,
  MeterReport,
  PastUse,
} from "./contract.ts";
import { Folding } from "./folding.ts";
import { HeldPolicy } from "./held-policy.ts";
import { LimitWatch } from "./limit-watch.ts";
import { Limiter } from "./limiter.ts";
import { type LedgerPost, Outbox } from "./outbox.ts";
import { Pins } from "./pins.ts";
import { readRequests } from "./read-requests.ts";
import type { RequestRecord } from "./request-record.ts";
import { COMPLETE_REQUEST, INSERT_LIFETIME, SCHEMA_STEPS, SUM_COLUMNS } from "./schema.ts";
import { isUnused, readUsage } from "./usage-report.ts";

/** After this an admitted request that nobody settled counts as lost. Longer than any answer takes. */
const LEASE_MS = 15 * 60_000;
/** Leases are swept this long after the first one ran out: several that ran out together, at once. */
const SWEEP_EVERY_MS = 60_000;
/** While the alerts' object does not answer. */
const TELL_AGAIN_MS = 60_000;
const FIRST_ERROR_STATUS = 400;

export type MeterStorage = Pick<
  DurableObjectStorage,
  "sql" | "transactionSync" | "setAlarm" | "getAlarm"
>;

/** Rejects where it was not heard. */
export type TellLimits = (levels: KeyLevel[]) => Promise<void>;

type SettledRequest = Omit<Settlement, "requestId" | "bill" | "isWatched">;

/** The meter of one key: who may pass, what is running, what was used. */
export class Meter {
  readonly #storage: MeterStorage;
  readonly #now: () => number;
  readonly #limiter: Limiter;
  readonly #pins: Pins;
  readonly #outbox: Outbox;
  readonly #watch: LimitWatch;
  readonly #held: HeldPolicy;
  readonly #folding: Folding;
  readonly #keyId: string;
  readonly #tellLimits: TellLimits;
  #sweptAtMs = 0;
  /** When the alarm is set for; null: not set. Undefined until it was asked. */
  #alarmAtMs: number | null | undefined;

  /** @param tellLimits hears of limits that fill up; may be told twice */
  constructor(
    storage: MeterStorage,
    now: () => number,
    ledger: LedgerPost,
    tellLimits: TellLimits = async () => {},
  ) {
    this.#storage = storage;
    this.#now = now;
    migrate(storage, SCHEMA_STEPS);
    this.#held = new HeldPolicy(storage.sql);
    this.#folding = new Folding(storage);
    this.#limiter = new Limiter(storage.sql);
    this.#pins = new Pins(storage.sql);
    this.#outbox = new Outbox(storage.sql, now, ledger);
    this.#watch = new LimitWatch(storage.sql);
    this.#keyId = ledger.keyId;
    this.#tellLimits = tellLimits;
  }

  /**
   * Takes what has ended, then lets in what may pass.
   *
   * @returns an answer for each admission; null where none was let in, since the meter was never told
   *   the key's policy
   */
  async exchange({ settlements, admissions }: MeterBatch): Promise<AdmissionAnswer[] | null> {
    for (const settlement of settlements) this.settle(settlement);
    if (this.#held.policy === null && admissions.some(({ policy }) => policy === null)) return null;
    const answers = admissions.map((admission) => this.#admit(admission));
    if (settlements.length > 0) {
      await this.#wakeToDeliver();
      await this.watchLimits();
    }
    if (answers.some(({ ok: isIn }) => isIn)) await this.#wakeToSweep();
    return answers;
  }

  /** Lets a request in, with a lease, or says why not. Idempotent by request id. */
  async admit(admission: Admission): Promise<AdmissionAnswer> {
    const answer = this.#admit(admission);
    if (answer.ok) await this.#wakeToSweep();
    return answer;
  }

  #admit(admission: Admission): AdmissionAnswer {
    const { requestId, model, session } = admission;
    const nowMs = this.#now();
    if (this.#limiter.findOpen(requestId) === null) {
      const policy = this.#held.newest(admission.policy);
      const { limits } = policy;
      const refusal =
        this.check({ ...admission, policy }) ?? this.#limiter.refusal(limits, model, nowMs);
      if (refusal !== null) return fail(refusal);
      const leaseUntilMs = nowMs + LEASE_MS;
      const { rowsWritten } = this.#storage.sql.exec(
        `INSERT OR IGNORE INTO requests (id, started_at_ms, lease_until_ms, state, model)
         VALUES (?, ?, ?, 'open', ?)`,
        requestId,
        nowMs,
        leaseUntilMs,
        model,
      );
      // A repeated call may arrive when its request has ended already: that runs no more.
      const request = { startedAtMs: nowMs, leaseUntilMs, model };
      if (rowsWritten > 0) this.#limiter.admit(limits, requestId, request);
      this.#held.activate(nowMs);
    }
    return ok({
      threadAccountId: this.#threadAccount(admission.previousMessageId),
      pinnedTo: session === null ? null : this.#pins.use(session, admission.accountId, nowMs),
      isTight: this.#limiter.isTight(this.#held.newest(admission.policy).limits),
    });
  }

  /**
   * Why the key may not be used now, or null; limits are not looked at. What was configured here
   * wins over an older record, so a revoked key is refused although the key store may still serve it.
   */
  check({ policy, mark, model }: KeyUse): PolicyRefusal | null {
    const use = { mark, model, activatedAtMs: this.#held.activatedAtMs };
    return refusalOf(this.#held.newest(policy), use, this.#now());
  }

  /** See `HeldPolicy.configure`. */
  configure(policy: KeyPolicy, stored: StoredKey | null = null): boolean {
    return this.#held.configure(policy, stored);
  }

  /** See `HeldPolicy.latest`. */
  latest(): LatestKey | null {
    return this.#held.latest();
  }

  /**
   * Takes over what a key has used elsewhere, before its first request here: once, so that what was
   * counted is never counted again.
   *
   * @returns false where this meter has counted something already, and nothing was taken
   */
  adopt({ usage, activatedAtMs }: PastUse): boolean {
    const { sql } = this.#storage;
    if (!isUnused(sql)) return false;
    this.#storage.transactionSync(() => {
      for (const { model, ...sums } of usage) {
        sql.exec(INSERT_LIFETIME, model, ...SUM_COLUMNS.map((column) => sums[column]));
      }
    });
    this.#limiter.recount();
    if (activatedAtMs !== null) this.#held.activate(activatedAtMs);
    return true;
  }

  /**
   * Completes an admitted request's row: once, whatever comes twice. A row whose lease had run out
   * is completed as well, so a late settlement is not lost.
   *
   * @returns false where the row was settled before, or is not known
   */
  settle({ requestId, bill, isWatched, ...end }: Settlement): boolean {
    const { rowsWritten } = this.#storage.sql.exec(
      COMPLETE_REQUEST,
      requestId,
      end.outcome,
      end.status,
      end.accountId,
      JSON.stringify(end.attempts),
      end.firstByteMs,
      end.durationMs,
      bill.model,
      bill.tokens.inputTokens,
      bill.tokens.outputTokens,
      bill.tokens.cacheWrite5mTokens,
      bill.tokens.cacheWrite1hTokens,
      bill.tokens.cacheReadTokens,
      bill.webSearchRequests,
      bill.serviceTier,
      bill.speed,
      bill.inferenceGeo,
      bill.estimated ? 1 : 0,
      bill.costNanoDollars,
      bill.priceId,
      bill.priceKnown ? 1 : 0,
      end.chosenBy,
      this.#outbox.nextSeq,
    );
    if (rowsWritten === 0) return false;
    this.#outbox.note(requestId, isWatched);
    const request = this.#limiter.findOpen(requestId) ?? this.#requestRow(requestId);
    const used = {
      tokens: tokensOf(bill),
      cost: bill.costNanoDollars,
      model: bill.model ?? request.model,
      startedAtMs: request.startedAtMs,
    };
    const nowMs = this.#now();
    this.#limiter.settle(requestId, used, nowMs);
    this.#follow(end, nowMs);
    return true;
  }

  /** For a request whose lease had run out, or that this object let in before it slept. */
  #requestRow(requestId: string): { startedAtMs: number; model: string } {
    const row = this.#storage.sql
      .exec<{ started_at_ms: number; model: string }>(
        "SELECT started_at_ms, model FROM requests WHERE id = ?",
        requestId,
      )
      .one();
    return { startedAtMs: row.started_at_ms, model: row.model };
  }

  /** A session that another account has served stays there: that is where its prompt cache is now. */
  #follow({ session, pinnedTo, accountId, status }: SettledRequest, nowMs: number): void {
    const isServed = status < FIRST_ERROR_STATUS;
    if (session === null || accountId === null || accountId === pinnedTo || !isServed) return;
    this.#pins.move(session, pinnedTo, accountId, nowMs);
  }

  /** The account that a session is on, without counting as use. */
  pinOf(session: string): string | null {
    return this.#pins.find(session);
  }

  /** The newest requests that are not folded yet. */
  requests(limit: number): RequestRecord[] {
    return readRequests(this.#storage.sql, limit);
  }

  /** Remembers which account made a message, for the thread that continues it. */
  rememberMessage(messageId: string, accountId: string): void {
    this.#storage.sql.exec(
      "INSERT OR REPLACE INTO threads (message_id, account_id, made_at_ms) VALUES (?, ?, ?)",
      messageId,
      accountId,
      this.#now(),
    );
  }

  /** @param policy as the Worker read it, for a meter that has not seen it yet */
  usage(policy: KeyPolicy): MeterReport {
    const nowMs = this.#now();
    const { limits } = this.#held.newest(policy);
    return {
      ...readUsage(this.#storage.sql, nowMs),
      limits,
      inUse: this.#limiter.inUse(limits, nowMs),
      activatedAtMs: this.#held.activatedAtMs,
    };
  }

  /**
   * Sweeps leases that ran out, delivers to the ledger, folds what ended an hour ago, and sleeps when
   * nothing is left.
   */
  async alarm(): Promise<void> {
    this.#alarmAtMs = null;
    this.#sweep();
    await this.#outbox.deliver();
    const windowMinutes = this.#held.policy?.limits.window?.minutes ?? 0;
    const nowMs = this.#now();
    const hasFolded = this.#folding.fold(windowMinutes, this.#outbox.deliveredSeq, nowMs);
    if (hasFolded) this.#pins.prune(nowMs);
    await this.#lookAtLimits();
    await this.#wakeToDeliver();
    await this.#wakeToSweep();
    const foldAtMs = this.#folding.dueAtMs(windowMinutes);
    if (foldAtMs !== null) await this.#wakeAt(foldAtMs);
  }

  /** Where a limit fills up, or was changed: the alarm tells of it. Figures in memory only. */
  async watchLimits(): Promise<void> {
    const limits = this.#held.policy?.limits;
    if (limits === undefined || !this.#watch.concerns(limits)) return;
    const inUse = this.#limiter.inUse(limits, this.#now());
    const changes = this.#watch.changes(limits, inUse, this.#keyId, this.#now());
    if (changes.length > 0) await this.#wakeAt(this.#now());
  }

  /** What nobody heard is told again; what is told meanwhile is how things stand then. */
  async #lookAtLimits(): Promise<void> {
    const limits = this.#held.policy?.limits;
    if (limits === undefined || !this.#watch.concerns(limits)) return;
    const nowMs = this.#now();
    const inUse = this.#limiter.inUse(limits, nowMs);
    const changes = this.#watch.changes(limits, inUse, this.#keyId, nowMs);
    if (changes.length > 0) {
      try {
        await this.#tellLimits(changes);
        this.#watch.note(changes);
      } catch {
        await this.#wakeAt(this.#now() + TELL_AGAIN_MS);
      }
    }
    const againAtMs = this.#watch.looksAgainAtMs(limits, inUse, nowMs);
    if (againAtMs !== null) await this.#wakeAt(againAtMs);
  }

  #sweep(): void {
    const nowMs = this.#now();
    if (nowMs - this.#sweptAtMs < SWEEP_EVERY_MS) return;
    this.#sweptAtMs = nowMs;
    this.#limiter.sweep(nowMs);
    const { sql } = this.#storage;
    const lost = sql
      .exec<{ id: string }>(
        "SELECT id FROM requests WHERE state = 'open' AND lease_until_ms <= ?",
        nowMs,
      )
      .toArray();
    this.#storage.transactionSync(() => {
      for (const { id } of lost) {
        sql.exec(
          "UPDATE requests SET state = 'unsettled', swept_seq = ? WHERE id = ?",
          this.#outbox.nextSeq,
          id,
        );
        this.#outbox.note(id, false);
      }
    });
  }

  #threadAccount(messageId: string | null): string | null {
    if (messageId === null) return null;
    const row = this.#storage.sql
      .exec<{ account_id: string }>(
        "SELECT account_id FROM threads WHERE message_id = ?",
        messageId,
      )
      .toArray()[0];
    return row?.account_id ?? null;
  }

  async #wakeToDeliver(): Promise<void> {
    const { dueAtMs } = this.#outbox;
    if (dueAtMs !== null) await this.#wakeAt(dueAtMs);
  }

  async #wakeToSweep(): Promise<void> {
    const { firstLeaseEndMs } = this.#limiter;
    if (firstLeaseEndMs !== null) await this.#wakeAt(firstLeaseEndMs + SWEEP_EVERY_MS);
  }

  /** Moves the alarm only where it would ring later: that is a row written. */
  async #wakeAt(wantedAtMs: number): Promise<void> {
    const atMs = Math.max(this.#now(), wantedAtMs);
    if (this.#alarmAtMs === undefined) this.#alarmAtMs = await this.#storage.getAlarm();
    if (this.#alarmAtMs !== null && this.#alarmAtMs <= atMs) return;
    this.#alarmAtMs = atMs;
    await this.#storage.setAlarm(atMs);
  }
}

function tokensOf({ tokens }: Bill): number {
  return (
    tokens.inputTokens +
    tokens.outputTokens +
    tokens.cacheWrite5mTokens +
    tokens.cacheWrite1hTokens +
    tokens.cacheReadTokens
  );
}
