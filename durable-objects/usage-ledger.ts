import { DurableObject } from "cloudflare:workers";
import { readConfig } from "../src/config.ts";
import type {
  Dimension,
  GroupSums,
  KeySums,
  KeySumsQuery,
  LedgerBatch,
  LedgerReach,
  LedgerRequest,
  LifetimeSums,
  RecentQuery,
  Sums,
  TrendQuery,
  UsageFilter,
  UsageRange,
} from "./usage-ledger/contract.ts";
import { Ledger } from "./usage-ledger/ledger.ts";

/** Shell of one shard of the usage ledger: calls go through to the core in `usage-ledger/`. */
export class UsageLedger extends DurableObject<Env> {
  readonly #ledger: Ledger;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const retention = () => {
      const config = readConfig(env);
      if (!config.ok) throw new Error(config.error.map(({ message }) => message).join(" "));
      return config.value.ledger;
    };
    this.#ledger = new Ledger(ctx.storage, Date.now, retention);
  }

  take(batch: LedgerBatch): Promise<void> {
    return this.#ledger.take(batch);
  }

  reach(): LedgerReach {
    return this.#ledger.reach();
  }

  sums(range: UsageRange, filter: UsageFilter, by: Dimension[]): GroupSums[] {
    return this.#ledger.sums(range, filter, by);
  }

  keySums(query: KeySumsQuery): KeySums[] {
    return this.#ledger.keySums(query);
  }

  lifetime(): LifetimeSums[] {
    return this.#ledger.lifetime();
  }

  trend(query: TrendQuery): Sums[] {
    return this.#ledger.trend(query);
  }

  recent(query: RecentQuery): LedgerRequest[] {
    return this.#ledger.recent(query);
  }

  find(id: string): LedgerRequest | null {
    return this.#ledger.find(id);
  }

  override alarm(): Promise<void> {
    return this.#ledger.alarm();
  }
}
