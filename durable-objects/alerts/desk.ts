import type { Vault } from "../../src/accounts/vault.ts";
import type { AccountPicture } from "../../src/alerts/account-incidents.ts";
import type { AlertMessage, SummaryFigures } from "../../src/alerts/alert.ts";
import type { DeliveryFailure, Target } from "../../src/alerts/delivery.ts";
import { incidentMessage, summaryMessage, testMessage } from "../../src/alerts/words.ts";
import { describeError } from "../../src/background.ts";
import { localTime } from "../../src/ledger/time-zone.ts";
import type { Logger } from "../../src/log.ts";
import { fail, ok, type Result } from "../../src/result.ts";
import { migrate } from "../migrate.ts";
import { HOUR_MS } from "../usage-ledger/schema.ts";
import type { KeyLevel, ShownWebhook, WebhookProblem, WebhookSettings } from "./contract.ts";
import { GATHER_MS, Incidents } from "./incidents.ts";
import { AlertOutbox, UNREADABLE } from "./outbox.ts";
import { SCHEMA_STEPS } from "./schema.ts";
import { LEDGER_DELAY_MS, lastDueMs, nextSummaryMs, type SummaryTime } from "./summary.ts";
import { Webhooks } from "./webhooks.ts";

/** After the ledger could not be asked for a summary. */
const SUMMARY_RETRY_MS = 60_000;

export interface DeskDependencies {
  storage: DurableObjectStorage;
  vault: Vault;
  now(): number;
  /** Of the panel; null: not known. */
  panelUrl: string | null;
  summaryTime: SummaryTime;
  /** What a key is called; its id where that cannot be found out. */
  keyName(id: string): Promise<string>;
  /** Reads the ledger and the roster; rejects where they do not answer. */
  readSummary(fromMs: number, toMs: number): Promise<SummaryFigures>;
  send(target: Target, message: AlertMessage): Promise<Result<null, DeliveryFailure>>;
  log: Logger;
}

/** Everything about alerts: what is wrong, who is to be told, and what is on its way. */
export class AlertDesk {
  readonly #deps: DeskDependencies;
  readonly #incidents: Incidents;
  readonly #webhooks: Webhooks;
  readonly #outbox: AlertOutbox;
  #summaryNotBeforeMs = 0;

  constructor(deps: DeskDependencies) {
    this.#deps = deps;
    const { storage, vault, now, send, log } = deps;
    migrate(storage, SCHEMA_STEPS);
    this.#incidents = new Incidents(storage.sql);
    this.#webhooks = new Webhooks(storage.sql, vault);
    this.#outbox = new AlertOutbox({ storage, webhooks: this.#webhooks, now, send, log });
  }

  /** Takes in how the accounts stand. May be told twice. */
  async observe(picture: Pick<AccountPicture, "incidents" | "watched">): Promise<void> {
    this.#deps.storage.transactionSync(() => this.#incidents.observe(picture, this.#deps.now()));
    await this.#schedule();
  }

  /** Takes in how a key's limits stand. May be told twice. */
  async observeKey(levels: readonly KeyLevel[]): Promise<void> {
    const [first] = levels;
    if (first === undefined) return;
    const name = await this.#deps.keyName(first.keyId);
    this.#deps.storage.transactionSync(() => {
      for (const level of levels) this.#incidents.observeKey(level, name);
    });
    await this.#schedule();
  }

  webhooks(): ShownWebhook[] {
    return this.#webhooks.list();
  }

  async create(settings: WebhookSettings): Promise<Result<ShownWebhook, WebhookProblem>> {
    const id = crypto.randomUUID();
    const created = await this.#webhooks.create(id, settings, this.#deps.now());
    return created.ok ? this.#settled(id) : created;
  }

  async update(
    id: string,
    patch: Partial<WebhookSettings>,
  ): Promise<Result<ShownWebhook, WebhookProblem>> {
    const updated = await this.#webhooks.update(id, patch);
    return updated.ok ? this.#settled(id) : updated;
  }

  /** Removes a webhook, and what waits for it. @returns whether there was one */
  async remove(id: string): Promise<boolean> {
    const removed = this.#webhooks.remove(id);
    this.#outbox.forget(id);
    await this.#schedule();
    return removed;
  }

  /** Sends a message now, beside what waits. @returns null where there is no such webhook */
  async test(id: string): Promise<Result<null, string> | null> {
    const target = await this.#webhooks.target(id);
    const webhook = this.#webhooks.list().find((candidate) => candidate.id === id);
    if (target === null || webhook === undefined) return null;
    if (!target.ok) return fail(UNREADABLE);
    const { now, panelUrl, send } = this.#deps;
    const message = testMessage(crypto.randomUUID(), webhook.name, panelUrl, now());
    const sent = await send(target.value, message);
    this.#webhooks.noteTest(id, sent.ok ? null : sent.error.message, now());
    // Where it works again, what waits need not rest any longer.
    await this.#schedule();
    return sent.ok ? sent : fail(sent.error.message);
  }

  reseal() {
    return this.#webhooks.reseal();
  }

  /** What is due: messages to be made, a summary, deliveries. */
  async alarm(): Promise<void> {
    const { storage, now } = this.#deps;
    const dueAtMs = this.#gatherDueAtMs();
    if (dueAtMs !== null && dueAtMs <= now()) {
      storage.transactionSync(() => this.#tell());
    }
    await this.#summarise();
    await this.#outbox.deliver();
    await this.#schedule();
  }

  #tell(): void {
    const { panelUrl, now } = this.#deps;
    for (const group of this.#incidents.take()) {
      const message = incidentMessage(crypto.randomUUID(), group, panelUrl, now());
      const kinds = [...new Set(group.flatMap((occurrence) => occurrence.kinds))];
      this.#outbox.put(message, kinds);
    }
  }

  #gatherDueAtMs(): number | null {
    const sinceMs = this.#incidents.gatheredSinceMs();
    return sinceMs === null ? null : Math.max(sinceMs + GATHER_MS, this.#outbox.floodEndsAtMs());
  }

  async #summarise(): Promise<void> {
    const { storage, now, summaryTime, readSummary, panelUrl, log } = this.#deps;
    const fromMs = this.#summaryFromMs();
    const toMs = fromMs === null ? null : lastDueMs(summaryTime, fromMs, now());
    if (fromMs === null || toMs === null || this.#summaryNotBeforeMs > now()) return;
    let figures: SummaryFigures;
    try {
      figures = await readSummary(fromMs, toMs);
    } catch (error) {
      this.#summaryNotBeforeMs = now() + SUMMARY_RETRY_MS;
      log("warn", "alert.summary_delayed", { error: describeError(error) });
      return;
    }
    const { timeZone } = summaryTime;
    const times = { from: localTime(timeZone, fromMs), to: localTime(timeZone, toMs) };
    // Made and noted in one step: whatever is killed, none is lost and none comes twice.
    storage.transactionSync(() => {
      const message = summaryMessage(crypto.randomUUID(), figures, times, panelUrl, now());
      this.#outbox.put(message, ["daily_summary"]);
      storage.sql.exec("UPDATE summary SET told_until_ms = ?", toMs);
    });
  }

  /** From where the next summary counts; null: nobody wants one. */
  #summaryFromMs(): number | null {
    const { sql } = this.#deps.storage;
    const isWanted = this.#webhooks.live().some(({ kinds }) => kinds.includes("daily_summary"));
    if (!isWanted) {
      sql.exec("DELETE FROM summary");
      return null;
    }
    const nowMs = this.#deps.now();
    sql.exec(
      "INSERT OR IGNORE INTO summary (one, told_until_ms) VALUES (1, ?)",
      nowMs - (nowMs % HOUR_MS),
    );
    return sql.exec<{ at: number }>("SELECT told_until_ms AS at FROM summary").one().at;
  }

  async #settled(id: string): Promise<Result<ShownWebhook, WebhookProblem>> {
    await this.#schedule();
    const webhook = this.#webhooks.list().find((candidate) => candidate.id === id);
    return webhook === undefined ? fail("unknown") : ok(webhook);
  }

  async #schedule(): Promise<void> {
    const { storage, now, summaryTime } = this.#deps;
    const fromMs = this.#summaryFromMs();
    const summaryMs =
      fromMs === null
        ? null
        : Math.max(nextSummaryMs(summaryTime, fromMs) + LEDGER_DELAY_MS, this.#summaryNotBeforeMs);
    const times = [this.#gatherDueAtMs(), this.#outbox.dueAtMs(), summaryMs].filter(
      (atMs) => atMs !== null,
    );
    if (times.length === 0) await storage.deleteAlarm();
    else await storage.setAlarm(Math.max(now(), Math.min(...times)));
  }
}
