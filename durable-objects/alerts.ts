import { DurableObject } from "cloudflare:workers";
import { allAccounts } from "../src/accounts/roster.ts";
import { standingOf } from "../src/accounts/roster-row.ts";
import type { AccountPicture } from "../src/alerts/account-incidents.ts";
import { deliver } from "../src/alerts/delivery.ts";
import { readSummary } from "../src/alerts/summary-figures.ts";
import { eventNoteOf } from "../src/events/isolate-sink.ts";
import { makeLogger } from "../src/log.ts";
import { servicesOf } from "../src/relay/services.ts";
import type { Result } from "../src/result.ts";
import type { KeyLevel, ShownWebhook, WebhookProblem, WebhookSettings } from "./alerts/contract.ts";
import { AlertDesk } from "./alerts/desk.ts";

/** Shell of the alerts: bindings in, calls through. What it does is in `alerts/`. */
export class Alerts extends DurableObject<Env> {
  #desk!: AlertDesk;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    // Calls wait until the keys are derived: once per wake-up, some tens of microseconds.
    void ctx.blockConcurrencyWhile(async () => {
      const made = servicesOf(env);
      if (!made.ok) throw new Error(made.error.join(" "));
      const { config, vault, keyStore, fleet, egress, usage } = made.value;
      const keyName = async (id: string) => (await keyStore.findById(id))?.record.name ?? id;
      const { localWebhooks: allowsLocal, panelUrl, summaryTime } = config.alerts;
      this.#desk = new AlertDesk({
        storage: ctx.storage,
        vault: await vault(),
        now: Date.now,
        panelUrl,
        summaryTime,
        keyName: (id) => keyName(id).catch(() => id),
        readSummary: (fromMs, toMs) =>
          readSummary(
            {
              ledger: usage,
              accounts: async () =>
                (await allAccounts(fleet)).map((row) => ({
                  row,
                  standing: standingOf(row, "", Date.now(), egress.canReachProxies),
                })),
              keyNames: async (ids) => {
                const keys = await keyStore.findByIds(ids);
                return new Map(keys.map(({ record }) => [record.id, record.name]));
              },
            },
            fromMs,
            toMs,
          ),
        send: (target, message) =>
          deliver(
            { fetch: (input, init) => fetch(input, init), now: Date.now, allowsLocal },
            target,
            message,
          ),
        log: makeLogger(env.LOG_LEVEL, {}, eventNoteOf(env)),
      });
    });
  }

  observe(picture: Pick<AccountPicture, "incidents" | "watched">): Promise<void> {
    return this.#desk.observe(picture);
  }

  observeKey(levels: KeyLevel[]): Promise<void> {
    return this.#desk.observeKey(levels);
  }

  webhooks(): ShownWebhook[] {
    return this.#desk.webhooks();
  }

  create(settings: WebhookSettings): Promise<Result<ShownWebhook, WebhookProblem>> {
    return this.#desk.create(settings);
  }

  update(
    id: string,
    patch: Partial<WebhookSettings>,
  ): Promise<Result<ShownWebhook, WebhookProblem>> {
    return this.#desk.update(id, patch);
  }

  remove(id: string): Promise<boolean> {
    return this.#desk.remove(id);
  }

  test(id: string): Promise<Result<null, string> | null> {
    return this.#desk.test(id);
  }

  reseal(): Promise<{ resealed: number; failed: { id: string; name: string }[] }> {
    return this.#desk.reseal();
  }

  override alarm(): Promise<void> {
    return this.#desk.alarm();
  }
}
