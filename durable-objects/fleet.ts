import { DurableObject } from "cloudflare:workers";
import type { RosterRow } from "../src/accounts/roster-row.ts";
import { readConfig } from "../src/config.ts";
import { callObject, remote } from "../src/durable-call.ts";
import { eventNoteOf } from "../src/events/isolate-sink.ts";
import { makeLogger } from "../src/log.ts";
import type { OperatorPrice } from "../src/upstream/price-list.ts";
import { ALERTS_NAME } from "./alerts/contract.ts";
import { AccountWatch } from "./fleet/account-watch.ts";
import { PriceTable } from "./fleet/price-table.ts";

/** What Workers choose from, and what they price by. */
export interface RosterSnapshot {
  /** Grows with every change of any row or price. */
  version: number;
  /** The rows as JSON, which `parseRosterRow` reads; null where the caller has this version. */
  rows: string[] | null;
  /** The operator's prices as JSON, which `parseOperatorPrice` reads; null together with the rows. */
  prices: string[] | null;
  /** Whether someone reads the usage ledger these minutes. */
  isLedgerWatched: boolean;
}

/** Who reads the ledger is taken to read on for so long: longer than a panel or a scraper pauses. */
const WATCHED_MS = 3 * 60_000;

/** The name of the one Fleet object. */
export const FLEET_NAME = "fleet";

/**
 * The roster of accounts: one row each, pushed by the account's own object when it changes. And the
 * prices that the operator set: every Worker needs both, and reads them in one call.
 */
export class Fleet extends DurableObject<Env> {
  readonly #prices: PriceTable;
  readonly #watch: AccountWatch;
  #version: number;
  /** Not kept: who reads on says so again. */
  #ledgerWatchedUntilMs = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS accounts (
        id TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        row TEXT -- null: removed; kept, so that a late push cannot bring the account back
      ) WITHOUT ROWID;
    `);
    this.#prices = new PriceTable(ctx.storage.sql, Date.now);
    const alerts = () => remote(env.ALERTS, ALERTS_NAME);
    this.#watch = new AccountWatch({
      storage: ctx.storage,
      now: Date.now,
      rows: () => this.#rows(),
      canReachProxies: () => {
        const config = readConfig(env);
        return config.ok && config.value.forwardProxies.length > 0;
      },
      tell: (picture) => callObject(alerts, (desk) => desk.observe(picture)),
      log: makeLogger(env.LOG_LEVEL, {}, eventNoteOf(env)),
    });
    // Not a count: one that began anew after an eviction could meet a number that a Worker holds.
    this.#version = Date.now();
  }

  /** Takes a row in, unless a newer revision of it came first. */
  push(row: RosterRow): Promise<void> {
    const before = this.#row(row.id);
    this.ctx.storage.sql.exec(
      `INSERT INTO accounts (id, revision, row) VALUES (?1, ?2, ?3)
       ON CONFLICT (id) DO UPDATE SET revision = ?2, row = ?3
         WHERE revision < ?2 AND row IS NOT NULL`,
      row.id,
      row.revision,
      JSON.stringify(row),
    );
    this.#version += 1;
    return this.#watch.noteChange(before, row);
  }

  remove(id: string): Promise<void> {
    const before = this.#row(id);
    this.ctx.storage.sql.exec(
      `INSERT INTO accounts (id, revision, row) VALUES (?, 0, NULL)
       ON CONFLICT (id) DO UPDATE SET row = NULL`,
      id,
    );
    this.#version += 1;
    return this.#watch.noteChange(before, null);
  }

  /** Whether an account has this id, or had it before it was removed. */
  knows(id: string): boolean {
    return (
      this.ctx.storage.sql.exec("SELECT 1 FROM accounts WHERE id = ?", id).toArray().length > 0
    );
  }

  prices(): string[] {
    return this.#prices.all();
  }

  /** @returns the price as it is kept, or null where there is no room for another one */
  setPrice(price: Omit<OperatorPrice, "revision">): OperatorPrice | null {
    const kept = this.#prices.set(price);
    if (kept !== null) this.#version += 1;
    return kept;
  }

  removePrice(modelId: string, effectiveFrom: string): boolean {
    const removed = this.#prices.remove(modelId, effectiveFrom);
    if (removed) this.#version += 1;
    return removed;
  }

  /** Someone reads the usage ledger: every Worker hears of it with its next snapshot. */
  watchLedger(): void {
    this.#ledgerWatchedUntilMs = Date.now() + WATCHED_MS;
  }

  /** @param knownVersion of the snapshot that the caller has; null: none */
  snapshot(knownVersion: number | null): RosterSnapshot {
    const version = this.#version;
    const isLedgerWatched = Date.now() < this.#ledgerWatchedUntilMs;
    if (knownVersion === version) return { version, rows: null, prices: null, isLedgerWatched };
    return { version, rows: this.#rows(), prices: this.#prices.all(), isLedgerWatched };
  }

  override alarm(): Promise<void> {
    return this.#watch.alarm();
  }

  #row(id: string): string | null {
    const [known] = this.ctx.storage.sql
      .exec<{ row: string | null }>("SELECT row FROM accounts WHERE id = ?", id)
      .toArray();
    return known?.row ?? null;
  }

  #rows(): string[] {
    return this.ctx.storage.sql
      .exec<{ row: string }>("SELECT row FROM accounts WHERE row IS NOT NULL ORDER BY id")
      .toArray()
      .map(({ row }) => row);
  }
}
