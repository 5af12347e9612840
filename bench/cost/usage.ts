import { OBJECT_GB, PRICE } from "./prices.ts";

const MS_PER_S = 1_000;
const MILLION = 1_000_000;

export interface ObjectUse {
  requests: number;
  rowsRead: number;
  rowsWritten: number;
  activeMs: number;
}

/** What the counting Worker tells, since its start. */
export interface Counts {
  workerRequests: number;
  kvReads: number;
  /** Of what all keys share, in each isolate once. */
  kvSharedReads: number;
  kvWrites: number;
  objects: Record<string, ObjectUse>;
}

/** The name under which `share` has the part of {@link Counts.kvSharedReads}. */
export const SHARED_READS = "kvSharedReads";

/** What one relayed request uses. */
export interface Usage extends Omit<Counts, "workerRequests" | "kvSharedReads"> {
  workerRequests: number;
  workerCpuMs: number;
}

const NOTHING: ObjectUse = { requests: 0, rowsRead: 0, rowsWritten: 0, activeMs: 0 };

/**
 * @param share by class: the part of a sample's use that counts, where the class serves more keys
 *   than the sample has; 1 where it is missing
 */
export function usagePerRequest(
  before: Counts,
  after: Counts,
  cpuMs: number,
  share: Record<string, number>,
): Usage {
  const requests = after.workerRequests - before.workerRequests;
  const objects = Object.fromEntries(
    Object.entries(after.objects).map(([name, use]) => {
      const earlier = before.objects[name] ?? NOTHING;
      const part = (share[name] ?? 1) / requests;
      return [
        name,
        {
          requests: (use.requests - earlier.requests) * part,
          rowsRead: (use.rowsRead - earlier.rowsRead) * part,
          rowsWritten: (use.rowsWritten - earlier.rowsWritten) * part,
          activeMs: (use.activeMs - earlier.activeMs) * part,
        },
      ];
    }),
  );
  return {
    workerRequests: 1,
    workerCpuMs: cpuMs / requests,
    kvReads:
      (after.kvReads -
        before.kvReads +
        (after.kvSharedReads - before.kvSharedReads) * (share[SHARED_READS] ?? 1)) /
      requests,
    kvWrites: (after.kvWrites - before.kvWrites) / requests,
    objects,
  };
}

/** Over all classes. */
export function objectTotal({ objects }: Pick<Usage, "objects">): ObjectUse {
  const sum = { ...NOTHING };
  for (const use of Object.values(objects)) {
    sum.requests += use.requests;
    sum.rowsRead += use.rowsRead;
    sum.rowsWritten += use.rowsWritten;
    sum.activeMs += use.activeMs;
  }
  return sum;
}

/** Dollars for a million requests, part by part. */
export function pricePerMillion(usage: Usage): { part: string; dollars: number }[] {
  const total = objectTotal(usage);
  const gbSeconds = (total.activeMs / MS_PER_S) * OBJECT_GB;
  return [
    { part: "Worker requests", dollars: usage.workerRequests * PRICE.workerRequest },
    { part: "Worker CPU", dollars: usage.workerCpuMs * PRICE.workerCpuMs },
    { part: "KV reads", dollars: usage.kvReads * PRICE.kvRead },
    { part: "KV writes", dollars: usage.kvWrites * PRICE.kvWrite },
    { part: "object requests", dollars: total.requests * PRICE.objectRequest },
    { part: "object duration", dollars: gbSeconds * PRICE.objectGbSecond },
    { part: "rows read", dollars: total.rowsRead * PRICE.rowRead },
    { part: "rows written", dollars: total.rowsWritten * PRICE.rowWritten },
  ].map(({ part, dollars }) => ({ part, dollars: dollars * MILLION }));
}
