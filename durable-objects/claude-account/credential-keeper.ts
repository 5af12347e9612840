import type { UnsealError } from "../../src/accounts/vault.ts";
import type { AccountProxy, NoEgress } from "../../src/egress/egress.ts";
import { EGRESS_WORDS, EgressFailed } from "../../src/egress/fault.ts";
import { fail, ok, type Result } from "../../src/result.ts";
import {
  type Fetch,
  refreshTokens,
  type TokenError,
  type TokenSet,
} from "../../src/upstream/oauth.ts";
import type {
  AccountDependencies,
  Credential,
  NewCredential,
  NotServing,
  RevealedAccount,
} from "./contract.ts";
import {
  iso,
  needsRelogin,
  refreshUnsettled,
  spentUnanswered,
  UNKNOWN_ACCOUNT,
  unsealFailure,
} from "./not-serving.ts";
import type { AccountRows, AccountState, CredentialRow } from "./state.ts";

/** A credential with less validity left is refreshed before it is handed out. */
export const REFRESH_SKEW_MS = 10_000;
/** The alarm refreshes this long ahead at the most, so that a request rarely waits. */
const REFRESH_AHEAD_MS = 10 * 60_000;
/** … but never in the first three quarters of a short-lived token's life. */
const REFRESH_AHEAD_SHARE = 0.25;
/** Spreads the refreshes of accounts that were added together. */
const REFRESH_JITTER_SHARE = 0.5;
const RETRY_FIRST_MS = 2_000;
const RETRY_LONGEST_MS = 5 * 60_000;

/** Seals, opens and refreshes the credential of one account. */
export class CredentialKeeper {
  readonly #deps: AccountDependencies;
  readonly #rows: AccountRows;
  /** The one refresh in flight; everyone who needs a newer credential waits for it. */
  #refreshing: Promise<Result<CredentialRow, NotServing>> | null = null;

  readonly #onRefreshEnd: () => void;
  #alarmRestsUntilMs = 0;

  /** @param onRefreshEnd called once after each refresh, whether it worked or not */
  constructor(deps: AccountDependencies, rows: AccountRows, onRefreshEnd: () => void) {
    this.#deps = deps;
    this.#rows = rows;
    this.#onRefreshEnd = onRefreshEnd;
  }

  /** The refresh in flight, or null. It never rejects for upstream's sake. */
  get refreshing(): Promise<unknown> | null {
    return this.#refreshing;
  }

  /** Seals and stores a credential. It is on disk before this resolves, and so before anyone uses it. */
  async store(credential: NewCredential): Promise<void> {
    const sealed = await this.#seal(credential);
    this.#put(credential, sealed, false);
    await this.#deps.storage.sync();
  }

  async #seal({ access, refresh }: NewCredential): Promise<SealedPair> {
    const { id, vault } = this.#deps;
    const [sealedAccess, sealedRefresh] = await Promise.all([
      vault.seal(id, "credential.access", access),
      refresh === null ? null : vault.seal(id, "credential.refresh", refresh),
    ]);
    return { sealedAccess, sealedRefresh };
  }

  /** Without an await: whoever has just checked that this may be written can rely on it. */
  #put(credential: NewCredential, sealed: SealedPair, refreshed: boolean): CredentialRow {
    const row: CredentialRow = {
      ...sealed,
      kind: credential.kind,
      expiresAtMs: credential.expiresAtMs,
      scopes: credential.scopes,
      generation: (this.#rows.credential()?.generation ?? 0) + 1,
      storedAtMs: this.#deps.now(),
      refreshed,
    };
    this.#rows.putCredential(row);
    this.#rows.clearRefreshBegun();
    return row;
  }

  async open(row: CredentialRow): Promise<Result<Credential, NotServing>> {
    const opened = await this.#deps.vault.unseal(
      this.#deps.id,
      "credential.access",
      row.sealedAccess,
    );
    if (!opened.ok) return fail(unsealFailure(opened.error));
    const proxy = await this.#openProxy();
    if (!proxy.ok) return fail(unsealFailure(proxy.error));
    return ok({
      kind: row.kind,
      secret: opened.value,
      generation: row.generation,
      usableUntilMs: row.expiresAtMs === null ? null : row.expiresAtMs - REFRESH_SKEW_MS,
      proxy: proxy.value,
    });
  }

  /** The credential and the proxy in the clear, for an archive. */
  async reveal(
    row: CredentialRow,
  ): Promise<Result<Pick<RevealedAccount, "credential" | "proxy">, NotServing>> {
    const { id, vault } = this.#deps;
    const access = await vault.unseal(id, "credential.access", row.sealedAccess);
    if (!access.ok) return fail(unsealFailure(access.error));
    const refresh =
      row.sealedRefresh === null
        ? ok(null)
        : await vault.unseal(id, "credential.refresh", row.sealedRefresh);
    if (!refresh.ok) return fail(unsealFailure(refresh.error));
    const proxy = await this.#openProxy();
    if (!proxy.ok) return fail(unsealFailure(proxy.error));
    const { kind, expiresAtMs, scopes } = row;
    const credential = { kind, access: access.value, refresh: refresh.value, expiresAtMs, scopes };
    return ok({ credential, proxy: proxy.value });
  }

  needsRefresh(row: CredentialRow): boolean {
    return row.expiresAtMs !== null && row.expiresAtMs - REFRESH_SKEW_MS <= this.#deps.now();
  }

  /** When the alarm should refresh: ahead of expiry, with jitter, and not before a failed try's rest. */
  refreshDueAtMs(row: CredentialRow): number | null {
    if (row.expiresAtMs === null || row.sealedRefresh === null) return null;
    const state = this.#rows.state();
    if (state === null || state.trouble?.kind === "needs_relogin") return null;
    if (this.#unsettledSinceMs() !== null)
      return Math.max(row.expiresAtMs, this.#restsUntilMs(state));
    const lifetimeMs = Math.max(0, row.expiresAtMs - row.storedAtMs);
    const aheadMs = Math.min(REFRESH_AHEAD_MS, lifetimeMs * REFRESH_AHEAD_SHARE);
    // Derived from the row, not from chance, so that asking twice gives the same time.
    const jitter = ((row.storedAtMs % 997) / 997) * REFRESH_JITTER_SHARE;
    const dueAtMs = row.expiresAtMs - REFRESH_SKEW_MS - aheadMs * (1 - jitter);
    // Whole milliseconds, as alarms are: one that fires a fraction early would find nothing due.
    return Math.max(Math.floor(dueAtMs), this.#restsUntilMs(state));
  }

  #restsUntilMs({ refresh }: AccountState): number {
    return Math.max(refresh.notBeforeMs, this.#alarmRestsUntilMs);
  }

  /**
   * When a refresh began whose outcome nobody will learn any more: the object was evicted, or no
   * answer came. Its refresh token may be used up, and upstream ends the whole login where a token is
   * used twice. So the access token goes on being used, and only once it has run out, and nothing is
   * left to lose, is the refresh token sent again.
   */
  #unsettledSinceMs(): number | null {
    return this.#refreshing === null ? this.#rows.refreshBegunAtMs() : null;
  }

  /** Why a refresh is not to be tried now although the operator asks for it; null: it may be. */
  refusesToRefresh(row: CredentialRow): NotServing | null {
    const sinceMs = this.#unsettledSinceMs();
    const { expiresAtMs } = row;
    if (sinceMs === null || expiresAtMs === null || expiresAtMs <= this.#deps.now()) return null;
    return refreshUnsettled(sinceMs, expiresAtMs);
  }

  /** The account's way out: through its proxy where it has one, and then no other. */
  egress(): Result<Fetch, NoEgress> {
    const { id, egress } = this.#deps;
    if (this.#rows.sealedProxy() === null) return ok(egress.of(id, null).fetch);
    if (!egress.canReachProxies) {
      const { reason, advice } = EGRESS_WORDS.forward_proxy_missing;
      return fail({ kind: "no_egress", message: `It cannot be reached: ${reason}. ${advice}` });
    }
    return ok(async (input, init) => {
      const proxy = await this.#openProxy();
      if (!proxy.ok) throw new EgressFailed("proxy_unreadable", null);
      return egress.of(id, proxy.value).fetch(input, init);
    });
  }

  /** Sets or removes the proxy. Workers drop the credential they hold, and with it the old way out. */
  async storeProxy(proxy: AccountProxy | null): Promise<void> {
    const { id, vault } = this.#deps;
    const sealed = proxy === null ? null : await vault.seal(id, "proxy", JSON.stringify(proxy));
    this.#rows.putSealedProxy(sealed);
    const row = this.#rows.credential();
    if (row !== null) this.#rows.putCredential({ ...row, generation: row.generation + 1 });
  }

  async proxy(): Promise<AccountProxy | null> {
    const opened = await this.#openProxy();
    return opened.ok ? opened.value : null;
  }

  async #openProxy(): Promise<Result<AccountProxy | null, UnsealError>> {
    const sealed = this.#rows.sealedProxy();
    if (sealed === null) return ok(null);
    const opened = await this.#deps.vault.unseal(this.#deps.id, "proxy", sealed);
    return opened.ok ? ok(JSON.parse(opened.value) as AccountProxy) : opened;
  }

  /**
   * Refreshes in single flight: whoever calls while one runs gets that one's result.
   *
   * @param isRefused upstream no longer takes the access token, so there is nothing left to lose
   * @returns the stored row, new or (where the refresh failed and the old one still holds) the old
   */
  refresh(isRefused: boolean): Promise<Result<CredentialRow, NotServing>> {
    const row = this.#rows.credential();
    if (!isRefused && row !== null && this.refusesToRefresh(row) !== null) {
      return Promise.resolve(ok(row));
    }
    this.#refreshing ??= this.#refreshOnce().finally(() => {
      this.#refreshing = null;
      this.#onRefreshEnd();
    });
    return this.#refreshing;
  }

  async #refreshOnce(): Promise<Result<CredentialRow, NotServing>> {
    const { id, vault, oauth, now, log, storage } = this.#deps;
    const row = this.#rows.credential();
    const state = this.#rows.state();
    if (row === null || state === null) return fail(UNKNOWN_ACCOUNT);
    if (row.sealedRefresh === null) return this.#relogin("It has no refresh token.");
    if (state.refresh.notBeforeMs > now()) {
      return this.#stillUsable(row, state.refresh.notBeforeMs, state.refresh.lastError ?? "");
    }
    const opened = await vault.unseal(id, "credential.refresh", row.sealedRefresh);
    if (!opened.ok) return this.#cannotTry(unsealFailure(opened.error));
    const egress = this.egress();
    if (!egress.ok) return this.#cannotTry({ ...egress.error, retryAtMs: null });

    const replacedBefore = this.#replacedMeanwhile(row);
    if (replacedBefore !== null) return replacedBefore;
    const begunBeforeAtMs = this.#rows.refreshBegunAtMs();
    if (begunBeforeAtMs !== null) {
      log("warn", "account.refresh_repeated", { unansweredSince: iso(begunBeforeAtMs) });
    }
    // On disk before anything is sent: should this object be evicted, the next one knows.
    this.#rows.putRefreshBegun(now());
    await storage.sync();
    const refreshed = await refreshTokens(egress.value, oauth, opened.value, now());
    if (refreshed.ok) return this.#refreshSucceeded(row, opened.value, refreshed.value);
    const replaced = this.#replacedMeanwhile(row);
    if (replaced !== null) return replaced;
    const { error } = refreshed;
    const isSettled = error.kind !== "unreachable" || !error.mayBeSpent;
    if (isSettled && begunBeforeAtMs === null) this.#rows.clearRefreshBegun();
    return this.#refreshFailed(row, error, begunBeforeAtMs);
  }

  async #refreshSucceeded(
    row: CredentialRow,
    refreshToken: string,
    tokens: TokenSet,
  ): Promise<Result<CredentialRow, NotServing>> {
    const { log, storage } = this.#deps;
    const renewed: NewCredential = {
      kind: row.kind,
      access: tokens.accessToken,
      refresh: tokens.refreshToken ?? refreshToken,
      expiresAtMs: tokens.expiresAtMs,
      scopes: tokens.scopes.length > 0 ? tokens.scopes : row.scopes,
    };
    const sealed = await this.#seal(renewed);
    // From here to the write there is no await: nobody can log in anew in between.
    const replaced = this.#replacedMeanwhile(row);
    if (replaced !== null) return replaced;
    const stored = this.#put(renewed, sealed, true);
    const after = this.#rows.state();
    if (after !== null) {
      const mended = after.trouble?.kind === "needs_relogin";
      const refresh = { failures: 0, notBeforeMs: 0, lastError: null };
      this.#rows.putState({ ...after, trouble: mended ? null : after.trouble, refresh });
    }
    await storage.sync();
    log("info", "account.refreshed", { generation: stored.generation });
    return ok(stored);
  }

  /** What came back belongs to an old login where another one, or nothing, is stored by now. */
  #replacedMeanwhile(row: CredentialRow): Result<CredentialRow, NotServing> | null {
    const current = this.#rows.credential();
    if (current === null) return fail(UNKNOWN_ACCOUNT);
    return current.sealedRefresh === row.sealedRefresh ? null : ok(current);
  }

  /**
   * A refresh that could not even be tried. Only the alarm waits: whoever asks is told the reason
   * each time, and nothing is written, so that what mends it holds at once.
   */
  #cannotTry(reason: NotServing): Result<CredentialRow, NotServing> {
    const nowMs = this.#deps.now();
    if (this.#alarmRestsUntilMs <= nowMs) {
      this.#alarmRestsUntilMs = nowMs + RETRY_LONGEST_MS;
      this.#deps.log("warn", "account.refresh_impossible", { reason: reason.kind });
    }
    return fail(reason);
  }

  /** @param begunBeforeAtMs when an earlier refresh of the same token began that was never settled */
  #refreshFailed(
    row: CredentialRow,
    error: TokenError,
    begunBeforeAtMs: number | null,
  ): Result<CredentialRow, NotServing> {
    if (error.kind === "invalid_grant") {
      const { message } = error;
      return this.#relogin(
        begunBeforeAtMs === null ? message : spentUnanswered(message, begunBeforeAtMs),
      );
    }
    const { now, log } = this.#deps;
    const state = this.#rows.state();
    if (state === null) return fail(UNKNOWN_ACCOUNT);
    const failures = state.refresh.failures + 1;
    const restMs = Math.min(RETRY_FIRST_MS * 2 ** (failures - 1), RETRY_LONGEST_MS);
    const statedMs = error.kind === "rate_limited" ? error.retryAtMs : null;
    const notBeforeMs = Math.max(now() + restMs, statedMs ?? 0);
    this.#rows.putState({
      ...state,
      refresh: { failures, notBeforeMs, lastError: error.message },
    });
    log("warn", "account.refresh_failed", { failures, reason: error.kind });
    return this.#stillUsable(row, notBeforeMs, error.message);
  }

  /** A failed refresh never takes away a credential that still works. */
  #stillUsable(
    row: CredentialRow,
    retryAtMs: number,
    reason: string,
  ): Result<CredentialRow, NotServing> {
    if (row.expiresAtMs === null || row.expiresAtMs > this.#deps.now()) return ok(row);
    const message = `Its login could not be refreshed (${reason}). The relay tries again by itself.`;
    return fail({ kind: "refresh_failed", message, retryAtMs });
  }

  #relogin(detail: string): Result<CredentialRow, NotServing> {
    const state = this.#rows.state();
    if (state === null) return fail(UNKNOWN_ACCOUNT);
    const sinceMs = this.#deps.now();
    this.#rows.putState({
      ...state,
      trouble: { kind: "needs_relogin", detail, sinceMs, untilMs: null },
    });
    this.#deps.log("error", "account.needs_relogin", {});
    return fail(needsRelogin(detail));
  }
}

type SealedPair = Pick<CredentialRow, "sealedAccess" | "sealedRefresh">;
