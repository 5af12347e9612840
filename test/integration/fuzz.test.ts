import { afterAll, beforeAll, expect, test } from "vitest";
import { ADMIN_TARGETS } from "../fuzz/admin-api.ts";
import { CLIENT_TARGETS } from "../fuzz/client-api.ts";
import { PROXY_TARGETS } from "../fuzz/proxies.ts";
import { sendRaw } from "../fuzz/raw-http.ts";
import { READER_TARGETS } from "../fuzz/readers.ts";
import { Stage } from "../fuzz/stage.ts";
import { fuzz } from "../fuzz/target.ts";

/** The short form of `npm run fuzz`: a fixed number of inputs, which are the same every time. */
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_124);
/** So that a finding is told before the test's own time is over. */
const SHRINKING_MS = 60_000;
const TIME_LIMIT_MS = 120_000;

let stage: Stage;

beforeAll(async () => {
  console.log(`Fuzzing with FUZZ_SEED=${SEED}.`);
  stage = await Stage.open();
});
afterAll(() => stage.close());

test.each([...READER_TARGETS, ...PROXY_TARGETS])("no input breaks the $name", async (target) => {
  const { runs, finding } = await fuzz(target, undefined, {
    seed: SEED,
    runs: target.runs,
    forMs: SHRINKING_MS,
  });
  expect(finding).toBeNull();
  expect(runs).toBe(target.runs);
});

test.each([...CLIENT_TARGETS, ...ADMIN_TARGETS])(
  "no input breaks the relay, leaks, or writes its log: $name",
  async (target) => {
    const { runs, finding } = await fuzz(target, stage, {
      seed: SEED,
      runs: target.runs,
      forMs: SHRINKING_MS,
    });
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

test.each(["relay.test:99999", "a b", "%", "[", "127.0.0.1, a"])(
  "a host that is none is refused in words: %s",
  async (host) => {
    const request = `GET /v1/usage HTTP/1.1\r\nhost: ${host}\r\n\r\n`;
    const outcome = await sendRaw(stage.relay.url, Buffer.from(request), { end: false });
    expect(outcome).toMatchObject({ kind: "answer", answer: { status: 400 } });
    const body = outcome.kind === "answer" ? JSON.parse(outcome.answer.body) : null;
    expect(body.error.message).toContain("make no address");
  },
);
