import { afterEach, describe, expect, test, vi } from "vitest";
import { callObject, callUntilHeard, isObjectFailure } from "../../src/durable-call.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const failure = (marks: object) => Object.assign(new Error("no answer"), marks);

/** Calls that fail as given, one after the other, and then succeed. */
function calls(...errors: Error[]) {
  let made = 0;
  const call = async () => {
    made += 1;
    const error = errors.shift();
    if (error !== undefined) throw error;
    return "answered";
  };
  return { call, made: () => made };
}

describe("a call to an object", () => {
  test.each([
    { marks: { retryable: true } },
    // An eviction in the middle of a call, or a constructor that threw.
    { marks: { durableObjectReset: true } },
  ])("is made once more with $marks", async ({ marks }) => {
    const { call, made } = calls(failure(marks));
    expect(await callObject(() => null, call)).toBe("answered");
    expect(made()).toBe(2);
  });

  test.each([
    { marks: { remote: true } },
    { marks: { retryable: true, overloaded: true } },
    { marks: { durableObjectReset: true, overloaded: true } },
    // The runtime's own fault, such as a full disk.
    { marks: {} },
  ])(
    "is not repeated with $marks, and is told apart from the relay's own faults",
    async ({ marks }) => {
      const { call, made } = calls(failure(marks));
      const error = await callObject(() => null, call).catch((cause: unknown) => cause);
      expect(made()).toBe(1);
      expect(isObjectFailure(error)).toBe(true);
      expect(isObjectFailure(new Error("no answer"))).toBe(false);
    },
  );

  test("that fails twice is told apart as well", async () => {
    const { call } = calls(failure({ retryable: true }), failure({}));
    const error = await callObject(() => null, call).catch((cause: unknown) => cause);
    expect(isObjectFailure(error)).toBe(true);
  });

  test("that has to be heard is made again with longer and longer pauses, and not for ever", async () => {
    const waits: number[] = [];
    vi.spyOn(scheduler, "wait").mockImplementation(async (ms) => {
      waits.push(ms);
    });
    const heard = calls(failure({}), failure({}));
    expect(await callUntilHeard(() => null, heard.call)).toBe("answered");
    expect(waits).toEqual([250, 500]);
    const unheard = calls(...Array.from({ length: 10 }, () => failure({})));
    await expect(callUntilHeard(() => null, unheard.call)).rejects.toThrow("no answer");
    expect(unheard.made()).toBe(6);
  });
});
