import { keyIdOf, type Vault } from "../../src/accounts/vault.ts";
import type { AlertFormat, AlertKind } from "../../src/alerts/alert.ts";
import type { Target } from "../../src/alerts/delivery.ts";
import { fail, ok, type Result } from "../../src/result.ts";
import {
  MAX_WEBHOOKS,
  type ShownWebhook,
  type WebhookProblem,
  type WebhookSettings,
} from "./contract.ts";

type WebhookRow = {
  id: string;
  name: string;
  format: AlertFormat;
  kinds: string;
  enabled: number;
  host: string;
  sealed_address: string;
  sealed_secret: string | null;
  created_at_ms: number;
  failures: number;
  next_try_at_ms: number;
  last_success_at_ms: number | null;
  last_failure_at_ms: number | null;
  last_failure: string | null;
  given_up: number;
};

/** A webhook that may be tried. */
export interface LiveWebhook {
  id: string;
  kinds: AlertKind[];
  failures: number;
  nextTryAtMs: number;
}

/** The webhooks: addresses and secrets are sealed, under the webhook's id and the field's name. */
export class Webhooks {
  readonly #sql: SqlStorage;
  readonly #vault: Vault;

  constructor(sql: SqlStorage, vault: Vault) {
    this.#sql = sql;
    this.#vault = vault;
  }

  async create(
    id: string,
    { name, format, kinds, enabled, address, secret }: WebhookSettings,
    nowMs: number,
  ): Promise<Result<null, WebhookProblem>> {
    const [sealedAddress, sealedSecret] = await Promise.all([
      this.#vault.seal(id, "address", address),
      secret === null ? null : this.#vault.seal(id, "secret", secret),
    ]);
    if (this.#isTaken(name, id)) return fail("name_taken");
    const { count } = this.#sql
      .exec<{ count: number }>("SELECT COUNT(*) AS count FROM webhooks")
      .one();
    if (count >= MAX_WEBHOOKS) return fail("too_many");
    this.#sql.exec(
      `INSERT INTO webhooks
         (id, name, format, kinds, enabled, host, sealed_address, sealed_secret, created_at_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      id,
      name,
      format,
      JSON.stringify(kinds),
      enabled ? 1 : 0,
      new URL(address).host,
      sealedAddress,
      sealedSecret,
      nowMs,
    );
    return ok(null);
  }

  /** What is not given stays as it is. A new address or secret is tried at once. */
  async update(id: string, patch: Partial<WebhookSettings>): Promise<Result<null, WebhookProblem>> {
    const { name, kinds, enabled, address, secret } = patch;
    const sealedAddress =
      address === undefined ? null : await this.#vault.seal(id, "address", address);
    const sealedSecret =
      secret === undefined || secret === null ? null : await this.#vault.seal(id, "secret", secret);
    const row = this.#row(id);
    if (row === undefined) return fail("unknown");
    if (name !== undefined && this.#isTaken(name, id)) return fail("name_taken");
    const isNew = address !== undefined || secret !== undefined || (enabled && row.enabled === 0);
    this.#sql.exec(
      `UPDATE webhooks SET name = ?, kinds = ?, enabled = ?, host = ?, sealed_address = ?,
         sealed_secret = ?, failures = ?, next_try_at_ms = ? WHERE id = ?`,
      name ?? row.name,
      kinds === undefined ? row.kinds : JSON.stringify(kinds),
      enabled === undefined ? row.enabled : enabled ? 1 : 0,
      address === undefined ? row.host : new URL(address).host,
      sealedAddress ?? row.sealed_address,
      secret === null ? null : (sealedSecret ?? row.sealed_secret),
      isNew ? 0 : row.failures,
      isNew ? 0 : row.next_try_at_ms,
      id,
    );
    return ok(null);
  }

  /** @returns whether there was one */
  remove(id: string): boolean {
    return this.#sql.exec("DELETE FROM webhooks WHERE id = ?", id).rowsWritten > 0;
  }

  list(): ShownWebhook[] {
    return this.#sql
      .exec<WebhookRow & { waiting: number }>(
        `SELECT webhooks.*,
           (SELECT COUNT(*) FROM deliveries WHERE webhook_id = webhooks.id) AS waiting
         FROM webhooks ORDER BY name`,
      )
      .toArray()
      .map(shown);
  }

  live(): LiveWebhook[] {
    return this.#sql
      .exec<WebhookRow>("SELECT * FROM webhooks WHERE enabled = 1 ORDER BY id")
      .toArray()
      .map(({ id, kinds, failures, next_try_at_ms }) => ({
        id,
        kinds: JSON.parse(kinds) as AlertKind[],
        failures,
        nextTryAtMs: next_try_at_ms,
      }));
  }

  /** In the clear, for one try. @returns null where there is no such webhook */
  async target(id: string): Promise<Result<Target, "other_encryption_key"> | null> {
    const row = this.#row(id);
    if (row === undefined) return null;
    const { format, sealed_address: sealedAddress, sealed_secret: sealedSecret } = row;
    const address = await this.#vault.unseal(id, "address", sealedAddress);
    const secret =
      sealedSecret === null ? null : await this.#vault.unseal(id, "secret", sealedSecret);
    if (!address.ok || (secret !== null && !secret.ok)) return fail("other_encryption_key");
    return ok({ format, address: address.value, secret: secret === null ? null : secret.value });
  }

  noteSuccess(id: string, atMs: number): void {
    this.#sql.exec(
      "UPDATE webhooks SET failures = 0, next_try_at_ms = 0, last_success_at_ms = ? WHERE id = ?",
      atMs,
      id,
    );
  }

  noteFailure(id: string, why: string, atMs: number, nextTryAtMs: number): void {
    this.#sql.exec(
      `UPDATE webhooks SET failures = failures + 1, next_try_at_ms = ?, last_failure_at_ms = ?,
         last_failure = ? WHERE id = ?`,
      nextTryAtMs,
      atMs,
      why,
      id,
    );
  }

  /** What a test shows, without a word on what waits. */
  noteTest(id: string, why: string | null, atMs: number): void {
    if (why === null) {
      this.noteSuccess(id, atMs);
      return;
    }
    this.#sql.exec(
      "UPDATE webhooks SET last_failure_at_ms = ?, last_failure = ? WHERE id = ?",
      atMs,
      why,
      id,
    );
  }

  noteGivenUp(id: string, count: number): void {
    this.#sql.exec("UPDATE webhooks SET given_up = given_up + ? WHERE id = ?", count, id);
  }

  /** Seals what an older key holds under the one in use. @returns the names of those it could not read */
  async reseal(): Promise<{ resealed: number; failed: { id: string; name: string }[] }> {
    const failed: { id: string; name: string }[] = [];
    let resealed = 0;
    for (const { id, name } of this.list()) {
      const row = this.#row(id);
      if (row === undefined || this.#isCurrent(row)) continue;
      const target = await this.target(id);
      if (target === null) continue;
      if (!target.ok) {
        failed.push({ id, name });
        continue;
      }
      const { address, secret } = target.value;
      await this.update(id, { address, ...(secret === null ? {} : { secret }) });
      resealed += 1;
    }
    return { resealed, failed };
  }

  #isCurrent({ sealed_address: address, sealed_secret: secret }: WebhookRow): boolean {
    const { kid } = this.#vault;
    return keyIdOf(address) === kid && (secret === null || keyIdOf(secret) === kid);
  }

  #isTaken(name: string, id: string): boolean {
    return (
      this.#sql.exec("SELECT 1 FROM webhooks WHERE name = ? AND id <> ?", name, id).toArray()
        .length > 0
    );
  }

  #row(id: string): WebhookRow | undefined {
    return this.#sql.exec<WebhookRow>("SELECT * FROM webhooks WHERE id = ?", id).toArray()[0];
  }
}

function shown(row: WebhookRow & { waiting: number }): ShownWebhook {
  return {
    id: row.id,
    name: row.name,
    format: row.format,
    kinds: JSON.parse(row.kinds) as AlertKind[],
    enabled: row.enabled === 1,
    host: row.host,
    isSigned: row.sealed_secret !== null,
    createdAtMs: row.created_at_ms,
    delivery: {
      lastSuccessAtMs: row.last_success_at_ms,
      lastFailureAtMs: row.last_failure_at_ms,
      lastFailure: row.last_failure,
      failures: row.failures,
      nextTryAtMs: row.waiting > 0 && row.enabled === 1 ? row.next_try_at_ms : null,
      waiting: row.waiting,
      givenUp: row.given_up,
    },
  };
}
