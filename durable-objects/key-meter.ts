import { DurableObject } from "cloudflare:workers";
import type { KeyPolicy, PolicyRefusal } from "../src/keys/key-record.ts";
import type { StoredKey } from "../src/keys/key-store.ts";
import type { LimitRefusal } from "../src/keys/limit-refusal.ts";
import type { Settlement } from "../src/relay/settlement.ts";
import type { Result } from "../src/result.ts";
import {
  type Admission,
  type Admitted,
  type KeyUse,
  type LatestKey,
  Meter,
  type MeterReport,
} from "./key-meter/meter.ts";

/** Shell of one key's object: calls go through to the meter in `key-meter/`. */
export class KeyMeter extends DurableObject<Env> {
  readonly #meter: Meter;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#meter = new Meter(ctx.storage, Date.now);
  }

  admit(admission: Admission): Promise<Result<Admitted, PolicyRefusal | LimitRefusal>> {
    return this.#meter.admit(admission);
  }

  check(use: KeyUse): PolicyRefusal | null {
    return this.#meter.check(use);
  }

  configure(policy: KeyPolicy, stored: StoredKey | null): boolean {
    return this.#meter.configure(policy, stored);
  }

  latest(): LatestKey | null {
    return this.#meter.latest();
  }

  settle(settlement: Settlement): boolean {
    return this.#meter.settle(settlement);
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
