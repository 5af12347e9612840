import type {
  AccountProfile,
  AccountSettings,
  CredentialKind,
  RosterRow,
} from "../../src/accounts/roster-row.ts";
import type { Vault } from "../../src/accounts/vault.ts";
import type { OAuthConfig } from "../../src/config.ts";
import type { AccountProxy, Egresses } from "../../src/egress/egress.ts";
import type { TokenError } from "../../src/upstream/oauth.ts";
import type { ObjectStorage } from "./state.ts";

/** A credential as a Worker uses it. It lives in memory only. */
export interface Credential {
  kind: CredentialKind;
  secret: string;
  generation: number;
  /** Unix milliseconds from which it must not be used; null where it does not expire. */
  usableUntilMs: number | null;
  /** The account's own proxy, through which alone the credential may be used; null: it has none. */
  proxy: AccountProxy | null;
}

/** Why an account hands out no credential. `retryAtMs`: when asking again makes sense, if ever. */
export interface NotServing {
  kind:
    | "account_unknown"
    | "object_unavailable"
    | "needs_relogin"
    | "credential_rejected"
    | "refresh_failed"
    | "other_encryption_key"
    | "damaged_credential"
    | "no_egress"
    | "busy";
  message: string;
  retryAtMs: number | null;
}

export interface NewCredential {
  kind: CredentialKind;
  access: string;
  refresh: string | null;
  expiresAtMs: number | null;
  scopes: string[];
}

/** Everything that an account is made of, in the clear: for an archive, and nothing else. */
export interface RevealedAccount {
  settings: AccountSettings;
  credential: NewCredential;
  proxy: AccountProxy | null;
}

export type LoginError =
  | { kind: "no_login"; message: string }
  | { kind: "bad_paste"; message: string }
  | { kind: "state_mismatch"; message: string }
  | { kind: "token_error"; error: TokenError }
  | { kind: "no_egress"; message: string };

export interface LoginResult {
  profile: AccountProfile;
  /** True where an existing account got a new credential: nothing is left to create. */
  renewed: boolean;
}

/** What the core is handed: no global, no binding, no clock of its own. */
export interface AccountDependencies {
  id: string;
  storage: ObjectStorage;
  vault: Vault;
  oauth: OAuthConfig;
  egress: Pick<Egresses, "canReachProxies" | "of">;
  now: () => number;
  /** Tells the Fleet; rejects where it cannot be reached. */
  pushRow: (row: RosterRow) => Promise<void>;
  pushRemoval: (id: string) => Promise<void>;
  /** Lets work go on after the call that began it has been answered. */
  background: (name: string, work: Promise<void>) => void;
  /** One structured event without secrets. */
  log: (level: "info" | "warn" | "error", event: string, detail?: Record<string, unknown>) => void;
}
