import { beforeAll, describe, expect, test } from "vitest";
import { outerFaults } from "../chaos/rows/outer.ts";
import { platformFaults } from "../chaos/rows/platform.ts";
import type { FaultGroup, Played } from "../chaos/rows/row.ts";

/** The short form of `npm run chaos`: faults from which the relay recovers without a rest. */
const OUTER = [
  "upstream: closed in mid-stream without an end",
  "upstream: malformed SSE",
  "upstream: declares more bytes than it sends",
  "token endpoint: answer lost after the rotation",
  "client gone before the head",
];
const PLATFORM = [
  "objects: KeyMeter throws",
  "objects: ClaudeAccount throws",
  "objects: EventLog throws",
  "objects: KeyMeter evicted again and again",
  "key store: Workers KV fails at both",
  "clock jumps to each border, and back a bit",
];
const FAULT_MS = 700;
const TIME_LIMIT_MS = 180_000;

describe.each([
  { what: "upstream, tokens and clients", group: outerFaults, names: OUTER },
  { what: "the platform", group: platformFaults, names: PLATFORM },
])("faults of $what", ({ group, names }: { group: FaultGroup; names: string[] }) => {
  let played: Played;
  beforeAll(async () => {
    played = await group.play(names, FAULT_MS, () => {});
  }, TIME_LIMIT_MS);

  const rowOf = (name: string) => played.figures.find((each) => each.name === name);
  const saw = (name: string, sight: string) =>
    rowOf(name)?.seen.some((one) => one.sight === sight) === true;

  test.each(names)("%s: clients see what is true, all is well again, nothing is lost", (name) => {
    const row = rowOf(name);
    expect(row?.seen.length).toBeGreaterThan(10);
    expect(row?.wrong).toEqual([]);
    expect(row?.problems).toEqual([]);
    expect(row?.recoveredAfterMs).not.toBeNull();
    expect(played.ledger.find((each) => each.row === name)).toMatchObject({ lost: 0, wrong: 0 });
  });

  test("the faults were seen, and not only survived", () => {
    if (group === platformFaults) {
      // A row there lasts until something has gone wrong, and fails where nothing does.
      expect(rowOf("objects: EventLog throws")?.admin?.done).toBeGreaterThan(0);
      return;
    }
    expect(saw("upstream: closed in mid-stream without an end", "told")).toBe(true);
    expect(saw("upstream: malformed SSE", "told")).toBe(true);
    expect(saw("upstream: declares more bytes than it sends", "broken")).toBe(true);
    expect(saw("client gone before the head", "left")).toBe(true);
  });
});
