import { describe, expect, test } from "vitest";
import { canonicalModel, modelFamily } from "../../src/upstream/model-names.ts";

describe("a model id in any dress is one model", () => {
  test.each([
    ["claude-opus-5", "claude-opus-5"],
    ["claude-opus-4-5-20251101", "claude-opus-4-5"],
    ["claude-sonnet-4-5-20250929", "claude-sonnet-4-5"],
    ["claude-sonnet-4-20250514", "claude-sonnet-4"],
    ["claude-opus-4-0", "claude-opus-4"],
    ["claude-sonnet-4-0", "claude-sonnet-4"],
    ["claude-sonnet-4-5[1m]", "claude-sonnet-4-5"],
    ["claude-sonnet-4-5-20250929[1m]", "claude-sonnet-4-5"],
    ["claude-3-5-haiku-latest", "claude-3-5-haiku"],
    ["claude-3-5-haiku-20241022", "claude-3-5-haiku"],
    ["claude-3-7-sonnet-latest", "claude-3-7-sonnet"],
    ["claude-opus-4-1@20250805", "claude-opus-4-1"],
    ["claude-opus-4-6@default", "claude-opus-4-6"],
    ["anthropic.claude-haiku-5-5", "claude-haiku-5-5"],
    ["anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku"],
    ["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"],
    ["us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"],
    ["global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"],
    ["anthropic.claude-3-opus-20240229-v1:0:200k", "claude-3-opus"],
    ["  Claude-Opus-5  ", "claude-opus-5"],
    ["CLAUDE-SONNET-5-5[1M]", "claude-sonnet-5-5"],
    ["", ""],
  ])("%j is %j", (id, canonical) => {
    expect(canonicalModel(id)).toBe(canonical);
  });

  test("a canonical id stays as it is", () => {
    for (const id of ["claude-fable-5-1", "claude-3-5-haiku", "claude-sonnet-4"]) {
      expect(canonicalModel(canonicalModel(id))).toBe(id);
    }
  });

  test("a model is never taken for a similar one", () => {
    expect(canonicalModel("claude-opus-5-6")).toBe("claude-opus-5-6");
    expect(canonicalModel("claude-opus-5-turbo")).toBe("claude-opus-5-turbo");
    expect(canonicalModel("claude-opus-4-1-20250805x")).toBe("claude-opus-4-1-20250805x");
  });

  test("an endless id is cut before anything else is done with it", () => {
    const id = `claude-opus-5${"-v1".repeat(1_000_000)}`;
    expect(canonicalModel(id).length).toBeLessThanOrEqual(200);
  });
});

describe("a family is what upstream limits together", () => {
  test.each([
    ["claude-fable-5-2", "fable"],
    ["claude-mythos-preview", "mythos"],
    ["claude-opus-4-1-20250805", "opus"],
    ["claude-3-opus-20240229", "opus"],
    ["us.anthropic.claude-sonnet-4-5-20250929-v1:0", "sonnet"],
    ["claude-3-5-haiku-latest", "haiku"],
    ["claude-haiku-4-5", "haiku"],
    ["Opus", "opus"],
    ["claude-2.1", "other"],
    ["octopus-1", "other"],
    ["", "other"],
  ])("%j belongs to %j", (id, family) => {
    expect(modelFamily(id)).toBe(family);
  });
});
