import { afterAll, beforeAll, expect, test } from "vitest";
import { ADMIN_TARGETS } from "../fuzz/admin-api.ts";
import { CLIENT_TARGETS } from "../fuzz/client-api.ts";
import { READER_TARGETS } from "../fuzz/readers.ts";
import { Stage } from "../fuzz/stage.ts";
import { fuzz } from "../fuzz/target.ts";

/** The short form of `npm run fuzz`: a fixed number of inputs, which are the same every time. */
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_124);
const TIME_LIMIT_MS = 120_000;

let stage: Stage;

beforeAll(async () => {
  console.log(`Fuzzing with FUZZ_SEED=${SEED}.`);
  stage = await Stage.open();
});
afterAll(() => stage.close());

test.each(READER_TARGETS)("no input breaks the $name", async (target) => {
  const { runs, finding } = await fuzz(target, undefined, { seed: SEED, runs: target.runs });
  expect(finding).toBeNull();
  expect(runs).toBe(target.runs);
});

test.each([...CLIENT_TARGETS, ...ADMIN_TARGETS])(
  "no input breaks the relay, leaks, or writes its log: $name",
  async (target) => {
    const { runs, finding } = await fuzz(target, stage, { seed: SEED, runs: target.runs });
    expect(finding).toBeNull();
    expect(runs).toBe(target.runs);
  },
  TIME_LIMIT_MS,
);

test("headers that upstream would cut off are refused here, and rest no account", async () => {
  const { relay, key } = stage;
  relay.fake.ledger.clear();
  const headers = { "x-long": "a".repeat(13_000) };
  const answer = await relay.message(key, {}, { headers });
  expect(answer.status).toBe(431);
  expect(await answer.json()).toMatchObject({
    error: { type: "invalid_request_error", message: expect.stringContaining("12 KiB") },
  });
  expect(relay.fake.ledger.entries()).toEqual([]);
  expect((await relay.message(key, {}, { headers: { "x-long": "a".repeat(9_000) } })).status).toBe(
    200,
  );
});
