import { describe, expect, test } from "vitest";
import { TapPace } from "../../src/relay/tap-pace.ts";

const KB = 1024;

/** How long a tap sleeps after each look, where so many bytes come in a second. */
function sleepsAt(bytesPerSecond: number): number[] {
  const pace = new TapPace();
  const sleeps: number[] = [];
  pace.found(400);
  for (let look = 0; look < 12; look += 1) {
    const sleepMs = pace.sleepMs();
    sleeps.push(sleepMs);
    pace.found((sleepMs / 1_000) * bytesPerSecond);
  }
  return sleeps;
}

describe("the tap of a stream", () => {
  test("looks once a second where a model writes at its pace, or nothing comes", () => {
    expect(sleepsAt(0).slice(0, 4)).toEqual([500, 1_000, 1_000, 1_000]);
    expect(sleepsAt(7 * KB).at(-1)).toBe(1_000);
  });

  test.each([40, 100, 400])("keeps no more than about 16 KiB unread at %d KiB a second", (rate) => {
    const sleepMs = sleepsAt(rate * KB).at(-1) ?? 0;
    expect((sleepMs / 1_000) * rate).toBeLessThanOrEqual(16);
    expect(sleepMs).toBeGreaterThanOrEqual(40);
  });

  test("looks no more often than each 40 ms, however fast it is", () => {
    expect(sleepsAt(100_000 * KB).at(-1)).toBe(40);
  });

  test("counts what several reads found together, since it last slept", () => {
    const pace = new TapPace();
    for (let read = 0; read < 5; read += 1) pace.found(4 * KB);
    expect(pace.sleepMs()).toBe(125);
    pace.found(4 * KB);
    expect(pace.sleepMs()).toBe(125);
  });
});
