import type { AccountProfile, AccountSettings, RosterRow } from "../../src/accounts/roster-row.ts";
import { keyIdOf } from "../../src/accounts/vault.ts";
import type { AccountProxy } from "../../src/egress/egress.ts";
import { fail, ok, type Result } from "../../src/result.ts";
import type {
  AccountDependencies,
  Credential,
  LoginError,
  LoginResult,
  NewCredential,
  NotServing,
  RevealedAccount,
} from "./contract.ts";
import { CredentialKeeper } from "./credential-keeper.ts";
import { begunRests, type Lesson, learn } from "./learning.ts";
import { Login } from "./login.ts";
import { needsRelogin, UNKNOWN_ACCOUNT } from "./not-serving.ts";
import { type Resealed, Resealer } from "./resealer.ts";
import { Slots } from "./slots.ts";
import { AccountRows, type AccountState, type CredentialRow } from "./state.ts";

/** A credential that upstream refuses so soon after a refresh is not mended by another one. */
const FRESH_CREDENTIAL_MS = 5 * 60_000;
const PUSH_RETRY_MS = 5_000;
/** An alarm is never set for the past: whatever is due without end must not spin. */
const ALARM_AHEAD_MS = 1_000;
/** A refused credential is tried again after this long, doubling: upstream's own trouble passes. */
const REJECTED_REST_FIRST_MS = 60_000;
const REJECTED_REST_LONGEST_MS = 60 * 60_000;

const BUSY: NotServing = {
  kind: "busy",
  message: "It runs as many requests at once as it may.",
  retryAtMs: null,
};

const UNTRIED = {
  trouble: null,
  coolDowns: [],
  rejections: 0,
  breaker: { failures: 0, firstFailureAtMs: 0, openings: 0 },
  refresh: { failures: 0, notBeforeMs: 0, lastError: null },
} satisfies Partial<AccountState>;

/** One Claude account: its credential, its settings, and what it remembers of limits. */
export class Account {
  readonly #deps: AccountDependencies;
  readonly #rows: AccountRows;
  readonly #keeper: CredentialKeeper;
  readonly #login: Login;
  readonly #slots: Slots;
  readonly #resealer: Resealer;
  #flushing: Promise<void> | null = null;
  #isBeingMade = false;
  /** The row as it was last saved, to tell whether anything in it has changed since. */
  #savedRow = "";

  constructor(deps: AccountDependencies) {
    this.#deps = deps;
    this.#rows = new AccountRows(deps.storage);
    this.#keeper = new CredentialKeeper(deps, this.#rows, () => this.#resave());
    this.#login = new Login(deps, this.#rows, this.#keeper);
    this.#slots = new Slots(deps.storage.sql, deps.now);
    this.#resealer = new Resealer(deps, this.#rows, this.#keeper);
  }

  /** Makes the account. @returns null where this object holds one already */
  async create(
    settings: AccountSettings,
    credential: NewCredential,
    proxy: AccountProxy | null,
  ): Promise<RosterRow | null> {
    if (this.#rows.state() !== null || this.#isBeingMade) return null;
    this.#isBeingMade = true;
    try {
      await this.#keeper.store(credential);
      if (proxy !== null) await this.#keeper.storeProxy(proxy);
      return await this.#becomeLive(settings, null);
    } finally {
      this.#isBeingMade = false;
    }
  }

  /** Makes the account of a finished login. @returns null where none is waiting here */
  async createFromLogin(settings: AccountSettings): Promise<RosterRow | null> {
    const profile = this.#rows.login()?.profile ?? null;
    if (profile === null || this.#rows.state() !== null) return null;
    this.#rows.putLogin(null);
    return this.#becomeLive(settings, profile);
  }

  /**
   * A valid credential, refreshed first where fewer than 10 s are left.
   *
   * @param rejectedGeneration the generation that upstream answered 401 to, if any. Where a newer
   *   one is stored already, that one is returned without a second refresh.
   */
  async acquire(rejectedGeneration: number | null): Promise<Result<Credential, NotServing>> {
    const state = this.#rows.state();
    const row = this.#rows.credential();
    if (state === null || row === null) return fail(UNKNOWN_ACCOUNT);
    if (state.trouble?.kind === "needs_relogin") return fail(needsRelogin(state.trouble.detail));
    if (row.generation === rejectedGeneration) return this.#replaceRejected(row);
    if (!this.#keeper.needsRefresh(row)) return this.#keeper.open(row);
    return this.#refreshed();
  }

  /**
   * A credential and one of the account's places, for an account that takes only so many requests at
   * once. Idempotent by request id.
   */
  async acquirePlace(requestId: string): Promise<Result<Credential, NotServing>> {
    const most = this.#rows.state()?.maxConcurrency ?? null;
    if (most !== null && !this.#slots.take(requestId, most)) return fail(BUSY);
    const acquired = await this.acquire(null);
    if (!acquired.ok) this.#slots.release(requestId);
    return acquired;
  }

  releasePlace(requestId: string): void {
    this.#slots.release(requestId);
  }

  /** Takes in what an answer taught. @returns the roster row where it changed, else null */
  report(lesson: Lesson): RosterRow | null {
    const state = this.#rows.state();
    if (state === null) return null;
    const next = learn(state, lesson);
    if (next === state) return null;
    if (next.trouble !== state.trouble && next.trouble !== null) {
      this.#deps.log("error", "account.unusable", { reason: next.trouble.kind });
    }
    for (const { scope, untilMs, reason } of begunRests(state, next, lesson.atMs)) {
      const until = new Date(untilMs).toISOString();
      this.#deps.log("warn", "account.cooling_down", { scope, until, reason });
    }
    return this.#save(next);
  }

  describe(): RosterRow | null {
    const state = this.#rows.state();
    return state === null ? null : this.#rowOf(state);
  }

  /** The proxy without its password, for people. */
  async describeProxy(): Promise<
    (Omit<AccountProxy, "password"> & { hasPassword: boolean }) | null
  > {
    const proxy = await this.#keeper.proxy();
    if (proxy === null) return null;
    const { password, ...shown } = proxy;
    return { ...shown, hasPassword: password !== undefined };
  }

  /**
   * @param proxy null removes it, undefined leaves it
   * @param credential takes the place of the one in use, and ends its trouble
   */
  async update(
    patch: Partial<AccountSettings>,
    proxy: AccountProxy | null | undefined,
    credential: NewCredential | null,
  ): Promise<RosterRow | null> {
    if (this.#rows.state() === null) return null;
    if (credential !== null) await this.#keeper.store(credential);
    if (proxy !== undefined) await this.#keeper.storeProxy(proxy);
    const state = this.#rows.state();
    if (state === null) return null;
    const fresh = credential === null ? {} : { ...UNTRIED, profile: null };
    const row = this.#save({ ...state, ...patch, ...fresh });
    await this.flush();
    return row;
  }

  /** Settings, credential and proxy in the clear. A refresh in flight is waited for. */
  async reveal(): Promise<Result<RevealedAccount, NotServing>> {
    await this.#keeper.refreshing;
    const state = this.#rows.state();
    const row = this.#rows.credential();
    if (state === null || row === null) return fail(UNKNOWN_ACCOUNT);
    const revealed = await this.#keeper.reveal(row);
    if (!revealed.ok) return revealed;
    const { name, description, tags, enabled, schedulable, priority, weight } = state;
    const { maxConcurrency, expiresAtMs, locationHint } = state;
    const plain = { name, description, tags, enabled, schedulable, priority, weight };
    return ok({
      settings: { ...plain, maxConcurrency, expiresAtMs, locationHint },
      ...revealed.value,
    });
  }

  /** Forgets cool-downs, trouble and failures: the operator says that it is mended. */
  async reset(): Promise<RosterRow | null> {
    const state = this.#rows.state();
    if (state === null) return null;
    const row = this.#save({ ...state, ...UNTRIED });
    await this.flush();
    return row;
  }

  /** Refreshes now, whatever validity is left. */
  async refreshNow(): Promise<Result<RosterRow, NotServing>> {
    const row = this.#rows.credential();
    const state = this.#rows.state();
    if (row === null || state === null) return fail(UNKNOWN_ACCOUNT);
    if (row.sealedRefresh === null) {
      const message = "This account has no refresh token, so there is nothing to refresh.";
      return fail({ kind: "refresh_failed", message, retryAtMs: null });
    }
    const refused = this.#keeper.refusesToRefresh(row);
    if (refused !== null) return fail(refused);
    this.#rows.putState({ ...state, refresh: UNTRIED.refresh });
    const refreshed = await this.#refreshed();
    if (!refreshed.ok) return refreshed;
    const after = this.#rows.state();
    if (after === null) return fail(UNKNOWN_ACCOUNT);
    if (after.refresh.failures === 0) return ok(this.#rowOf(after));
    const message = `The refresh failed (${after.refresh.lastError}). The credential in use still works.`;
    return fail({ kind: "refresh_failed", message, retryAtMs: after.refresh.notBeforeMs });
  }

  /** Seals its secrets under the key in use now. */
  async reseal(): Promise<Result<Resealed, NotServing>> {
    if (this.#rows.state() === null) return fail(UNKNOWN_ACCOUNT);
    const resealed = await this.#resealer.run(() => this.#resave());
    if (!resealed.ok) return resealed;
    if (resealed.value) this.#deps.log("info", "account.resealed");
    await this.flush();
    return ok({ isChanged: resealed.value, under: this.#deps.vault.kid });
  }

  /** Removes the account, for good: from the roster first, so that no one chooses it any more. */
  async remove(): Promise<boolean> {
    if (this.#rows.state() === null) return false;
    await this.#deps.pushRemoval(this.#deps.id);
    await this.#rows.destroy();
    return true;
  }

  async beginLogin(proxy: AccountProxy | null): Promise<{ authUrl: string; endsAtMs: number }> {
    const begun = await this.#login.begin(proxy);
    await this.#schedule();
    return begun;
  }

  async finishLogin(paste: string): Promise<Result<LoginResult, LoginError>> {
    const finished = await this.#login.exchange(paste);
    const state = this.#rows.state();
    if (finished.ok && finished.value.renewed && state !== null) {
      this.#save({ ...state, ...UNTRIED, profile: finished.value.profile });
      await this.flush();
    }
    await this.#schedule();
    return finished;
  }

  /** What is due: an abandoned login, a refresh ahead of time, a push that failed. */
  async alarm(): Promise<void> {
    const nowMs = this.#deps.now();
    const login = this.#rows.login();
    if (login !== null && login.endsAtMs <= nowMs && !this.#login.isExchanging) {
      this.#rows.putLogin(null);
      if (this.#rows.state() === null) return this.#rows.destroy();
    }
    const row = this.#rows.credential();
    const dueAtMs = row === null ? null : this.#keeper.refreshDueAtMs(row);
    if (dueAtMs !== null && dueAtMs <= nowMs) await this.#refreshed();
    await this.flush();
  }

  /** Sends the roster row, if one is waiting. A failed push is repeated by alarm. */
  flush(): Promise<void> {
    this.#flushing ??= this.#pushRows().finally(() => {
      this.#flushing = null;
    });
    return this.#flushing;
  }

  async #pushRows(): Promise<void> {
    let state = this.#rows.state();
    while (state !== null && this.#rows.unpushedRevision() !== null) {
      try {
        await this.#deps.pushRow(this.#rowOf(state));
      } catch {
        this.#deps.log("warn", "account.roster_push_failed", { revision: state.revision });
        break;
      }
      this.#rows.clearUnpushedRevision(state.revision);
      state = this.#rows.state();
    }
    await this.#schedule();
  }

  async #replaceRejected(row: CredentialRow): Promise<Result<Credential, NotServing>> {
    const fresh = this.#deps.now() - row.storedAtMs < FRESH_CREDENTIAL_MS;
    if (row.sealedRefresh === null || (row.refreshed && fresh)) return this.#rejected();
    const refreshed = await this.#refreshed(true);
    // The refresh failed and the old credential still has time: but upstream has just refused it.
    if (refreshed.ok && refreshed.value.generation === row.generation) {
      const message = "Upstream refused its credential, and it could not be refreshed.";
      const retryAtMs = this.#rows.state()?.refresh.notBeforeMs ?? null;
      return fail({ kind: "refresh_failed", message, retryAtMs });
    }
    return refreshed;
  }

  /** Refused, and no refresh would mend it: it rests, and a person is told. */
  #rejected(): Result<Credential, NotServing> {
    const state = this.#rows.state();
    if (state === null) return fail(UNKNOWN_ACCOUNT);
    const sinceMs = this.#deps.now();
    const message = "Upstream refused its credential (401).";
    // Requests that were under way when its rest began were refused for the same reason.
    if (state.trouble?.kind === "credential_rejected" && (state.trouble.untilMs ?? 0) > sinceMs) {
      return fail({ kind: "credential_rejected", message, retryAtMs: null });
    }
    // Where the last refusal is long past, this is another matter, and the doubling starts over.
    const lastUntilMs = state.trouble?.untilMs ?? 0;
    const isRecent = sinceMs - lastUntilMs < REJECTED_REST_LONGEST_MS;
    const rejections = isRecent ? state.rejections : 0;
    const restMs = Math.min(REJECTED_REST_FIRST_MS * 2 ** rejections, REJECTED_REST_LONGEST_MS);
    const untilMs = sinceMs + restMs;
    this.#save({
      ...state,
      rejections: rejections + 1,
      trouble: { kind: "credential_rejected", detail: message, sinceMs, untilMs },
    });
    this.#deps.log("error", "account.credential_rejected", { rejections: rejections + 1 });
    return fail({ kind: "credential_rejected", message, retryAtMs: null });
  }

  async #refreshed(isRefused = false): Promise<Result<Credential, NotServing>> {
    const refreshed = await this.#keeper.refresh(isRefused);
    return refreshed.ok ? this.#keeper.open(refreshed.value) : refreshed;
  }

  async #becomeLive(settings: AccountSettings, profile: AccountProfile | null): Promise<RosterRow> {
    const row = this.#save({
      id: this.#deps.id,
      ...settings,
      createdAtMs: this.#deps.now(),
      profile,
      windows: {},
      revision: 0,
      ...UNTRIED,
    });
    await this.flush();
    return row;
  }

  /** The row that Workers see also carries the generation, the expiry and any trouble found. */
  #resave(): void {
    const state = this.#rows.state();
    if (state !== null && JSON.stringify(this.#rowOf(state)) !== this.#savedRow) this.#save(state);
  }

  /** Writes the state under a new revision, and sends the row to the Fleet after the answer. */
  #save(state: AccountState): RosterRow {
    const next = { ...state, revision: state.revision + 1 };
    this.#deps.storage.transactionSync(() => {
      this.#rows.putState(next);
      this.#rows.putUnpushedRevision(next.revision);
    });
    this.#deps.background("push roster row", this.flush());
    const row = this.#rowOf(next);
    this.#savedRow = JSON.stringify(row);
    return row;
  }

  #rowOf(state: AccountState): RosterRow {
    const credential = this.#rows.credential();
    const { breaker } = state;
    return {
      id: state.id,
      name: state.name,
      description: state.description,
      tags: state.tags,
      kind: credential?.kind ?? "api_key",
      enabled: state.enabled,
      schedulable: state.schedulable,
      priority: state.priority,
      weight: state.weight,
      maxConcurrency: state.maxConcurrency,
      expiresAtMs: state.expiresAtMs,
      locationHint: state.locationHint,
      hasProxy: this.#rows.sealedProxy() !== null,
      trouble: state.trouble,
      coolDowns: state.coolDowns.map(({ strikes, ...coolDown }) => coolDown),
      isSuspect: breaker.failures > 0 || breaker.openings > 0,
      isHalfOpen: breaker.openings > 0,
      windows: state.windows,
      generation: credential?.generation ?? 0,
      sealedUnder: credential === null ? "" : keyIdOf(credential.sealedAccess),
      createdAtMs: state.createdAtMs,
      credentialExpiresAtMs: credential?.expiresAtMs ?? null,
      profile: state.profile,
      revision: state.revision,
    };
  }

  async #schedule(): Promise<void> {
    const times: number[] = [];
    const login = this.#rows.login();
    if (login !== null) times.push(login.endsAtMs);
    const row = this.#rows.credential();
    const dueAtMs = row === null ? null : this.#keeper.refreshDueAtMs(row);
    if (dueAtMs !== null) times.push(dueAtMs);
    if (this.#rows.unpushedRevision() !== null) times.push(this.#deps.now() + PUSH_RETRY_MS);
    const earliestMs = this.#deps.now() + ALARM_AHEAD_MS;
    if (times.length > 0) {
      await this.#deps.storage.setAlarm(Math.max(earliestMs, Math.min(...times)));
    } else await this.#deps.storage.deleteAlarm();
  }
}
