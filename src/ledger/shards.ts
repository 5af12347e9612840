import { hash32 } from "../accounts/rendezvous.ts";
import { type Remote, remote } from "../durable-call.ts";
import type { UsageLedger } from "../index.ts";

/** The shard that a new key's use goes to. A key stays with it, however many there are later. */
export function shardOf(keyId: string, shards: number): number {
  return hash32(keyId) % shards;
}

export function ledgerShard(env: Env, shard: number): Remote<UsageLedger> {
  return remote(env.USAGE_LEDGER, `ledger-${shard}`);
}
