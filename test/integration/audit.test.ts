import { afterEach, beforeEach, expect, test } from "vitest";
import { Audit } from "../chaos/conservation.ts";
import { Load, NUMBER_HEADER, type Seen } from "../chaos/load.ts";
import { Stage, setUp } from "../chaos/stage.ts";

const KEPT_BY_UPSTREAM = 40;
const ENOUGH = 30;
const POLL_MS = 5;

let stage: Stage;
let audit: Audit;
beforeEach(async () => {
  stage = new Stage(await setUp({ relay: { fake: { maxLedgerEntries: KEPT_BY_UPSTREAM } } }));
  audit = new Audit(stage);
});
afterEach(() => stage.close());

/** Clients ask, one after the other, until so many answers are there. */
async function ask(row: string, answers: number): Promise<Seen[]> {
  const load = new Load(row, { ...stage, clients: 2 });
  await expect.poll(() => load.seen.length, { interval: POLL_MS }).toBeGreaterThanOrEqual(answers);
  await load.stop();
  return load.seen;
}

/** Asks upstream without the relay: what it bills, no ledger can know of. */
async function askPastTheRelay(number: number): Promise<void> {
  const { apiKey } = stage.relay.fake.accounts.addApiKey({ name: `past-${number}` });
  const answer = await fetch(`${stage.relay.fake.url}/v1/messages`, {
    method: "POST",
    headers: {
      "x-api-key": apiKey,
      "content-type": "application/json",
      "anthropic-version": "2023-06-01",
      [NUMBER_HEADER]: String(number),
    },
    body: JSON.stringify({
      model: "claude-sonnet-5",
      max_tokens: 60,
      messages: [{ role: "user", content: "Hello" }],
    }),
  });
  expect(answer.status).toBe(200);
  await answer.text();
}

test("part by part it compares more than upstream keeps, and finds what was lost in any part", async () => {
  const right = { lost: 0, wrong: 0, estimated: 0, unsettled: 0 };
  const first = await ask("first", ENOUGH);
  expect(await audit.compare(first)).toEqual([{ row: "first", ...right }]);
  const second = await ask("second", ENOUGH);
  const lost: Seen = { ...(second[0] as Seen), number: -1, relayId: null };
  await askPastTheRelay(lost.number);
  expect(await audit.compare([...second, lost])).toEqual([{ row: "second", ...right, lost: 1 }]);
});

test("of what upstream has forgotten it says nothing, rather than that all is right", async () => {
  const seen = await ask("too many", KEPT_BY_UPSTREAM + 1);
  await expect(audit.compare(seen)).rejects.toThrow(/has forgotten \d+ requests/);
});
