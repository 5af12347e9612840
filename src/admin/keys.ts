import { type Context, Hono } from "hono";
import type { RequestRecord } from "../../durable-objects/key-meter/request-record.ts";
import { callObject } from "../durable-call.ts";
import { type KeyRecord, policyOf } from "../keys/key-record.ts";
import { KEY_PAGE_MAX } from "../keys/key-store.ts";
import { newKey, rotateKey } from "../keys/new-key.ts";
import { limitsOf, usageOf } from "../relay/key-report.ts";
import { nanoDollarsToUsd } from "../upstream/cost.ts";
import { audited } from "./audit.ts";
import { bindingProblem } from "./binding.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import {
  changesOf,
  createKeySchema,
  shownKey,
  shownSettings,
  updateKeySchema,
} from "./key-fields.ts";
import { planOf, REFUSED } from "./key-plan.ts";
import { configure, type FoundKey, latestOf, writeChange, writeNew } from "./key-write.ts";
import { readBody, rotateKeySchema } from "./requests.ts";

const PAGE_DEFAULT = 50;
const HOUR_MS = 3_600_000;
const NO_SUCH_KEY = "There is no key with this id.";

/** `/admin/api-keys` */
export const keyRoutes = new Hono<AdminEnv>()
  .get("/", async (c) => {
    const limit = Math.trunc(Number(c.req.query("limit"))) || PAGE_DEFAULT;
    const namePrefix = c.req.query("name");
    const tag = c.req.query("tag");
    if (namePrefix !== undefined && tag !== undefined) {
      return failure(c, "bad_request", "Search by name or by tag, not by both at once.");
    }
    const page = await c.get("services").keyStore.list({
      cursor: c.req.query("cursor") ?? null,
      limit: Math.min(KEY_PAGE_MAX, Math.max(1, limit)),
      namePrefix,
      tag,
    });
    const keys = page.keys.map((record) => shownKey(record, null));
    return success(c, { keys, cursor: page.cursor });
  })

  .post("/", async (c) => {
    const body = await readBody(c, createKeySchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const fields = { ...changesOf(body.value, null), name: body.value.name };
    const unbound = await bindingProblem(c.get("services"), fields.boundTo ?? null);
    if (unbound !== null) return failure(c, "bad_request", unbound);
    const { plainKey, stored } = await newKey(fields, Date.now());
    const { record } = stored;
    return audited(c, "key.create", record.id, { after: shownSettings(record) }, async () => {
      await writeNew(c, stored);
      // The only time the plain key leaves the relay.
      return {
        done: true,
        result: success(c, { ...shownKey(record, null), apiKey: plainKey }, 201),
      };
    });
  })

  .get("/:id", async (c) => {
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    const { record } = key.stored;
    const report = await callObject(
      () => c.get("services").meter(record.id),
      (meter) => meter.usage(policyOf(record)),
    );
    return success(c, {
      ...shownKey(record, report.activatedAtMs),
      usage: usageOf(record, report, Date.now()),
      inUse: limitsOf(record, report),
    });
  })

  .get("/:id/requests", async (c) => {
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    const limit = Math.trunc(Number(c.req.query("limit"))) || PAGE_DEFAULT;
    const records = await callObject(
      () => c.get("services").meter(key.stored.record.id),
      (meter) => meter.requests(Math.min(KEY_PAGE_MAX, Math.max(1, limit))),
    );
    return success(c, { requests: records.map(shownRequest) });
  })

  .put("/:id", async (c) => {
    const body = await readBody(c, updateKeySchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    const plan = planOf(body.value, key.stored.record);
    if (plan.kind === "refused") return failure(c, "conflict", REFUSED[plan.reason]);
    if (plan.kind === "same") return asItIs(c, key);
    const unbound = await bindingProblem(c.get("services"), plan.patch.boundTo ?? null);
    if (unbound !== null) return failure(c, "bad_request", unbound);
    return change(c, "key.update", key, plan.patch);
  })

  .post("/:id/revoke", async (c) => {
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    const { record } = key.stored;
    if (record.revokedAtMs !== null) return asItIs(c, key);
    return change(c, "key.revoke", key, { revokedAtMs: Date.now() });
  })

  .post("/:id/rotate", async (c) => {
    const body = await readBody(c, rotateKeySchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    const { stored: old } = key;
    if (old.record.deletedAtMs !== null) return failure(c, "conflict", REFUSED.deleted);
    if (old.record.revokedAtMs !== null) return failure(c, "conflict", REFUSED.revoked);
    const graceMs = Math.round(body.value.graceHours * HOUR_MS);
    const { plainKey, stored } = await rotateKey(old, graceMs, Date.now());
    return audited(c, "key.rotate", old.record.id, { ...body.value }, async () => {
      const { keyStore, keys } = c.get("services");
      if (!(await configure(c, stored))) return tooLate(c);
      await keyStore.put(stored, old.record);
      const previous = stored.record.secret.previous;
      if (previous === null) await keyStore.dropHash(old.hash);
      else await keyStore.retire(old.hash, stored.record, previous.validUntilMs);
      for (const hash of [old.hash, stored.hash]) keys.forget(hash);
      const data = { ...shownKey(stored.record, key.activatedAtMs), apiKey: plainKey };
      return { done: true, result: success(c, data) };
    });
  })

  .post("/:id/reload", async (c) => {
    // The store was changed past this API: what it holds now is to hold at once.
    const { keyStore, keys } = c.get("services");
    const stored = await keyStore.findById(c.req.param("id"));
    if (stored === null) return failure(c, "not_found", NO_SUCH_KEY);
    return audited(c, "key.reload", stored.record.id, {}, async () => {
      const taken = await configure(c, stored);
      keys.forget(stored.hash);
      const newest = (await find(c))?.stored ?? stored;
      return { done: taken, result: success(c, { ...shownKey(newest.record, null), taken }) };
    });
  })

  .post("/:id/restore", async (c) => {
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    const { record } = key.stored;
    if (record.deletedAtMs === null) return asItIs(c, key);
    return change(c, "key.restore", key, { deletedAtMs: null });
  })

  .delete("/:id", async (c) => {
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    const { stored } = key;
    const { record } = stored;
    if (c.req.query("permanent") !== "true") {
      if (record.deletedAtMs !== null) return asItIs(c, key);
      return change(c, "key.delete", key, { deletedAtMs: Date.now() });
    }
    return audited(c, "key.delete_permanently", record.id, { name: record.name }, async () => {
      // The meter first: it refuses at once, while the store may serve the record for a minute.
      const gone = { ...record, deletedAtMs: Date.now(), version: record.version + 1 };
      if (!(await configure(c, { hash: stored.hash, record: gone }))) return tooLate(c);
      await c.get("services").keyStore.remove(stored);
      c.get("services").keys.forget(stored.hash);
      return { done: true, result: success(c, { id: record.id, deleted: true, permanent: true }) };
    });
  });

/** Times in ISO 8601, cost in US dollars. */
function shownRequest({ startedAtMs, costNanoDollars, ...record }: RequestRecord) {
  const startedAt = new Date(startedAtMs).toISOString();
  return { ...record, startedAt, cost: nanoDollarsToUsd(costNanoDollars) };
}

/** Carries out a change of one key, with its line in the audit trail. */
async function change(
  c: AdminContext,
  action: string,
  { stored, activatedAtMs }: FoundKey,
  patch: Partial<KeyRecord>,
): Promise<Response> {
  const { record } = stored;
  const before = Object.fromEntries(
    Object.keys(patch).map((field) => [field, record[field as keyof KeyRecord]]),
  );
  return audited(c, action, record.id, { before, after: patch }, async () => {
    const changed = await writeChange(c, stored, patch);
    if (changed === null) return tooLate(c);
    return { done: true, result: success(c, shownKey(changed, activatedAtMs)) };
  });
}

/** Nothing is to be changed; but a write that failed before is made up for. */
async function asItIs(c: AdminContext, { stored, activatedAtMs, isAhead }: FoundKey) {
  if (isAhead) await c.get("services").keyStore.put(stored, null);
  return success(c, shownKey(stored.record, activatedAtMs));
}

function tooLate(c: AdminContext) {
  const message = "The key was changed by someone else just now. Look at it again, then retry.";
  return { done: false, result: failure(c, "conflict", message) };
}

async function find(c: Context<AdminEnv, "/:id">): Promise<FoundKey | null> {
  const stored = await c.get("services").keyStore.findById(c.req.param("id"));
  return stored === null ? null : latestOf(c, stored);
}
