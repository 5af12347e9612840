import { afterAll, beforeAll, expect, test } from "vitest";
import { type Kept, kept } from "../chaos/conservation.ts";
import { FAULT_ROWS } from "../chaos/rows.ts";
import { play, type RowFigures } from "../chaos/run.ts";
import { Stage } from "../chaos/stage.ts";

/** The short form of `npm run chaos`: faults from which the relay recovers without a rest. */
const SHORT = [
  "upstream: closed in mid-stream without an end",
  "upstream: malformed SSE",
  "upstream: declares more bytes than it sends",
  "token endpoint: answer lost after the rotation",
  "client gone before the head",
];
const FAULT_MS = 700;
const TIME_LIMIT_MS = 180_000;

let stage: Stage;
const figures: RowFigures[] = [];
let ledger: Kept[];

beforeAll(async () => {
  stage = await Stage.open();
  for (const row of FAULT_ROWS.filter(({ name }) => SHORT.includes(name))) {
    figures.push(await play(stage, row, FAULT_MS));
  }
  ledger = await kept(
    stage,
    figures.flatMap(({ seen }) => seen),
  );
}, TIME_LIMIT_MS);
afterAll(() => stage.close());

test.each(SHORT)("%s: clients see what is true, all is well again, and nothing is lost", (name) => {
  const row = figures.find((each) => each.name === name);
  expect(row?.seen.length).toBeGreaterThan(10);
  expect(row?.wrong).toEqual([]);
  expect(row?.recoveredAfterMs).not.toBeNull();
  expect(ledger.find((each) => each.row === name)).toMatchObject({ lost: 0, wrong: 0 });
});

test("the faults were seen, and not only survived", () => {
  const saw = (name: string, sight: string) =>
    figures.find((each) => each.name === name)?.seen.some((one) => one.sight === sight);
  expect(saw("upstream: closed in mid-stream without an end", "told")).toBe(true);
  expect(saw("upstream: malformed SSE", "told")).toBe(true);
  expect(saw("upstream: declares more bytes than it sends", "broken")).toBe(true);
  expect(saw("client gone before the head", "left")).toBe(true);
  const outcomes = stage.relay.fake.ledger.tokenCalls().map(({ outcome }) => outcome);
  expect(outcomes).toContain("granted_response_lost");
});
