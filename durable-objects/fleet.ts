import { DurableObject } from "cloudflare:workers";
import type { RosterRow } from "../src/accounts/roster-row.ts";

/** What Workers choose from. */
export interface RosterSnapshot {
  /** Grows with every change of any row. */
  version: number;
  /** The rows as JSON, which `parseRosterRow` reads; null where the caller has this version. */
  rows: string[] | null;
}

/** The name of the one Fleet object. */
export const FLEET_NAME = "fleet";

/** The roster of accounts: one row each, pushed by the account's own object when it changes. */
export class Fleet extends DurableObject<Env> {
  #version: number;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS accounts (
        id TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        row TEXT -- null: removed; kept, so that a late push cannot bring the account back
      ) WITHOUT ROWID;
    `);
    // Not a count: one that began anew after an eviction could meet a number that a Worker holds.
    this.#version = Date.now();
  }

  /** Takes a row in, unless a newer revision of it came first. */
  push(row: RosterRow): void {
    this.ctx.storage.sql.exec(
      `INSERT INTO accounts (id, revision, row) VALUES (?1, ?2, ?3)
       ON CONFLICT (id) DO UPDATE SET revision = ?2, row = ?3
         WHERE revision < ?2 AND row IS NOT NULL`,
      row.id,
      row.revision,
      JSON.stringify(row),
    );
    this.#version += 1;
  }

  remove(id: string): void {
    this.ctx.storage.sql.exec(
      `INSERT INTO accounts (id, revision, row) VALUES (?, 0, NULL)
       ON CONFLICT (id) DO UPDATE SET row = NULL`,
      id,
    );
    this.#version += 1;
  }

  /** @param knownVersion of the snapshot that the caller has; null: none */
  snapshot(knownVersion: number | null): RosterSnapshot {
    if (knownVersion === this.#version) return { version: this.#version, rows: null };
    const rows = this.ctx.storage.sql
      .exec<{ row: string }>("SELECT row FROM accounts WHERE row IS NOT NULL ORDER BY id")
      .toArray()
      .map(({ row }) => row);
    return { version: this.#version, rows };
  }
}
