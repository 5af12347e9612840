import type { LedgerPost } from "../../durable-objects/key-meter/outbox.ts";

/** A ledger that takes everything and keeps nothing: for tests of what a meter is by itself. */
export const HEARD: LedgerPost = {
  keyId: "key",
  newShard: () => 0,
  take: async () => {},
  log: () => {},
};
