import { setTimeout as sleep } from "node:timers/promises";
import { TestRedis } from "../../fixtures/redis/index.ts";
import { Stage, setUp } from "../stage.ts";
import type { TroubledStage } from "../troubled-stage.ts";
import { type FaultRow, faultGroup } from "./row.ts";

const FAILS = 0.5;
/** Longer than an isolate uses a record without its store: then every request needs the store. */
const RECORD_ENDS_MS = 16 * 60_000;
/** Redis goes and comes so often. */
const OUTAGES = 3;

const failing = (
  what: string,
  share: { reads: number; writes: number },
): FaultRow<TroubledStage> => ({
  name: `key store: Workers KV fails at ${what}`,
  allowed: ["refused"],
  hasAdmin: true,
  strike: async (stage, forMs) => {
    await stage.moveClock(RECORD_ENDS_MS);
    await stage.suffer({ keyStore: share }, forMs);
  },
});

export const KV_ROWS = [
  failing("reads", { reads: FAILS, writes: 0 }),
  failing("writes", { reads: 0, writes: FAILS }),
  failing("both", { reads: FAILS, writes: FAILS }),
];

class RedisStage extends Stage {
  readonly redis: TestRedis;

  constructor(redis: TestRedis, parts: ConstructorParameters<typeof Stage>[0]) {
    super(parts);
    this.redis = redis;
  }

  static override async open(): Promise<RedisStage> {
    const redis = await TestRedis.start();
    const parts = await setUp({ relay: { vars: redis.vars } });
    // Keys that the relay has seen go on without their store, and no others are asked for.
    await Promise.all(parts.keys.map((key) => parts.relay.usage(key)));
    return new RedisStage(redis, parts);
  }

  override async close(): Promise<void> {
    await super.close();
    await this.redis.close();
  }
}

export const redisFaults = faultGroup(RedisStage.open, [
  {
    name: `key store: Redis stopped and started ${OUTAGES} times`,
    allowed: [],
    hasAdmin: true,
    strike: async ({ redis }, forMs) => {
      for (let outage = 0; outage < OUTAGES; outage += 1) {
        await redis.stop();
        await sleep(forMs / OUTAGES / 2);
        await redis.start();
        await sleep(forMs / OUTAGES / 2);
      }
    },
  },
]);
