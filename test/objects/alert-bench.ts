import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { WebhookSettings } from "../../durable-objects/alerts/contract.ts";
import { AlertDesk } from "../../durable-objects/alerts/desk.ts";
import { Vault } from "../../src/accounts/vault.ts";
import { ALERT_KINDS, type AlertMessage, type Incident } from "../../src/alerts/alert.ts";
import type { Target } from "../../src/alerts/delivery.ts";
import { fail, ok } from "../../src/result.ts";

/** Far ahead: the runtime fires an alarm of the past at once, and the test would not move the clock. */
export const START_MS = Date.UTC(2099, 10, 30, 7, 0, 0);
export const SECOND_MS = 1_000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;

export class Bench {
  nowMs = START_MS;
  fails = 0;
  /** What receivers ask for when they fail. */
  retryAfterMs: number | null = null;
  isLedgerDown = false;
  readonly tries: AlertMessage[] = [];
  readonly triedAtMs: number[] = [];
  readonly targets: Target[] = [];
  readonly taken: AlertMessage[] = [];
  readonly ranges: [number, number][] = [];
  readonly storage: DurableObjectStorage;
  vault: Vault;
  desk: AlertDesk;

  constructor(storage: DurableObjectStorage, vault: Vault) {
    this.storage = storage;
    this.vault = vault;
    this.desk = this.wake();
  }

  /** The object as it is made anew on the same storage. */
  wake(): AlertDesk {
    this.desk = new AlertDesk({
      storage: this.storage,
      vault: this.vault,
      now: () => this.nowMs,
      panelUrl: null,
      summaryTime: { hour: 8, timeZone: "UTC" },
      keyName: async (id) => id,
      readSummary: async (fromMs, toMs) => {
        this.ranges.push([fromMs, toMs]);
        if (this.isLedgerDown) throw new Error("the ledger does not answer");
        return SUMMARY;
      },
      send: async (target, message) => {
        this.tries.push(message);
        this.triedAtMs.push(this.nowMs);
        this.targets.push(target);
        if (this.fails > 0) {
          this.fails -= 1;
          return fail({ message: "it answered 500", retryAfterMs: this.retryAfterMs });
        }
        this.taken.push(message);
        return ok(null);
      },
      log: () => {},
    });
    return this.desk;
  }

  async runUntil(atMs: number): Promise<void> {
    for (;;) {
      const alarmAtMs = await this.storage.getAlarm();
      if (alarmAtMs === null || alarmAtMs > atMs) break;
      this.nowMs = Math.max(this.nowMs, alarmAtMs);
      await this.storage.deleteAlarm();
      await this.wake().alarm();
    }
    this.nowMs = atMs;
  }

  async add(patch: Partial<WebhookSettings> = {}): Promise<string> {
    const made = await this.desk.create({ ...OPS, ...patch });
    if (!made.ok) throw new Error(made.error);
    return made.value.id;
  }

  /** That these accounts have trouble, and all of them are watched; then what is due in a moment. */
  async observe(troubled: string[], watched = ["a", "b"]): Promise<void> {
    await this.desk.observe({ incidents: troubled.map(troubleOf), watched });
    await this.runUntil(this.nowMs + 5 * SECOND_MS);
  }

  get delivery() {
    return this.desk.webhooks()[0]?.delivery;
  }

  get told(): string[] {
    return this.taken.map(({ kind, state }) => `${kind} ${state}`);
  }
}

export const OPS: WebhookSettings = {
  ...{ name: "ops", format: "slack", kinds: [...ALERT_KINDS], enabled: true },
  ...{ address: "https://h.example/t0ken", secret: null },
};

const SUMMARY = {
  ...{ from: "", to: "", requests: 1, failed: 0, unsettled: 0, inputTokens: 0, outputTokens: 0 },
  ...{ cacheWriteTokens: 0, cacheReadTokens: 0, costDollars: 0, topKeys: [], accounts: [] },
};

export function troubleOf(id: string): Incident {
  return {
    id: `account:${id}`,
    kind: "account_unusable",
    cause: "org_disabled",
    subject: { type: "account", id, name: id },
    reason: "switched off",
    sinceMs: START_MS,
    untilMs: null,
  };
}

export async function withBench(run: (bench: Bench) => Promise<void>): Promise<void> {
  const vault = await Vault.open(env.ENCRYPTION_KEY);
  const stub = env.ALERTS.getByName(crypto.randomUUID());
  await runInDurableObject(stub, (_, state) => run(new Bench(state.storage, vault)));
}
