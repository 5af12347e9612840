import type { Credential, NotServing } from "../../durable-objects/claude-account/contract.ts";
import { choose } from "../accounts/choose.ts";
import type { RosterRow } from "../accounts/roster-row.ts";
import { runAfter } from "../background.ts";
import { canReachProxies, egressFor } from "../egress/egress.ts";
import { fail, ok, type Result } from "../result.ts";
import { decodedText } from "../upstream/content-encoding.ts";
import { upstreamHeaders } from "../upstream/headers.ts";
import { type Windows, windowsMoved } from "../upstream/rate-limits.ts";
import { goesToClient, judge, type Verdict, windowsOf } from "../upstream/verdict.ts";
import type { Cause, Refusal } from "./refusal.ts";
import type { RelayCall } from "./relay-call.ts";
import type { Attempt } from "./settlement.ts";

/** At most this many accounts, and this many requests upstream, before the client gets an answer. */
const MAX_ACCOUNTS = 3;
const MAX_SENDS = 4;
/** Accounts that hand out no credential cost no request upstream, but a call each. */
const MAX_NOT_SERVING = 10;
/** Upstream as a whole is overloaded: one other account is tried, not two. */
const MAX_OVERLOADED = 2;
/** No new attempt begins after this long. The client has retries of its own. */
const FAILOVER_BUDGET_MS = 30_000;
/** A stream's headers come soon; a whole answer's only when it is complete. */
const STREAM_HEADERS_TIMEOUT_MS = 120_000;
const ANSWER_HEADERS_TIMEOUT_MS = 600_000;
/** Between attempts after a fault of upstream: 100 ms, doubling, and up to as much again by chance. */
const BACKOFF_MS = 100;

/** An answer that goes to the client, with what it took to get it. */
export interface Sent {
  answer: Response;
  /** The body of an error answer, which had to be read to be judged; else null. */
  errorBytes: Uint8Array | null;
  accountId: string;
  /** Cancels the request upstream. */
  abort: () => void;
  /** Says that the account has one request less in flight. */
  release: () => void;
}

export interface SendResult {
  outcome: Result<Sent, Refusal>;
  attempts: Attempt[];
}

interface Ready {
  row: RosterRow;
  credential: Credential;
}

class TimedOut extends Error {}

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
  #prepared: Result<Ready, Refusal> | null = null;
  #accountsTried = 0;
  #sends = 0;
  #overloaded = 0;
  #backsOff = false;
  /** The last error answer of upstream, passed on where no account is left. */
  #lastAnswer: Sent | null = null;
  #unreachable: { timedOut: boolean } | null = null;

  constructor(call: RelayCall) {
    this.#call = call;
  }

  /**
   * Chooses and gets a credential ahead, while the key's meter is asked. Sends nothing, and never
   * rejects: what fails here is met again by `send`, which settles.
   */
  async prepare(): Promise<void> {
    this.#prepared = await this.#ready().catch(() => null);
  }

  /** @param onlyAccountId the account that a thread's message must go to, and to no other */
  async send(onlyAccountId: string | null): Promise<SendResult> {
    this.#onlyAccountId = onlyAccountId;
    for (;;) {
      const ready = this.#prepared ?? (await this.#ready());
      this.#prepared = null;
      if (this.#call.request.signal.aborted) return this.#giveUp({ kind: "client_gone" });
      if (!ready.ok) return this.#giveUp(ready.error);
      this.#accountsTried += 1;
      const sent = await this.#serve(ready.value);
      if (sent !== null) return { outcome: ok(sent), attempts: this.#attempts };
      this.#exclude.add(ready.value.row.id);
      if (!this.#mayGoOn()) return this.#giveUp(this.#noneFree());
      this.#tellFailover(ready.value.row.id);
      if (this.#backsOff) await this.#backOff();
    }
  }

  /** An account with a credential in hand, or why there is none. */
  async #ready(): Promise<Result<Ready, Refusal>> {
    while (this.#causes.length < MAX_NOT_SERVING) {
      const chosen = await this.#choose();
      if (!chosen.ok) return chosen;
      const row = chosen.value;
      const known = this.#call.services.credentials.peek(row);
      if (known !== null) return ok({ row, credential: known });
      const acquired = await this.#acquire(row, null);
      if (acquired !== null) return ok({ row, credential: acquired });
      this.#exclude.add(row.id);
    }
    return fail(this.#noneFree());
  }

  async #choose(): Promise<Result<RosterRow, Refusal>> {
    const { services, ctx } = this.#call;
    const beside = (work: Promise<unknown>) => runAfter(ctx, services.log, "read roster", work);
    const rows = await services.roster.rows(beside);
    if (rows === null) return fail({ kind: "accounts_unavailable" });
    const choice = this.#chooseFrom(rows);
    if (choice.ok) return choice;
    const newer = await services.roster.newerRows();
    return newer === null ? choice : this.#chooseFrom(newer);
  }

  #chooseFrom(rows: readonly RosterRow[]): Result<RosterRow, Refusal> {
    if (rows.length === 0) return fail({ kind: "no_account" });
    const { services, family, key, session } = this.#call;
    const only = this.#onlyAccountId;
    const choice = choose({
      rows,
      family,
      keyId: key.id,
      session,
      // An account that is gone took its threads along: upstream says so to whichever is asked.
      onlyAccountId: only !== null && rows.some(({ id }) => id === only) ? only : null,
      boundTo: key.boundTo,
      exclude: this.#exclude,
      nowMs: Date.now(),
      canReachProxies,
      inFlight: (id) => services.inFlight.get(id) ?? 0,
    });
    if (choice.ok) return ok(choice.row);
    return fail({
      kind: "no_account_free",
      none: choice.none,
      causes: this.#causes,
      allRuledOut: true,
    });
  }

  async #acquire(row: RosterRow, rejectedGeneration: number | null): Promise<Credential | null> {
    const acquired = await this.#call.services.credentials.acquire(row.id, rejectedGeneration);
    if (acquired.ok) return acquired.value;
    this.#note(row.id, null, acquired.error.kind, 0);
    this.#causes.push(causeOf(acquired.error));
    return null;
  }

  /** One account, with a second try where its credential was refused. @returns null: go elsewhere */
  async #serve({ row, credential }: Ready): Promise<Sent | null> {
    let { verdict, sent } = await this.#attempt(row, credential);
    if (verdict.kind === "credential_rejected") {
      sent?.release();
      const renewed = await this.#acquire(row, credential.generation);
      if (renewed === null || this.#sends >= MAX_SENDS) return null;
      ({ verdict, sent } = await this.#attempt(row, renewed));
      if (verdict.kind === "credential_rejected") {
        // Tells the account that its newest credential is refused as well.
        await this.#acquire(row, renewed.generation);
      }
    }
    if (goesToClient(verdict)) return sent;
    sent?.release();
    this.#backsOff = false;
    switch (verdict.kind) {
      case "overloaded":
        this.#overloaded += 1;
        this.#lastAnswer = sent;
        this.#backsOff = true;
        break;
      case "server_error":
      case "unreachable":
        this.#lastAnswer = sent ?? this.#lastAnswer;
        this.#backsOff = true;
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
    return null;
  }

  async #attempt(
    row: RosterRow,
    credential: Credential,
  ): Promise<{ verdict: Verdict; sent: Sent | null }> {
    const { services, request, upstreamPath, body, fields } = this.#call;
    const egress = egressFor(row.hasProxy);
    if (!egress.ok) throw new Error("an account without egress was chosen");
    this.#sends += 1;
    const beganAtMs = Date.now();
    const abort = new AbortController();
    const onClientGone = () => abort.abort();
    // A client that goes away before the first byte is noticed by its signal only.
    request.signal.addEventListener("abort", onClientGone, { once: true });
    const timeoutMs = fields.stream ? STREAM_HEADERS_TIMEOUT_MS : ANSWER_HEADERS_TIMEOUT_MS;
    const timer = setTimeout(() => abort.abort(new TimedOut()), timeoutMs);
    const release = this.#takeOne(row.id);
    let verdict: Verdict;
    let sent: Sent | null = null;
    try {
      const answer = await egress.value(services.config.anthropicApiUrl + upstreamPath, {
        method: "POST",
        headers: upstreamHeaders(request.headers, credential),
        body,
        redirect: "manual",
        encodeResponseBody: "manual",
        signal: abort.signal,
      });
      const errorBytes = answer.status >= 400 ? new Uint8Array(await answer.arrayBuffer()) : null;
      const errorBody = errorBytes === null ? "" : await decodedText(errorBytes, answer.headers);
      sent = { answer, errorBytes, accountId: row.id, abort: () => abort.abort(), release };
      verdict = judge({ status: answer.status, headers: answer.headers, errorBody }, Date.now());
    } catch {
      release();
      const timedOut = abort.signal.reason instanceof TimedOut;
      this.#unreachable = { timedOut };
      verdict = { kind: "unreachable", detail: timedOut ? "timeout" : "connection" };
    } finally {
      clearTimeout(timer);
      request.signal.removeEventListener("abort", onClientGone);
    }
    this.#note(row.id, sent?.answer.status ?? null, verdict.kind, Date.now() - beganAtMs);
    // A request cut short by its own client teaches nothing of the account.
    if (!request.signal.aborted) this.#report(row, verdict, sent?.answer.headers ?? null);
    return { verdict, sent };
  }

  /** Tells the account what its answer taught, if anything, off the path. */
  #report(row: RosterRow, verdict: Verdict, headers: Headers | null): void {
    const { services, ctx, family } = this.#call;
    const atMs = Date.now();
    const windows: Windows = headers === null ? {} : windowsOf(headers, atMs);
    const routine = verdict.kind === "served" || verdict.kind === "passed";
    const failing = services.failing.has(row.id);
    if (routine && !failing && !windowsMoved(row.windows, windows)) return;
    if (routine) services.failing.delete(row.id);
    else services.failing.add(row.id);
    const told = services
      .account(row.id)
      .report({ verdict, family, windows, atMs })
      .then((changed) => {
        if (changed !== null) services.roster.patch(changed);
      });
    const ids = { requestId: this.#call.requestId, accountId: row.id };
    runAfter(ctx, services.log, "report to account", told, ids);
  }

  #giveUp(refusal: Refusal): SendResult {
    const attempts = this.#attempts;
    if (refusal.kind === "client_gone") return { outcome: fail(refusal), attempts };
    if (this.#lastAnswer !== null) return { outcome: ok(this.#lastAnswer), attempts };
    if (this.#unreachable !== null) {
      return { outcome: fail({ kind: "upstream_unreachable", ...this.#unreachable }), attempts };
    }
    return { outcome: fail(refusal), attempts };
  }

  #noneFree(): Refusal {
    const none = { standings: [] };
    return { kind: "no_account_free", none, causes: this.#causes, allRuledOut: false };
  }

  #mayGoOn(): boolean {
    return (
      this.#sends < MAX_SENDS &&
      this.#accountsTried < MAX_ACCOUNTS &&
      this.#overloaded < MAX_OVERLOADED &&
      Date.now() - this.#call.startedAtMs < FAILOVER_BUDGET_MS
    );
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

  #takeOne(accountId: string): () => void {
    const { inFlight } = this.#call.services;
    inFlight.set(accountId, (inFlight.get(accountId) ?? 0) + 1);
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      const left = (inFlight.get(accountId) ?? 1) - 1;
      if (left > 0) inFlight.set(accountId, left);
      else inFlight.delete(accountId);
    };
  }
}

function causeOf({ message, retryAtMs, kind }: NotServing): Cause {
  const passing = retryAtMs !== null || kind === "object_unavailable";
  return { words: message.replace(/\.$/, ""), needsPerson: !passing };
}
