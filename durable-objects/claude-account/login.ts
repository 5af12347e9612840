import type { AccountProxy } from "../../src/egress/egress.ts";
import { fail, ok, type Result } from "../../src/result.ts";
import {
  authorizeUrl,
  createChallenge,
  exchangeCode,
  parsePastedCode,
  type TokenSet,
} from "../../src/upstream/oauth.ts";
import type { AccountDependencies, LoginError, LoginResult } from "./contract.ts";
import type { CredentialKeeper } from "./credential-keeper.ts";
import type { AccountRows } from "./state.ts";

/** How long a begun login may be finished, and a finished one be made an account. */
export const LOGIN_LIFETIME_MS = 10 * 60_000;

const NO_LOGIN: LoginError = {
  kind: "no_login",
  message: "This login has ended: make a new link. A link can be used for ten minutes.",
};
const LOGIN_RUNNING: LoginError = {
  kind: "bad_paste",
  message: "This code is being exchanged already: wait for its answer.",
};
const BAD_PASTE: LoginError = {
  kind: "bad_paste",
  message:
    "That is no authorization code. Paste the whole code that the page shows, or the whole address of the page.",
};
const STATE_MISMATCH: LoginError = {
  kind: "state_mismatch",
  message: "This code belongs to another login link. Open the newest link and paste its code.",
};

/** An OAuth login with PKCE. Verifier, state and tokens never leave the account's object. */
export class Login {
  readonly #deps: AccountDependencies;
  readonly #rows: AccountRows;
  readonly #keeper: CredentialKeeper;
  #exchanging = false;

  constructor(deps: AccountDependencies, rows: AccountRows, keeper: CredentialKeeper) {
    this.#deps = deps;
    this.#rows = rows;
    this.#keeper = keeper;
  }

  get isExchanging(): boolean {
    return this.#exchanging;
  }

  /** Begins a login; one that was begun before is void. */
  async begin(proxy: AccountProxy | null): Promise<{ authUrl: string; endsAtMs: number }> {
    const { id, vault, now, oauth } = this.#deps;
    const challenge = await createChallenge();
    const [sealedVerifier, sealedState] = await Promise.all([
      vault.seal(id, "login.verifier", challenge.verifier),
      vault.seal(id, "login.state", challenge.state),
    ]);
    if (proxy !== null) await this.#keeper.storeProxy(proxy);
    const endsAtMs = now() + LOGIN_LIFETIME_MS;
    this.#rows.putLogin({ sealedVerifier, sealedState, endsAtMs, profile: null });
    return { authUrl: authorizeUrl(oauth, challenge), endsAtMs };
  }

  /**
   * Swaps a pasted code for tokens. A wrong paste may be tried again until the login ends. For an
   * account that exists already, its credential is replaced at once.
   */
  async exchange(paste: string): Promise<Result<LoginResult, LoginError>> {
    const { id, vault, oauth, now } = this.#deps;
    const login = this.#rows.login();
    if (login === null || login.endsAtMs <= now() || login.profile !== null) return fail(NO_LOGIN);
    const pasted = parsePastedCode(paste);
    if (pasted === null) return fail(BAD_PASTE);
    // A code works once: two clicks must not spend it twice.
    if (this.#exchanging) return fail(LOGIN_RUNNING);
    this.#exchanging = true;
    try {
      const [verifier, state] = await Promise.all([
        vault.unseal(id, "login.verifier", login.sealedVerifier),
        vault.unseal(id, "login.state", login.sealedState),
      ]);
      if (!verifier.ok || !state.ok) return fail(NO_LOGIN);
      if (pasted.state !== null && pasted.state !== state.value) return fail(STATE_MISMATCH);
      const egress = this.#keeper.egress();
      if (!egress.ok) return fail(egress.error);
      const grant = { code: pasted.code, state: state.value, verifier: verifier.value };
      const tokens = await exchangeCode(egress.value, oauth, grant, now());
      if (!tokens.ok) return fail({ kind: "token_error", error: tokens.error });
      return ok(await this.#take(tokens.value));
    } finally {
      this.#exchanging = false;
    }
  }

  async #take(tokens: TokenSet): Promise<LoginResult> {
    await this.#keeper.store({
      kind: "oauth",
      access: tokens.accessToken,
      refresh: tokens.refreshToken,
      expiresAtMs: tokens.expiresAtMs,
      scopes: tokens.scopes,
    });
    const profile = { email: tokens.email, organisation: tokens.organisation };
    const state = this.#rows.state();
    const login = this.#rows.login();
    if (state === null && login !== null) {
      const endsAtMs = this.#deps.now() + LOGIN_LIFETIME_MS;
      this.#rows.putLogin({ ...login, endsAtMs, profile });
    } else {
      this.#rows.putLogin(null);
    }
    return { profile, renewed: state !== null };
  }
}
