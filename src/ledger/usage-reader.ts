import type {
  Dimension,
  GroupSums,
  KeySums,
  KeySumsQuery,
  LedgerReach,
  LedgerRequest,
  LifetimeSums,
  RecentQuery,
  Sums,
  TrendQuery,
  UsageFilter,
  UsageRange,
} from "../../durable-objects/usage-ledger/contract.ts";
import { addSums, noSums } from "../../durable-objects/usage-ledger/sums.ts";
import { callObject, type Remote } from "../durable-call.ts";
import type { UsageLedger } from "../index.ts";
import type { LedgerWatch } from "./ledger-watch.ts";
import { ledgerShard } from "./shards.ts";

/**
 * The ledger as a whole: asks every shard and puts their answers together. Whoever reads is noted, so
 * that what happens from now on is there soon.
 */
export class UsageReader {
  readonly #shards: (() => Remote<UsageLedger>)[];
  readonly #watch: LedgerWatch;

  constructor(env: Env, shards: number, watch: LedgerWatch) {
    this.#shards = Array.from({ length: shards }, (_, shard) => () => ledgerShard(env, shard));
    this.#watch = watch;
  }

  async reach(): Promise<LedgerReach> {
    const reaches = await this.#ask((ledger) => ledger.reach());
    return {
      firstHourMs: earliest(reaches.map(({ firstHourMs }) => firstHourMs)),
      firstDayMs: earliest(reaches.map(({ firstDayMs }) => firstDayMs)),
    };
  }

  /** Sums by group, the dearest first. */
  async sums(range: UsageRange, filter: UsageFilter, by: Dimension[]): Promise<GroupSums[]> {
    const answers = await this.#ask((ledger) => ledger.sums(range, filter, by));
    const groups = new Map<string, GroupSums>();
    for (const group of answers.flat()) {
      const name = JSON.stringify([group.account_id, group.model]);
      const known = groups.get(name);
      if (known === undefined) groups.set(name, group);
      else addSums(known.sums, group.sums);
    }
    return [...groups.values()].sort((left, right) => right.sums.cost_nano - left.sums.cost_nano);
  }

  async total(range: UsageRange, filter: UsageFilter): Promise<Sums> {
    const [whole] = await this.sums(range, filter, []);
    return whole?.sums ?? noSums();
  }

  /** Each shard's sums over everything that it ever counted; the same group may come from several. */
  async lifetime(): Promise<LifetimeSums[]> {
    return (await this.#ask((ledger) => ledger.lifetime())).flat();
  }

  /** A key is on one shard alone, so each shard's first are enough to know the first of all. */
  async keySums(query: KeySumsQuery): Promise<KeySums[]> {
    const answers = await this.#ask((ledger) => ledger.keySums(query));
    const byId = (left: KeySums, right: KeySums) => (left.key_id < right.key_id ? -1 : 1);
    const byCost = (left: KeySums, right: KeySums) =>
      right.cost_nano - left.cost_nano || byId(left, right);
    return answers
      .flat()
      .sort(query.order.by === "cost" ? byCost : byId)
      .slice(0, query.limit);
  }

  async trend(query: TrendQuery): Promise<Sums[]> {
    const buckets = query.starts.map(noSums);
    for (const answer of await this.#ask((ledger) => ledger.trend(query))) {
      for (const [index, sums] of answer.entries()) {
        const bucket = buckets[index];
        if (bucket !== undefined) addSums(bucket, sums);
      }
    }
    return buckets;
  }

  /** The newest first. */
  async recent(query: RecentQuery): Promise<LedgerRequest[]> {
    const answers = await this.#ask((ledger) => ledger.recent(query));
    return answers
      .flat()
      .sort((left, right) => (left.id < right.id ? 1 : -1))
      .slice(0, query.limit);
  }

  async find(id: string): Promise<LedgerRequest | null> {
    const answers = await this.#ask((ledger) => ledger.find(id));
    return answers.find((request) => request !== null) ?? null;
  }

  async #ask<T>(call: (ledger: Remote<UsageLedger>) => Promise<T>): Promise<T[]> {
    const asked = Promise.all(this.#shards.map((shard) => callObject(shard, call)));
    const [answers] = await Promise.all([asked, this.#watch.note()]);
    return answers;
  }
}

function earliest(times: readonly (number | null)[]): number | null {
  const known = times.filter((atMs) => atMs !== null);
  return known.length === 0 ? null : Math.min(...known);
}
