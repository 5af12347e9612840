import type * as v from "valibot";
import { type KeyRecord, MAX_TAGS } from "../keys/key-record.ts";
import { changesOf, type updateKeySchema, type updateKeysSchema } from "./key-fields.ts";

/** What may be done to a key in which state: one set of rules for the admin API and the CLI. */

export type KeyChange =
  | v.InferOutput<typeof updateKeySchema>
  | v.InferOutput<typeof updateKeysSchema>;

export type PlanRefusal = "deleted" | "revoked" | "too_many_tags";

export type KeyPlan =
  | { kind: "change"; patch: Partial<KeyRecord> }
  /** The key is already as the change wants it. */
  | { kind: "same" }
  | { kind: "refused"; reason: PlanRefusal };

/** What a change makes of a key, or why it may not be made. */
export function planOf(change: KeyChange, record: KeyRecord): KeyPlan {
  if (record.deletedAtMs !== null) return { kind: "refused", reason: "deleted" };
  if (change.enabled === true && record.revokedAtMs !== null) {
    return { kind: "refused", reason: "revoked" };
  }
  const patch = changesOf(change, record);
  if ((patch.tags?.length ?? 0) > MAX_TAGS) return { kind: "refused", reason: "too_many_tags" };
  const after = { ...record, ...patch };
  return JSON.stringify(after) === JSON.stringify(record)
    ? { kind: "same" }
    : { kind: "change", patch };
}

/** What a refusal means, in words. */
export const REFUSED: Record<PlanRefusal, string> = {
  deleted: "This key is deleted. Restore it first.",
  revoked: "This key was revoked, for good. Make a new one instead.",
  too_many_tags: `A key has at most ${MAX_TAGS} tags.`,
};

/** @param digits of each number, so that the names sort as they are numbered */
export function numberedNames(
  prefix: string,
  numbers: { from: number; count: number; digits: number },
): string[] {
  const { from, count, digits } = numbers;
  return Array.from(
    { length: count },
    (_, index) => `${prefix}${String(from + index).padStart(digits, "0")}`,
  );
}
