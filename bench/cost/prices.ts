/**
 * Cloudflare's list prices on the Workers Paid plan, in dollars, beyond what the plan includes. As of
 * 2026-11-24, from developers.cloudflare.com: workers/platform/pricing, kv/platform/pricing and
 * durable-objects/platform/pricing.
 */
export const PRICES_AS_OF = "2026-11-24";

const MILLION = 1_000_000;

export const PRICE = {
  workerRequest: 0.3 / MILLION,
  workerCpuMs: 0.02 / MILLION,
  kvRead: 0.5 / MILLION,
  /** Writes, deletes and lists. */
  kvWrite: 5 / MILLION,
  objectRequest: 0.15 / MILLION,
  /** Duration is billed at 128 MB for each object, whatever it uses. */
  objectGbSecond: 12.5 / MILLION,
  rowRead: 0.001 / MILLION,
  rowWritten: 1 / MILLION,
} as const;

export const OBJECT_GB = 0.128;
