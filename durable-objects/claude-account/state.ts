import {
  type AccountProfile,
  type AccountSettings,
  type AccountTrouble,
  type CoolDown,
  LATER_SETTINGS,
  type RosterRow,
} from "../../src/accounts/roster-row.ts";
import type { Windows } from "../../src/upstream/rate-limits.ts";

export interface StoredCoolDown extends CoolDown {
  /** How often in a row this scope was benched without a stated time; doubles the next rest. */
  strikes: number;
}

/** Failures in a row that count towards opening the circuit breaker. */
export interface Breaker {
  failures: number;
  firstFailureAtMs: number;
  /** How often in a row it has opened; doubles the next rest. */
  openings: number;
}

/** Everything of an account that is no secret, in one row. Settings first, then what was learnt. */
export interface AccountState extends AccountSettings {
  id: string;
  createdAtMs: number;

  profile: AccountProfile | null;
  trouble: AccountTrouble | null;
  coolDowns: StoredCoolDown[];
  windows: Windows;
  /** How often in a row the credential was refused where no refresh could mend it. */
  rejections: number;
  breaker: Breaker;
  refresh: { failures: number; notBeforeMs: number; lastError: string | null };
  revision: number;
}

/** One credential. Access and refresh token are sealed; the generation grows with each new one. */
export interface CredentialRow {
  kind: RosterRow["kind"];
  sealedAccess: string;
  sealedRefresh: string | null;
  expiresAtMs: number | null;
  scopes: string[];
  generation: number;
  storedAtMs: number;
  /** True where it came of a refresh, false where a person gave it. */
  refreshed: boolean;
}

/** A login that was begun. `profile` is set once the code was swapped and an account may be made. */
export interface LoginRow {
  sealedVerifier: string;
  sealedState: string;
  endsAtMs: number;
  profile: AccountProfile | null;
}

/** What the core needs of a Durable Object's storage. */
export type ObjectStorage = Pick<
  DurableObjectStorage,
  "sql" | "setAlarm" | "deleteAlarm" | "deleteAll" | "sync" | "transactionSync"
>;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS account (one INTEGER PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS credential (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    kind TEXT NOT NULL,
    sealed_access TEXT NOT NULL,
    sealed_refresh TEXT,
    expires_at_ms INTEGER,
    scopes TEXT NOT NULL,
    generation INTEGER NOT NULL,
    stored_at_ms INTEGER NOT NULL,
    refreshed INTEGER NOT NULL
  );
  CREATE TABLE IF NOT EXISTS proxy (one INTEGER PRIMARY KEY CHECK (one = 1), sealed TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS login (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sealed_verifier TEXT NOT NULL,
    sealed_state TEXT NOT NULL,
    ends_at_ms INTEGER NOT NULL,
    profile TEXT
  );
  CREATE TABLE IF NOT EXISTS refresh_begun (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at_ms INTEGER NOT NULL
  );
  CREATE TABLE IF NOT EXISTS slots (request_id TEXT PRIMARY KEY, until_ms INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS outbox (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
`;

/**
 * The rows of one account. Credential and state are separate rows, so that writing state can never
 * put back an old token.
 */
export class AccountRows {
  readonly #storage: ObjectStorage;

  constructor(storage: ObjectStorage) {
    this.#storage = storage;
    storage.sql.exec(SCHEMA);
  }

  state(): AccountState | null {
    const row = this.#one<{ state: string }>("SELECT state FROM account");
    return row === null ? null : { ...LATER_SETTINGS, ...(JSON.parse(row.state) as AccountState) };
  }

  putState(state: AccountState): void {
    this.#storage.sql.exec(
      "INSERT OR REPLACE INTO account (one, state) VALUES (1, ?)",
      JSON.stringify(state),
    );
  }

  credential(): CredentialRow | null {
    const row = this.#one<{
      kind: RosterRow["kind"];
      sealed_access: string;
      sealed_refresh: string | null;
      expires_at_ms: number | null;
      scopes: string;
      generation: number;
      stored_at_ms: number;
      refreshed: number;
    }>("SELECT * FROM credential");
    return row === null
      ? null
      : {
          kind: row.kind,
          sealedAccess: row.sealed_access,
          sealedRefresh: row.sealed_refresh,
          expiresAtMs: row.expires_at_ms,
          scopes: row.scopes.split(" ").filter((scope) => scope !== ""),
          generation: row.generation,
          storedAtMs: row.stored_at_ms,
          refreshed: row.refreshed === 1,
        };
  }

  putCredential(row: CredentialRow): void {
    this.#storage.sql.exec(
      `INSERT OR REPLACE INTO credential
         (one, kind, sealed_access, sealed_refresh, expires_at_ms, scopes, generation, stored_at_ms,
          refreshed)
       VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.kind,
      row.sealedAccess,
      row.sealedRefresh,
      row.expiresAtMs,
      row.scopes.join(" "),
      row.generation,
      row.storedAtMs,
      row.refreshed ? 1 : 0,
    );
  }

  /**
   * When the stored refresh token was first sent without an outcome that is known, or null. After the
   * object has been evicted, this is all that is left of a refresh that was under way.
   */
  refreshBegunAtMs(): number | null {
    return this.#one<{ at_ms: number }>("SELECT at_ms FROM refresh_begun")?.at_ms ?? null;
  }

  /** The first one stays: it is the one that may have used up the token. */
  putRefreshBegun(atMs: number): void {
    this.#storage.sql.exec("INSERT OR IGNORE INTO refresh_begun (one, at_ms) VALUES (1, ?)", atMs);
  }

  clearRefreshBegun(): void {
    this.#storage.sql.exec("DELETE FROM refresh_begun");
  }

  sealedProxy(): string | null {
    return this.#one<{ sealed: string }>("SELECT sealed FROM proxy")?.sealed ?? null;
  }

  putSealedProxy(sealed: string | null): void {
    if (sealed === null) this.#storage.sql.exec("DELETE FROM proxy");
    else this.#storage.sql.exec("INSERT OR REPLACE INTO proxy (one, sealed) VALUES (1, ?)", sealed);
  }

  login(): LoginRow | null {
    const row = this.#one<{
      sealed_verifier: string;
      sealed_state: string;
      ends_at_ms: number;
      profile: string | null;
    }>("SELECT * FROM login");
    return row === null
      ? null
      : {
          sealedVerifier: row.sealed_verifier,
          sealedState: row.sealed_state,
          endsAtMs: row.ends_at_ms,
          profile: row.profile === null ? null : (JSON.parse(row.profile) as AccountProfile),
        };
  }

  putLogin(row: LoginRow | null): void {
    if (row === null) this.#storage.sql.exec("DELETE FROM login");
    else {
      this.#storage.sql.exec(
        `INSERT OR REPLACE INTO login (one, sealed_verifier, sealed_state, ends_at_ms, profile)
         VALUES (1, ?, ?, ?, ?)`,
        row.sealedVerifier,
        row.sealedState,
        row.endsAtMs,
        row.profile === null ? null : JSON.stringify(row.profile),
      );
    }
  }

  /** The revision that the Fleet has not confirmed yet, or null. */
  unpushedRevision(): number | null {
    return this.#one<{ revision: number }>("SELECT revision FROM outbox")?.revision ?? null;
  }

  putUnpushedRevision(revision: number): void {
    this.#storage.sql.exec("INSERT OR REPLACE INTO outbox (one, revision) VALUES (1, ?)", revision);
  }

  /** Forgets the pending push, unless a newer revision has come since. */
  clearUnpushedRevision(revision: number): void {
    this.#storage.sql.exec("DELETE FROM outbox WHERE revision <= ?", revision);
  }

  /** Removes every trace of the account, its secrets first of all. */
  async destroy(): Promise<void> {
    await this.#storage.deleteAlarm();
    await this.#storage.deleteAll();
    // A late report may still reach this object: it must find empty tables, not none.
    this.#storage.sql.exec(SCHEMA);
  }

  #one<Row extends Record<string, SqlStorageValue>>(query: string): Row | null {
    return this.#storage.sql.exec<Row>(query).toArray()[0] ?? null;
  }
}
