import type { KeyPolicy } from "../../src/keys/key-record.ts";
import type { StoredKey } from "../../src/keys/key-store.ts";
import type { LatestKey } from "./contract.ts";

type PolicyRow = { policy: string; stored: string | null; activated_at_ms: number | null };

/** What a meter knows of its key: the newest policy that it was told, and when the key was first used. */
export class HeldPolicy {
  readonly #sql: SqlStorage;
  #policy: KeyPolicy | null;
  #activatedAtMs: number | null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const row = this.#row();
    this.#policy = row === undefined ? null : (JSON.parse(row.policy) as KeyPolicy);
    this.#activatedAtMs = row?.activated_at_ms ?? null;
  }

  /** Null where the meter was never told one. */
  get policy(): KeyPolicy | null {
    return this.#policy;
  }

  /** Null: the key was not used yet. */
  get activatedAtMs(): number | null {
    return this.#activatedAtMs;
  }

  /**
   * The newest policy, after taking in the one that a request brought.
   *
   * @throws where there is none at all
   */
  newest(policy: KeyPolicy | null): KeyPolicy {
    if (policy !== null && policy.version > (this.#policy?.version ?? 0)) this.configure(policy);
    const newest = this.#policy ?? policy;
    if (newest === null) throw new Error("a meter was asked without a policy");
    return newest;
  }

  /**
   * Takes in a policy that is newer than the one held.
   *
   * @param stored the whole record under its hash, where an admin changed it
   * @returns whether this policy now holds; false where one of the same or a newer version, and
   *   another content, was there first
   */
  configure(policy: KeyPolicy, stored: StoredKey | null = null): boolean {
    const text = JSON.stringify(policy);
    if (this.#policy !== null && this.#policy.version >= policy.version) {
      return JSON.stringify(this.#policy) === text;
    }
    this.#sql.exec(
      `INSERT INTO policy (one, policy, stored) VALUES (1, ?1, ?2)
       ON CONFLICT (one) DO UPDATE SET policy = ?1, stored = ?2`,
      text,
      stored === null ? null : JSON.stringify(stored),
    );
    this.#policy = policy;
    return true;
  }

  /** Notes the first use. */
  activate(nowMs: number): void {
    if (this.#activatedAtMs !== null) return;
    this.#activatedAtMs = nowMs;
    this.#sql.exec("UPDATE policy SET activated_at_ms = ?", nowMs);
  }

  /** The key as it was last changed here, while the key store may still serve an older record. */
  latest(): LatestKey | null {
    const row = this.#row();
    if (row === undefined) return null;
    const stored = row.stored === null ? null : (JSON.parse(row.stored) as StoredKey);
    return { stored, activatedAtMs: row.activated_at_ms };
  }

  #row(): PolicyRow | undefined {
    return this.#sql
      .exec<PolicyRow>("SELECT policy, stored, activated_at_ms FROM policy")
      .toArray()[0];
  }
}
