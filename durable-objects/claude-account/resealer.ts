import { keyIdOf } from "../../src/accounts/vault.ts";
import { fail, ok, type Result } from "../../src/result.ts";
import type { AccountDependencies, NotServing } from "./contract.ts";
import type { CredentialKeeper } from "./credential-keeper.ts";
import { unsealFailure } from "./not-serving.ts";
import type { AccountRows, CredentialRow, LoginRow } from "./state.ts";

/** What became of an account whose secrets were to be sealed anew. */
export interface Resealed {
  /** False where there was nothing to do. */
  isChanged: boolean;
  /** The name of the key that everything is sealed under now, as far as this object was told. */
  under: string;
}

/** Every row of an account that holds something sealed. */
interface SealedRows {
  credential: CredentialRow | null;
  proxy: string | null;
  login: LoginRow | null;
}

/** Seals what one account holds under the key that is in use now. */
export class Resealer {
  readonly #deps: AccountDependencies;
  readonly #rows: AccountRows;
  readonly #keeper: CredentialKeeper;

  constructor(deps: AccountDependencies, rows: AccountRows, keeper: CredentialKeeper) {
    this.#deps = deps;
    this.#rows = rows;
    this.#keeper = keeper;
  }

  /**
   * May be called as often as one likes: what is sealed under that key already is not written. It
   * begins again only where someone else wrote in between.
   *
   * @param alsoWrite is called with the write, so that both are on disk or neither
   * @returns whether anything was sealed anew, or why something could not be opened; then all of it
   *   stays as it was
   */
  async run(alsoWrite: () => void): Promise<Result<boolean, NotServing>> {
    for (;;) {
      // A refresh compares what it finds at its end with what it read: it must not be disturbed.
      await this.#keeper.refreshing;
      const before = this.#sealedRows();
      const sealed = await this.#sealedAnew(before);
      if (!sealed.ok) return sealed;
      if (isSame(sealed.value, before)) return ok(false);
      // From here to the write there is no await: nobody can store anything in between.
      if (this.#keeper.refreshing !== null || !isSame(before, this.#sealedRows())) continue;
      const { credential, proxy, login } = sealed.value;
      if (credential !== null) this.#rows.putCredential(credential);
      this.#rows.putSealedProxy(proxy);
      this.#rows.putLogin(login);
      alsoWrite();
      await this.#deps.storage.sync();
      return ok(true);
    }
  }

  #sealedRows(): SealedRows {
    return {
      credential: this.#rows.credential(),
      proxy: this.#rows.sealedProxy(),
      login: this.#rows.login(),
    };
  }

  async #sealedAnew({
    credential,
    proxy,
    login,
  }: SealedRows): Promise<Result<SealedRows, NotServing>> {
    const [access, refresh, sealedProxy, verifier, state] = await Promise.all([
      this.#anew("credential.access", credential?.sealedAccess ?? null),
      this.#anew("credential.refresh", credential?.sealedRefresh ?? null),
      this.#anew("proxy", proxy),
      this.#anew("login.verifier", login?.sealedVerifier ?? null),
      this.#anew("login.state", login?.sealedState ?? null),
    ]);
    if (!access.ok) return access;
    if (!refresh.ok) return refresh;
    if (!sealedProxy.ok) return sealedProxy;
    // A login that cannot be read is over: it ends within minutes, and nothing waits for it.
    const isReadable = verifier.ok && state.ok;
    return ok({
      credential: credential && {
        ...credential,
        sealedAccess: access.value ?? credential.sealedAccess,
        sealedRefresh: refresh.value,
      },
      proxy: sealedProxy.value,
      login:
        login && isReadable
          ? {
              ...login,
              sealedVerifier: verifier.value ?? login.sealedVerifier,
              sealedState: state.value ?? login.sealedState,
            }
          : login,
    });
  }

  async #anew(field: string, sealed: string | null): Promise<Result<string | null, NotServing>> {
    const { id, vault } = this.#deps;
    // Opened all the same: that it can be is what a later removal of the old key relies on.
    const opened = sealed === null ? null : await vault.unseal(id, field, sealed);
    if (opened === null) return ok(null);
    if (!opened.ok) return fail(unsealFailure(opened.error));
    return ok(
      keyIdOf(sealed ?? "") === vault.kid ? sealed : await vault.seal(id, field, opened.value),
    );
  }
}

function isSame(left: SealedRows, right: SealedRows): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
