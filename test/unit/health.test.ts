import { expect, test } from "vitest";
import type { Services } from "../../src/relay/services.ts";
import { healthAnswer } from "../../src/system/health.ts";
import { rowOf } from "./roster-rows.ts";

const healthOf = (isDown: boolean): Promise<Response> =>
  healthAnswer({
    ok: true,
    value: {
      keyStore: { kind: "kv", findById: async () => null },
      fleet: () => ({ snapshot: async () => ({ rows: [JSON.stringify(rowOf("a"))] }) }),
      vault: async () => ({ knows: () => true }),
      egress: { canReachProxies: false },
      meterLink: { isDown },
    } as unknown as Services,
  });

test("a relay that reads well and can let nobody in says so, and what to look at", async () => {
  const well = await healthOf(false);
  expect([well.status, await well.json()]).toMatchObject([200, { message: "Ready." }]);
  const down = await healthOf(true);
  expect([down.status, await down.json()]).toMatchObject([
    503,
    { status: "unavailable", message: expect.stringContaining("disk is full") },
  ]);
});
