import { Hono } from "hono";
import * as v from "valibot";
import { newKey } from "../keys/new-key.ts";
import { audited } from "./audit.ts";
import { bindingProblem } from "./binding.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import {
  changesOf,
  createKeysSchema,
  NUMBER_MAX_DIGITS,
  shownKey,
  shownSettings,
  tagSchema,
  updateKeysSchema,
} from "./key-fields.ts";
import { type KeyChange, numberedNames, planOf, REFUSED } from "./key-plan.ts";
import { latestOf, writeChange, writeNew } from "./key-write.ts";
import { readBody } from "./requests.ts";

/**
 * Keys of one call. A Worker may make a thousand calls to KV and Durable Objects for one request: a
 * new key takes up to 14 of them, a changed one up to 26, each where it has ten tags.
 */
const CREATE_MAX = 50;
const UPDATE_MAX = 25;
const LAST_NUMBER = 10 ** NUMBER_MAX_DIGITS - 1;

const numberSchema = (max: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(max));

const createBatchSchema = v.strictObject({
  ...createKeysSchema.entries,
  count: numberSchema(CREATE_MAX),
  /** The first number. */
  from: v.optional(numberSchema(LAST_NUMBER), 1),
  digits: v.optional(numberSchema(NUMBER_MAX_DIGITS)),
});

const updateBatchSchema = v.strictObject({
  ...updateKeysSchema.entries,
  tag: tagSchema,
  cursor: v.optional(v.nullable(v.string()), null),
  limit: v.optional(numberSchema(UPDATE_MAX), UPDATE_MAX),
});

/** `/admin/api-keys/batch` */
export const keyBatchRoutes = new Hono<AdminEnv>()
  .post("/", async (c) => {
    const body = await readBody(c, createBatchSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const { namePrefix, count, from, digits, ...settings } = body.value;
    const last = from + count - 1;
    if (last > LAST_NUMBER) {
      return failure(c, "bad_request", `The last number must be at most ${LAST_NUMBER}.`);
    }
    const names = numberedNames(namePrefix, {
      from,
      count,
      digits: digits ?? String(last).length,
    });
    const fields = changesOf(settings, null);
    const unbound = await bindingProblem(c.get("services"), fields.boundTo ?? null);
    if (unbound !== null) return failure(c, "bad_request", unbound);
    const made = await Promise.all(names.map((name) => newKey({ ...fields, name }, Date.now())));
    const [sample] = made;
    const detail = {
      names: [names.at(0), names.at(-1)],
      count,
      after: sample === undefined ? {} : shownSettings(sample.stored.record),
    };
    return audited(c, "key.create_batch", null, detail, async () => {
      const outcomes = await Promise.allSettled(made.map(({ stored }) => writeNew(c, stored)));
      const isWritten = (index: number) => outcomes[index]?.status === "fulfilled";
      const missing = names.filter((_, index) => !isWritten(index));
      if (missing.length === count) throw firstError(outcomes);
      // The only time the plain keys leave the relay: those that were made are not lost with others.
      const keys = made.flatMap(({ plainKey, stored }, index) =>
        isWritten(index) ? [{ ...shownKey(stored.record, null), apiKey: plainKey }] : [],
      );
      return { done: missing.length === 0, result: success(c, { keys, missing }, 201) };
    });
  })

  .put("/", async (c) => {
    const body = await readBody(c, updateBatchSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const { tag, cursor, limit, ...change } = body.value;
    if (Object.keys(change).length === 0) {
      return failure(c, "bad_request", "Name at least one setting to change.");
    }
    const { boundTo = null } = changesOf(change, null);
    const unbound = await bindingProblem(c.get("services"), boundTo);
    if (unbound !== null) return failure(c, "bad_request", unbound);
    const { keyStore } = c.get("services");
    const page = await keyStore.list({ tag, cursor, limit });
    const ids = page.keys.map(({ id }) => id);
    if (ids.length === 0) return success(c, { keys: [], refused: [], cursor: page.cursor });
    // In the admin's own terms: the checked body counts in nano-dollars already.
    const asked = await c.req.json<Record<string, unknown>>();
    const after = Object.fromEntries(Object.keys(change).map((name) => [name, asked[name]]));
    return audited(c, "key.update_batch", null, { tag, ids, after }, async () => {
      const found = await keyStore.findByIds(ids);
      const outcomes = await Promise.allSettled(
        found.map(async (stored) => changeOne(c, await latestOf(c, stored), change)),
      );
      const done = outcomes.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
      // The same call again does the rest: what it finds done stays as it is.
      if (done.length < outcomes.length) throw firstError(outcomes);
      const data = {
        keys: done.flatMap((each) => ("key" in each ? [each.key] : [])),
        refused: done.flatMap((each) => ("refused" in each ? [each.refused] : [])),
        cursor: page.cursor,
      };
      return { done: data.refused.length === 0, result: success(c, data) };
    });
  });

async function changeOne(
  c: AdminContext,
  { stored, isAhead, activatedAtMs }: Awaited<ReturnType<typeof latestOf>>,
  change: KeyChange,
) {
  const { id, name } = stored.record;
  const plan = planOf(change, stored.record);
  switch (plan.kind) {
    case "refused":
      if (plan.reason === "deleted") return {};
      return { refused: { id, name, reason: plan.reason, message: REFUSED[plan.reason] } };
    case "same":
      // A write that failed before is made up for.
      if (isAhead) await c.get("services").keyStore.put(stored, null);
      return { key: shownKey(stored.record, activatedAtMs) };
    case "change": {
      const changed = await writeChange(c, stored, plan.patch);
      if (changed !== null) return { key: shownKey(changed, activatedAtMs) };
      const message = "This key was changed by someone else just now.";
      return { refused: { id, name, reason: "changed_meanwhile", message } };
    }
  }
}

function firstError(outcomes: readonly PromiseSettledResult<unknown>[]): unknown {
  const failed = outcomes.find(({ status }) => status === "rejected");
  return failed?.status === "rejected" ? failed.reason : new Error("nothing failed");
}
