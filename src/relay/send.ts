import type { Credential, NotServing } from "../../durable-objects/claude-account/contract.ts";
import { type Choice, type ChosenBy, choose, type NoChoice } from "../accounts/choose.ts";
import type { Stay } from "../accounts/load.ts";
import type { Pool } from "../accounts/pool.ts";
import type { RosterRow } from "../accounts/roster-row.ts";
import { runAfter } from "../background.ts";
import { callUntilHeard } from "../durable-call.ts";
import { EGRESS_WORDS, type EgressFaultCode, isSentNothing } from "../egress/fault.ts";
import { fail, ok, type Result } from "../result.ts";
import { forbidsRetry, goesToClient, isAccountFailure, type Verdict } from "../upstream/verdict.ts";
import { type Answered, type AttemptResult, attempt } from "./attempt.ts";
import type { Cause, Refusal } from "./refusal.ts";
import type { RelayCall } from "./relay-call.ts";
import { report } from "./report.ts";
import type { Attempt } from "./settlement.ts";

/** Accounts that hand out no credential cost no request upstream, but a call each. */
const MAX_NOT_SERVING = 10;
/** Upstream as a whole is overloaded: one other account is tried, not two. */
const MAX_OVERLOADED = 2;
/** Between attempts after a fault of upstream: 100 ms, doubling, and up to as much again by chance. */
const BACKOFF_MS = 100;
/** While the only accounts left are on trial, a request waits so long for how that ends. */
const TRIAL_WAIT_MS = 3_000;
const TRIAL_LOOK_EVERY_MS = 100;

/** An answer that goes to the client, and the account that gave it. */
export interface Sent extends Answered {
  row: RosterRow;
  chosenBy: ChosenBy;
  /** Says that the account has one request less in flight. */
  release: () => void;
}

export interface SendResult {
  outcome: Result<Sent, Refusal>;
  attempts: Attempt[];
  /** An attempt may have reached upstream and be billed, although nobody heard its answer. */
  mayBeBilled: boolean;
}

/** An account that was chosen, and where this request counts as running until it leaves. */
interface Chosen {
  row: RosterRow;
  by: ChosenBy;
  stay: Stay;
}

interface Ready extends Chosen {
  credential: Credential;
}

/**
 * Steps 3 to 5: chooses an account, gets its credential, sends the request, and where that account
 * cannot answer it, goes to another one. Failover happens here and only here: nothing has reached
 * the client yet.
 */
export class Sender {
  readonly #call: RelayCall;
  readonly #attempts: Attempt[] = [];
  readonly #exclude = new Set<string>();
  readonly #causes: Cause[] = [];
  #onlyAccountId: string | null = null;
  #preparedFor: string | null = null;
  #prepared: Result<Ready, Refusal> | null = null;
  #accountsTried = 0;
  #sends = 0;
  #overloaded = 0;
  #backsOff = false;
  /** The last error answer of upstream, passed on where no account is left. */
  #lastAnswer: Sent | null = null;
  #mayBeBilled = false;
  #unreachable: { timedOut: boolean } | null = null;

  constructor(call: RelayCall) {
    this.#call = call;
  }

  /** The account that `prepare` chose, as far as it could without waiting. */
  get preparedFor(): string | null {
    return this.#preparedFor;
  }

  /**
   * Chooses and gets a credential ahead, while the key's meter is asked. Sends nothing, and never
   * rejects: what fails here is met again by `send`, which settles.
   */
  async prepare(): Promise<void> {
    const { services, ctx } = this.#call;
    const pool = services.roster.peek((work) => runAfter(ctx, services.log, "read roster", work));
    const choice = pool === null ? null : this.#chooseFrom(pool);
    const chosen = choice?.ok ? this.#enter(choice) : null;
    this.#preparedFor = chosen?.row.id ?? null;
    try {
      this.#prepared = await this.#ready(chosen);
    } catch {
      chosen?.stay.leave();
    }
  }

  /** For a request that is refused after all. */
  drop(): void {
    if (this.#prepared?.ok) this.#leave(this.#prepared.value);
    this.#prepared = null;
  }

  /** @param onlyAccountId the account that a thread's message must go to, and to no other */
  async send(onlyAccountId: string | null): Promise<SendResult> {
    this.#onlyAccountId = onlyAccountId;
    this.#followPin();
    for (;;) {
      const ready = this.#prepared ?? (await this.#ready(null));
      this.#prepared = null;
      if (!ready.ok) return this.#giveUp(ready.error);
      if (this.#call.request.signal.aborted) {
        this.#leave(ready.value);
        return this.#giveUp({ kind: "client_gone" });
      }
      this.#accountsTried += 1;
      const sent = await this.#serve(ready.value);
      if (sent !== null) return this.#result(ok(sent));
      this.#exclude.add(ready.value.row.id);
      if (!this.#mayGoOn()) return this.#giveUp(this.#noneFree());
      this.#tellFailover(ready.value.row.id);
      if (this.#backsOff) await this.#backOff();
    }
  }

  /** The meter may know of another account that the session is on than this isolate did. */
  #followPin(): void {
    const { pinnedTo } = this.#call;
    const prepared = this.#prepared;
    if (pinnedTo === null || prepared === null || !prepared.ok) return;
    if (prepared.value.row.id !== pinnedTo) this.drop();
  }

  /** An account with a credential in hand, or why there is none. */
  async #ready(first: Chosen | null): Promise<Result<Ready, Refusal>> {
    let chosen = first;
    while (this.#causes.length < MAX_NOT_SERVING) {
      if (chosen === null) {
        const next = await this.#choose();
        if (!next.ok) return next;
        chosen = next.value;
      }
      const credential = await this.#credentialOf(chosen.row);
      if (credential !== null) return ok({ ...chosen, credential });
      chosen.stay.leave();
      this.#exclude.add(chosen.row.id);
      chosen = null;
    }
    return fail(this.#noneFree());
  }

  async #choose(): Promise<Result<Chosen, Refusal>> {
    const { services, ctx } = this.#call;
    const beside = (work: Promise<unknown>) => runAfter(ctx, services.log, "read roster", work);
    const waitUntilMs = Date.now() + TRIAL_WAIT_MS;
    for (;;) {
      const pool = await services.roster.pool(beside);
      if (pool === null) return fail({ kind: "accounts_unavailable" });
      let choice = this.#chooseFrom(pool);
      if (!choice.ok) {
        const newer = await services.roster.newerPool();
        if (newer !== null) choice = this.#chooseFrom(newer);
      }
      if (choice.ok) return ok(this.#enter(choice));
      if (!isOnTrial(choice.none) || Date.now() >= waitUntilMs || !this.#hasTime()) {
        return fail(this.#noneChosen(pool, choice.none));
      }
      await scheduler.wait(TRIAL_LOOK_EVERY_MS * (1 + Math.random()));
    }
  }

  #chooseFrom(pool: Pool): Choice {
    const { services, family, key, session, pinnedTo } = this.#call;
    const only = this.#onlyAccountId;
    return choose({
      pool,
      load: services.load,
      family,
      keyId: key.id,
      session,
      pinnedTo,
      // An account that is gone took its threads along: upstream says so to whichever is asked.
      onlyAccountId: only !== null && pool.find(only) !== null ? only : null,
      boundTo: key.boundTo,
      exclude: this.#exclude,
      nowMs: Date.now(),
    });
  }

  #enter({ row, by }: Extract<Choice, { ok: true }>): Chosen {
    return { row, by, stay: this.#call.services.load.enter(row, Date.now()) };
  }

  #leave({ row, stay }: Chosen): void {
    if (stay.leave() && row.maxConcurrency !== null) this.#releasePlace(row);
  }

  async #credentialOf(row: RosterRow): Promise<Credential | null> {
    const { services, requestId } = this.#call;
    if (row.maxConcurrency !== null) {
      const acquired = await services.credentials.acquirePlace(row.id, requestId);
      if (acquired.ok) return acquired.value;
      // It may have been given all the same: a place that nobody gives back is missed for long.
      if (acquired.error.kind === "object_unavailable") this.#releasePlace(row);
      return this.#notServing(row, acquired.error);
    }
    return services.credentials.peek(row) ?? this.#acquire(row, null);
  }

  async #acquire(row: RosterRow, rejectedGeneration: number | null): Promise<Credential | null> {
    const { credentials } = this.#call.services;
    const acquired = await credentials.acquire(row.id, rejectedGeneration);
    return acquired.ok ? acquired.value : this.#notServing(row, acquired.error);
  }

  /** @returns null, after this isolate has taken in what the account says of itself now */
  async #notServing(row: RosterRow, error: NotServing): Promise<null> {
    this.#note(row.id, null, error.kind, 0);
    this.#causes.push(causeOf(error));
    if (error.kind === "busy" || error.kind === "object_unavailable") return null;
    const { services } = this.#call;
    const now = await services
      .account(row.id)
      .describe()
      .catch(() => null);
    if (now !== null) services.roster.patch(now);
    return null;
  }

  #releasePlace({ id }: RosterRow): void {
    const { services, ctx, requestId } = this.#call;
    const released = callUntilHeard(
      () => services.account(id),
      (account) => account.releasePlace(requestId),
    );
    runAfter(ctx, services.log, "release place", released, { requestId, accountId: id });
  }

  /** One account, with a second try where its credential was refused. @returns null: go elsewhere */
  async #serve(ready: Ready): Promise<Sent | null> {
    const { row, by, credential, stay } = ready;
    let result = await this.#attempt(row, credential);
    if (result.verdict.kind === "credential_rejected") {
      const renewed = await this.#acquire(row, credential.generation);
      if (renewed !== null && this.#sends < this.#maxSends()) {
        result = await this.#attempt(row, renewed);
        if (result.verdict.kind === "credential_rejected") {
          // Tells the account that its newest credential is refused as well.
          await this.#acquire(row, renewed.generation);
        }
      }
    }
    const { verdict, answered } = result;
    const isFailure = isAccountFailure(verdict);
    // A request cut short by its own client would begin the account's trial anew.
    if (!isFailure || !this.#call.request.signal.aborted) stay.judged(isFailure);
    const release = () => this.#leave(ready);
    const sent = answered === null ? null : { ...answered, row, chosenBy: by, release };
    if (sent !== null && isFinal(verdict, sent.answer.headers)) return sent;
    release();
    this.#learn(verdict, sent);
    return null;
  }

  /** What a failure means for this request: what to answer in the end, and how soon to go on. */
  #learn(verdict: Verdict, sent: Sent | null): void {
    this.#backsOff = false;
    switch (verdict.kind) {
      case "overloaded":
        this.#overloaded += 1;
        this.#lastAnswer = sent;
        this.#backsOff = true;
        break;
      case "unreachable":
        this.#unreachable = { timedOut: verdict.detail === "timeout" };
        this.#backsOff = true;
        break;
      case "server_error":
        this.#lastAnswer = sent;
        this.#backsOff = true;
        break;
      case "egress_failed":
        this.#causes.push({ words: egressWords(verdict.code), needsPerson: false });
        break;
      case "rate_limited":
        this.#lastAnswer = sent;
        break;
      case "spend_limited":
        // Its wording would blame the client's own account: the relay says it in its own words.
        this.#causes.push({
          words: "an account's credit or spend limit is used up",
          needsPerson: verdict.untilMs === null,
        });
    }
  }

  async #attempt(row: RosterRow, credential: Credential): Promise<AttemptResult> {
    this.#sends += 1;
    const result = await attempt(this.#call, row, credential);
    const { verdict, answered, durationMs } = result;
    this.#note(row.id, answered?.answer.status ?? null, verdict.kind, durationMs);
    this.#mayBeBilled ||= isUnheard(verdict);
    // A request cut short by its own client teaches nothing of the account.
    if (!this.#call.request.signal.aborted) {
      report(this.#call, row, verdict, answered?.answer.headers ?? null);
    }
    return result;
  }

  #giveUp(refusal: Refusal): SendResult {
    if (refusal.kind === "client_gone") return this.#result(fail(refusal));
    if (this.#lastAnswer !== null) return this.#result(ok(this.#lastAnswer));
    if (this.#unreachable !== null) {
      return this.#result(fail({ kind: "upstream_unreachable", ...this.#unreachable }));
    }
    return this.#result(fail(refusal));
  }

  #result(outcome: SendResult["outcome"]): SendResult {
    return { outcome, attempts: this.#attempts, mayBeBilled: this.#mayBeBilled };
  }

  #noneFree(): Refusal {
    return {
      kind: "no_account_free",
      none: { standings: [] },
      causes: this.#causes,
      allRuledOut: false,
      boundTo: null,
    };
  }

  #noneChosen(pool: Pool, none: NoChoice): Refusal {
    if (pool.rows.length === 0) return { kind: "no_account" };
    const { boundTo } = this.#call.key;
    return { kind: "no_account_free", none, causes: this.#causes, allRuledOut: true, boundTo };
  }

  #mayGoOn(): boolean {
    return (
      this.#sends < this.#maxSends() &&
      this.#accountsTried < this.#call.services.config.failover.maxAccounts &&
      this.#overloaded < MAX_OVERLOADED &&
      this.#hasTime()
    );
  }

  /** One more than accounts: a credential that was refused is refreshed and tried again once. */
  #maxSends(): number {
    return this.#call.services.config.failover.maxAccounts + 1;
  }

  #hasTime(): boolean {
    const { services, startedAtMs } = this.#call;
    return Date.now() - startedAtMs < services.config.failover.budgetMs;
  }

  /** An account could not answer, and the next one is looked for. */
  #tellFailover(accountId: string): void {
    const { services, requestId, key } = this.#call;
    const last = this.#attempts.at(-1);
    services.log("info", "request.failover", {
      ...{ requestId, keyId: key.id, accountId },
      ...{ reason: last?.verdict, status: last?.status },
    });
  }

  async #backOff(): Promise<void> {
    const baseMs = BACKOFF_MS * 2 ** (this.#sends - 1);
    await scheduler.wait(baseMs * (1 + Math.random()));
  }

  #note(accountId: string, status: number | null, verdict: string, durationMs: number): void {
    this.#attempts.push({ accountId, status, verdict, durationMs });
  }
}

function egressWords(code: EgressFaultCode): string {
  return `an account's way to Anthropic failed: ${EGRESS_WORDS[code].reason}`;
}

/** Whether the answer goes to the client as it came; otherwise another account may do better. */
function isFinal(verdict: Verdict, headers: Headers): boolean {
  return goesToClient(verdict) || forbidsRetry(verdict, headers);
}

/** Whether upstream may have had the request, and billed it, although no answer came. */
function isUnheard(verdict: Verdict): boolean {
  if (verdict.kind === "egress_failed") return !isSentNothing(verdict.code);
  return verdict.kind === "unreachable" && verdict.detail === "timeout";
}

function isOnTrial({ standings }: NoChoice): boolean {
  return standings.some(({ standing }) => standing.kind === "on_trial");
}

function causeOf({ message, retryAtMs, kind }: NotServing): Cause {
  const isPassing = retryAtMs !== null || kind === "object_unavailable" || kind === "busy";
  return { words: message.replace(/\.$/, ""), needsPerson: !isPassing };
}
