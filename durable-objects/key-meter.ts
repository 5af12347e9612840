import { DurableObject } from "cloudflare:workers";
import { readConfig } from "../src/config.ts";
import { callObject, remote } from "../src/durable-call.ts";
import type { KeyPolicy, PolicyRefusal } from "../src/keys/key-record.ts";
import type { StoredKey } from "../src/keys/key-store.ts";
import { ledgerShard, shardOf } from "../src/ledger/shards.ts";
import { makeLogger } from "../src/log.ts";
import { ALERTS_NAME } from "./alerts/contract.ts";
import type {
  AdmissionAnswer,
  KeyUse,
  LatestKey,
  MeterBatch,
  MeterReport,
  PastUse,
} from "./key-meter/contract.ts";
import { Meter } from "./key-meter/meter.ts";
import type { RequestRecord } from "./key-meter/request-record.ts";
import type { LedgerBatch } from "./usage-ledger/contract.ts";

/** Shell of one key's object: calls go through to the meter in `key-meter/`. */
export class KeyMeter extends DurableObject<Env> {
  readonly #meter: Meter;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const keyId = ctx.id.name;
    if (keyId === undefined) throw new Error("a key's object is made by name");
    const ledger = {
      keyId,
      newShard: () => {
        const config = readConfig(env);
        if (!config.ok) throw new Error(config.error.map(({ message }) => message).join(" "));
        return shardOf(keyId, config.value.ledger.shards);
      },
      take: (shard: number, batch: LedgerBatch) =>
        callObject(
          () => ledgerShard(env, shard),
          (ledger) => ledger.take(batch),
        ),
      log: makeLogger(env.LOG_LEVEL, { keyId }),
    };
    const alerts = () => remote(env.ALERTS, ALERTS_NAME);
    this.#meter = new Meter(ctx.storage, Date.now, ledger, (levels) =>
      callObject(alerts, (desk) => desk.observeKey(levels)),
    );
  }

  exchange(batch: MeterBatch): Promise<AdmissionAnswer[] | null> {
    return this.#meter.exchange(batch);
  }

  check(use: KeyUse): PolicyRefusal | null {
    return this.#meter.check(use);
  }

  async configure(policy: KeyPolicy, stored: StoredKey | null): Promise<boolean> {
    const holds = this.#meter.configure(policy, stored);
    await this.#meter.watchLimits();
    return holds;
  }

  adopt(past: PastUse): boolean {
    return this.#meter.adopt(past);
  }

  latest(): LatestKey | null {
    return this.#meter.latest();
  }

  pinOf(session: string): string | null {
    return this.#meter.pinOf(session);
  }

  requests(limit: number): RequestRecord[] {
    return this.#meter.requests(limit);
  }

  rememberMessage(messageId: string, accountId: string): void {
    this.#meter.rememberMessage(messageId, accountId);
  }

  usage(policy: KeyPolicy): MeterReport {
    return this.#meter.usage(policy);
  }

  override alarm(): Promise<void> {
    return this.#meter.alarm();
  }
}
