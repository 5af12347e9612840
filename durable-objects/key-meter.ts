import { DurableObject } from "cloudflare:workers";
import type { KeyPolicy, KeyRecord, PolicyRefusal } from "../src/keys/key-record.ts";
import type { Settlement } from "../src/relay/settlement.ts";
import type { Result } from "../src/result.ts";
import { type Admission, type Admitted, Meter } from "./key-meter/meter.ts";
import type { UsageReport } from "./key-meter/usage-report.ts";

/** Shell of one key's object: calls go through to the meter in `key-meter/`. */
export class KeyMeter extends DurableObject<Env> {
  readonly #meter: Meter;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#meter = new Meter(ctx.storage, Date.now);
  }

  admit(admission: Admission): Promise<Result<Admitted, PolicyRefusal>> {
    return this.#meter.admit(admission);
  }

  check(policy: KeyPolicy): PolicyRefusal | null {
    return this.#meter.check(policy);
  }

  configure(policy: KeyPolicy, record: KeyRecord | null): boolean {
    return this.#meter.configure(policy, record);
  }

  latest(): { policy: KeyPolicy; record: KeyRecord | null } | null {
    return this.#meter.latest();
  }

  settle(settlement: Settlement): boolean {
    return this.#meter.settle(settlement);
  }

  rememberMessage(messageId: string, accountId: string): void {
    this.#meter.rememberMessage(messageId, accountId);
  }

  usage(): UsageReport {
    return this.#meter.usage();
  }

  override alarm(): Promise<void> {
    return this.#meter.alarm();
  }
}
