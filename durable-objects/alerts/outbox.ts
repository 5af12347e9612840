import type { AlertKind, AlertMessage } from "../../src/alerts/alert.ts";
import type { DeliveryFailure, Target } from "../../src/alerts/delivery.ts";
import type { Logger } from "../../src/log.ts";
import type { Result } from "../../src/result.ts";
import type { LiveWebhook, Webhooks } from "./webhooks.ts";

const MINUTE_MS = 60_000;
/** A receiver that restarts is back in a moment; one that is down is not asked all the time. */
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15 * MINUTE_MS;
/** An alert that is older helps nobody any more. */
export const GIVE_UP_AFTER_MS = 24 * 60 * MINUTE_MS;
/** So many wait for one webhook; then the oldest are given up. */
const MAX_WAITING = 500;
/** In one alarm, so that none runs for long. */
const MAX_DELIVERIES_AT_ONCE = 20;
/** Messages about incidents: beyond so many in this time, what happens is gathered into the next ones. */
const FLOOD_MESSAGES = 10;
const FLOOD_WINDOW_MS = 10 * MINUTE_MS;

export interface OutboxDependencies {
  storage: DurableObjectStorage;
  webhooks: Webhooks;
  now(): number;
  send(target: Target, message: AlertMessage): Promise<Result<null, DeliveryFailure>>;
  log: Logger;
}

/**
 * Messages on their way: one row a webhook and message, deleted once it was taken. Each webhook gets its
 * messages in their order, so that no recovery arrives before its alert.
 */
export class AlertOutbox {
  readonly #deps: OutboxDependencies;
  readonly #sql: SqlStorage;

  constructor(deps: OutboxDependencies) {
    this.#deps = deps;
    this.#sql = deps.storage.sql;
  }

  /** Puts a message in for every webhook that wants one of its kinds. Inside the caller's transaction. */
  put(message: AlertMessage, kinds: readonly AlertKind[]): void {
    const { webhooks } = this.#deps;
    const wanting = webhooks
      .live()
      .filter((webhook) => webhook.kinds.some((kind) => kinds.includes(kind)));
    this.#sql.exec(
      "INSERT INTO messages (id, at_ms, message) VALUES (?, ?, ?)",
      message.id,
      message.atMs,
      JSON.stringify(message),
    );
    for (const { id } of wanting) {
      this.#sql.exec(
        "INSERT INTO deliveries (webhook_id, message_id, at_ms) VALUES (?, ?, ?)",
        id,
        message.id,
        message.atMs,
      );
      this.#giveUp(
        id,
        `seq NOT IN (SELECT seq FROM deliveries WHERE webhook_id = ?1 ORDER BY seq DESC LIMIT ${MAX_WAITING})`,
      );
    }
  }

  /** From when on another message about incidents may be made. */
  floodEndsAtMs(): number {
    const [row] = this.#sql
      .exec<{ at_ms: number }>(
        "SELECT at_ms FROM messages ORDER BY at_ms DESC LIMIT 1 OFFSET ?",
        FLOOD_MESSAGES - 1,
      )
      .toArray();
    return row === undefined ? 0 : row.at_ms + FLOOD_WINDOW_MS;
  }

  /** When the next try is due; null: nothing waits. */
  dueAtMs(): number | null {
    return this.#sql
      .exec<{ at: number | null }>(
        `SELECT MIN(next_try_at_ms) AS at FROM webhooks WHERE enabled = 1
           AND EXISTS (SELECT 1 FROM deliveries WHERE webhook_id = webhooks.id)`,
      )
      .one().at;
  }

  /** Sends what is due. Receivers do not wait for each other. */
  async deliver(): Promise<void> {
    const nowMs = this.#deps.now();
    const due = this.#deps.webhooks.live().filter(({ nextTryAtMs }) => nextTryAtMs <= nowMs);
    await Promise.all(due.map((webhook) => this.#deliverTo(webhook)));
    this.#prune();
  }

  forget(webhookId: string): void {
    this.#sql.exec("DELETE FROM deliveries WHERE webhook_id = ?", webhookId);
  }

  async #deliverTo({ id, failures }: LiveWebhook): Promise<void> {
    const { webhooks, send, now, log } = this.#deps;
    this.#giveUp(id, "at_ms < ?2", now() - GIVE_UP_AFTER_MS);
    for (let count = 0; count < MAX_DELIVERIES_AT_ONCE; count += 1) {
      const next = this.#next(id);
      const target = next === null ? null : await webhooks.target(id);
      if (next === null || target === null) return;
      const sent = target.ok ? await send(target.value, next.message) : target;
      if (sent.ok) {
        this.#deps.storage.transactionSync(() => {
          this.#sql.exec("DELETE FROM deliveries WHERE seq = ?", next.seq);
          webhooks.noteSuccess(id, now());
        });
        continue;
      }
      const { error } = sent;
      const why = error === "other_encryption_key" ? UNREADABLE : error.message;
      const askedMs = error === "other_encryption_key" ? 0 : (error.retryAfterMs ?? 0);
      const restMs = Math.max(FIRST_RETRY_MS * 2 ** Math.min(failures, 30), askedMs);
      const nextTryAtMs = now() + Math.min(LONGEST_RETRY_MS, restMs);
      webhooks.noteFailure(id, why, now(), nextTryAtMs);
      log("warn", "alert.delayed", { webhookId: id, messageId: next.message.id, reason: why });
      return;
    }
  }

  #next(webhookId: string): { seq: number; message: AlertMessage } | null {
    const [row] = this.#sql
      .exec<{ seq: number; message: string }>(
        `SELECT seq, message FROM deliveries JOIN messages ON messages.id = message_id
         WHERE webhook_id = ? ORDER BY seq LIMIT 1`,
        webhookId,
      )
      .toArray();
    return row === undefined
      ? null
      : { seq: row.seq, message: JSON.parse(row.message) as AlertMessage };
  }

  /** @param which of the webhook's deliveries; ?1 is its id */
  #giveUp(webhookId: string, which: string, ...bindings: number[]): void {
    const lost = this.#sql
      .exec(
        `DELETE FROM deliveries WHERE webhook_id = ?1 AND ${which} RETURNING seq`,
        webhookId,
        ...bindings,
      )
      .toArray().length;
    if (lost === 0) return;
    this.#deps.webhooks.noteGivenUp(webhookId, lost);
    this.#deps.log("error", "alert.given_up", { webhookId, messages: lost });
  }

  /** What nobody waits for, once it no longer counts for the flood guard. */
  #prune(): void {
    this.#sql.exec(
      "DELETE FROM messages WHERE at_ms < ? AND id NOT IN (SELECT message_id FROM deliveries)",
      this.#deps.now() - FLOOD_WINDOW_MS,
    );
  }
}

export const UNREADABLE =
  "its address was stored under another ENCRYPTION_KEY: put that key into ENCRYPTION_KEY_PREVIOUS, or give the address again";
