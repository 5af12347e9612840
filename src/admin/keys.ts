import { Hono } from "hono";
import { callObject } from "../durable-call.ts";
import { generateKey, hashKey, keyHint } from "../keys/key-format.ts";
import { type KeyPolicy, type KeyRecord, policyOf, refusalOf } from "../keys/key-record.ts";
import type { StoredKey } from "../keys/key-store.ts";
import { usageOf } from "../relay/key-report.ts";
import { audited } from "./audit.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import { createKeySchema, readBody, updateKeySchema } from "./requests.ts";

const PAGE_DEFAULT = 50;
const PAGE_MAX = 1_000;
const NO_SUCH_KEY = "There is no key with this id.";

/** `/admin/api-keys` */
export const keyRoutes = new Hono<AdminEnv>()
  .get("/", async (c) => {
    const limit = Math.trunc(Number(c.req.query("limit"))) || PAGE_DEFAULT;
    const page = await c.get("services").keyStore.list({
      cursor: c.req.query("cursor") ?? null,
      limit: Math.min(PAGE_MAX, Math.max(1, limit)),
    });
    return success(c, { keys: page.keys.map(shown), cursor: page.cursor });
  })

  .post("/", async (c) => {
    const body = await readBody(c, createKeySchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const { name, description, enabled, expiresAt } = body.value;
    const plainKey = generateKey();
    const record: KeyRecord = {
      schema: 1,
      id: crypto.randomUUID(),
      name,
      description,
      hint: keyHint(plainKey),
      enabled,
      createdAtMs: Date.now(),
      expiresAtMs: expiresAt,
      revokedAtMs: null,
      version: 1,
    };
    return audited(c, "key.create", record.id, { name }, async () => {
      const hash = await hashKey(plainKey);
      await configure(c, policyOf(record), record);
      await c.get("services").keyStore.put({ hash, record });
      c.get("services").keys.forget(hash);
      // The only time the plain key leaves the relay.
      return { done: true, result: success(c, { ...shown(record), apiKey: plainKey }, 201) };
    });
  })

  .get("/:id", async (c) => {
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    const usage = await callObject(
      () => c.get("services").meter(key.record.id),
      (meter) => meter.usage(),
    );
    return success(c, { ...shown(key.record), usage: usageOf(key.record, usage, Date.now()) });
  })

  .put("/:id", async (c) => {
    const body = await readBody(c, updateKeySchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    const { expiresAt, name, description, enabled } = body.value;
    if (enabled === true && key.record.revokedAtMs !== null) {
      return failure(c, "conflict", "This key was revoked, for good. Make a new one instead.");
    }
    return change(c, "key.update", key, {
      ...(name === undefined ? {} : { name }),
      ...(description === undefined ? {} : { description }),
      ...(enabled === undefined ? {} : { enabled }),
      ...(expiresAt === undefined ? {} : { expiresAtMs: expiresAt }),
    });
  })

  .post("/:id/revoke", async (c) => {
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    if (key.record.revokedAtMs !== null) return success(c, shown(key.record));
    return change(c, "key.revoke", key, { revokedAtMs: Date.now() });
  })

  .delete("/:id", async (c) => {
    const key = await find(c);
    if (key === null) return failure(c, "not_found", NO_SUCH_KEY);
    const { record, hash } = key;
    return audited(c, "key.delete", record.id, { name: record.name }, async () => {
      // The meter first: it refuses at once, while the store may serve the record for a minute.
      const policy = { ...policyOf(record), deleted: true, version: record.version + 1 };
      await configure(c, policy, record);
      await c.get("services").keyStore.remove(key);
      c.get("services").keys.forget(hash);
      return { done: true, result: success(c, { id: record.id, deleted: true }) };
    });
  });

/** Writes a changed record: to the meter, which makes it hold from now on, then to the store. */
async function change(
  c: AdminContext,
  action: string,
  { hash, record }: StoredKey,
  patch: Partial<KeyRecord>,
): Promise<Response> {
  const changed: KeyRecord = { ...record, ...patch, version: record.version + 1 };
  const before = Object.fromEntries(
    Object.keys(patch).map((field) => [field, record[field as keyof KeyRecord]]),
  );
  return audited(c, action, record.id, { before, after: patch }, async () => {
    if (!(await configure(c, policyOf(changed), changed))) {
      const message = "The key was changed by someone else just now. Look at it again, then retry.";
      return { done: false, result: failure(c, "conflict", message) };
    }
    await c.get("services").keyStore.put({ hash, record: changed });
    c.get("services").keys.forget(hash);
    return { done: true, result: success(c, shown(changed)) };
  });
}

/** The key as it now stands: the store may be a minute behind what the meter was told. */
async function find(c: AdminContext): Promise<StoredKey | null> {
  const { keyStore } = c.get("services");
  const stored = await keyStore.findById(c.req.param("id") ?? "");
  if (stored === null) return null;
  const { record, hash } = stored;
  const latest = await callObject(
    () => c.get("services").meter(record.id),
    (meter) => meter.latest(),
  );
  if (latest?.policy.deleted) return null;
  const newer = latest?.record ?? null;
  return newer !== null && newer.version > record.version ? { hash, record: newer } : stored;
}

function configure(c: AdminContext, policy: KeyPolicy, record: KeyRecord): Promise<boolean> {
  return callObject(
    () => c.get("services").meter(record.id),
    (meter) => meter.configure(policy, record),
  );
}

/** A key as people see it. */
function shown(record: KeyRecord) {
  const iso = (atMs: number | null) => (atMs === null ? null : new Date(atMs).toISOString());
  return {
    id: record.id,
    name: record.name,
    description: record.description,
    hint: record.hint,
    enabled: record.enabled,
    /** "active", or why the key is refused. */
    status: refusalOf(policyOf(record), Date.now())?.kind.replace("key_", "") ?? "active",
    createdAt: iso(record.createdAtMs),
    expiresAt: iso(record.expiresAtMs),
    revokedAt: iso(record.revokedAtMs),
  };
}
