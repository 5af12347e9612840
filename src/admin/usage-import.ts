import * as v from "valibot";
import type { UsageSums } from "../../durable-objects/key-meter/usage-report.ts";
import { nanoDollarsToUsd } from "../upstream/cost.ts";

/** What a key has used by model, as it comes from an archive or from another system. */

const NANO_PER_DOLLAR = 1_000_000_000;
const MODEL_MAX_CHARS = 200;
const MAX_MODELS = 200;
/** Far above what any key uses, and a safe integer also as nano-dollars. */
const DOLLARS_MAX = 5_000_000;

const countSchema = v.optional(
  v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER)),
  0,
);

const sumsSchema = v.strictObject({
  model: v.pipe(v.string(), v.nonEmpty("must not be empty"), v.maxLength(MODEL_MAX_CHARS)),
  requests: countSchema,
  failedRequests: countSchema,
  estimatedRequests: countSchema,
  unsettledRequests: countSchema,
  inputTokens: countSchema,
  outputTokens: countSchema,
  cacheCreate5mTokens: countSchema,
  cacheCreate1hTokens: countSchema,
  cacheReadTokens: countSchema,
  webSearchRequests: countSchema,
  cost: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(DOLLARS_MAX)), 0),
});

export const pastUsageSchema = v.optional(
  v.pipe(
    v.array(sumsSchema),
    v.maxLength(MAX_MODELS, `must have at most ${MAX_MODELS} models`),
    v.check(
      (all) => new Set(all.map(({ model }) => model)).size === all.length,
      "names a model twice",
    ),
  ),
  [],
);

export type PastUsage = v.InferOutput<typeof sumsSchema>;

export function pastSums(given: PastUsage): UsageSums & { model: string } {
  return {
    model: given.model,
    requests: given.requests,
    failed: given.failedRequests,
    estimated: given.estimatedRequests,
    unsettled: given.unsettledRequests,
    input_tokens: given.inputTokens,
    output_tokens: given.outputTokens,
    write_5m_tokens: given.cacheCreate5mTokens,
    write_1h_tokens: given.cacheCreate1hTokens,
    read_tokens: given.cacheReadTokens,
    web_searches: given.webSearchRequests,
    cost_nano: Math.round(given.cost * NANO_PER_DOLLAR),
  };
}

/** The same the other way, for an archive. */
export function shownPastUsage(sums: UsageSums & { model: string }): PastUsage {
  return {
    model: sums.model,
    requests: sums.requests,
    failedRequests: sums.failed,
    estimatedRequests: sums.estimated,
    unsettledRequests: sums.unsettled,
    inputTokens: sums.input_tokens,
    outputTokens: sums.output_tokens,
    cacheCreate5mTokens: sums.write_5m_tokens,
    cacheCreate1hTokens: sums.write_1h_tokens,
    cacheReadTokens: sums.read_tokens,
    webSearchRequests: sums.web_searches,
    cost: nanoDollarsToUsd(sums.cost_nano),
  };
}
