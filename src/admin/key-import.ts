import { Hono } from "hono";
import * as v from "valibot";
import { allAccounts } from "../accounts/roster.ts";
import type { RosterRow } from "../accounts/roster-row.ts";
import { callObject } from "../durable-call.ts";
import { parseStoredKey } from "../keys/key-index.ts";
import { type KeyRecord, markOf } from "../keys/key-record.ts";
import type { StoredKey } from "../keys/key-store.ts";
import { audited } from "./audit.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import { configure } from "./key-write.ts";
import { readBody } from "./requests.ts";
import { pastSums, pastUsageSchema } from "./usage-import.ts";

/** Keys of one call: a new one takes up to 15 calls to KV and objects, of the thousand there are. */
const IMPORT_MAX = 25;
const HASH = /^[0-9a-f]{64}$/;
const ID = /^[\w-]{1,64}$/;

const importSchema = v.strictObject({
  keys: v.pipe(
    v.array(
      v.strictObject({
        hash: v.pipe(v.string(), v.regex(HASH, "is no hash of a key")),
        record: v.unknown(),
        activatedAtMs: v.optional(v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))), null),
        usage: pastUsageSchema,
      }),
    ),
    v.minLength(1, "is empty"),
    v.maxLength(IMPORT_MAX, `must have at most ${IMPORT_MAX} keys`),
  ),
});

type Entry = v.InferOutput<typeof importSchema>["keys"][number];

type Outcome =
  | { kind: "imported" | "there" }
  | { kind: "refused"; refused: { id: string; name: string; reason: string; message: string } };

/** `/admin/api-keys/import`: keys as they are, by their hashes; a plain key is not needed. */
export const keyImportRoutes = new Hono<AdminEnv>().post("/", async (c) => {
  const body = await readBody(c, importSchema);
  if (!body.ok) return failure(c, body.error.code, body.error.message);
  const read = body.value.keys.map((entry) => ({ entry, stored: storedOf(entry) }));
  const unreadable = read.findIndex(({ stored }) => stored === null);
  if (unreadable >= 0) {
    const message = `keys.${unreadable}.record is no record of a key, or belongs to another hash.`;
    return failure(c, "bad_request", message);
  }
  const accounts = await allAccounts(c.get("services").fleet);
  const ids = read.flatMap(({ stored }) => (stored === null ? [] : [stored.record.id]));
  return audited(c, "key.import", null, { ids }, async () => {
    const outcomes = await Promise.allSettled(
      read.map(async ({ entry, stored }) =>
        stored === null ? null : importOne(c, entry, stored, accounts),
      ),
    );
    const failed = outcomes.find(({ status }) => status === "rejected");
    // The same call again does the rest: what it finds done stays as it is.
    if (failed?.status === "rejected") throw failed.reason;
    const done = outcomes.flatMap((each) =>
      each.status === "fulfilled" && each.value !== null ? [each.value] : [],
    );
    const refused = done.flatMap((each) => (each.kind === "refused" ? [each.refused] : []));
    const data = {
      imported: done.filter(({ kind }) => kind === "imported").length,
      there: done.filter(({ kind }) => kind === "there").length,
      refused,
      recognisesImportedKeys: c.get("services").importedKeys !== null,
    };
    return { done: refused.length === 0, result: success(c, data) };
  });
});

/** To the meter first, then what was used, then to the store: a key that is found is whole. */
async function importOne(
  c: AdminContext,
  { activatedAtMs, usage }: Entry,
  stored: StoredKey,
  accounts: readonly RosterRow[],
): Promise<Outcome> {
  const { keyStore, keys, meter } = c.get("services");
  const { hash, record } = stored;
  const refused = (reason: string, message: string): Outcome => ({
    kind: "refused",
    refused: { id: record.id, name: record.name, reason, message },
  });
  const [existing, holder] = await Promise.all([
    keyStore.findById(record.id),
    keyStore.findByHash(hash),
  ]);
  if (existing !== null && existing.record.version >= record.version) {
    // Listed, and not found by its hash: the write before this one broke off between the two.
    if (holder === null && existing.hash === hash) {
      await keyStore.put(existing, null);
      keys.forget(hash);
    }
    return { kind: "there" };
  }
  if (holder !== null && holder.id !== record.id) {
    return refused("hash_taken", "Another key here has the same secret.");
  }
  if (!isBindable(record, accounts)) {
    return refused("unbound", "The account or tag that it is bound to is not here.");
  }
  if (!(await configure(c, stored))) {
    return refused("meter_ahead", "Its meter here knows a newer version of it, which stays.");
  }
  await callObject(
    () => meter(record.id),
    (object) => object.adopt({ usage: usage.map(pastSums), activatedAtMs }),
  );
  await keyStore.put(stored, existing?.record ?? null);
  if (existing !== null && existing.hash !== hash) await keyStore.dropHash(existing.hash);
  keys.forget(hash);
  return { kind: "imported" };
}

function isBindable({ boundTo }: KeyRecord, accounts: readonly RosterRow[]): boolean {
  if (boundTo === null) return true;
  const { kind, value } = boundTo;
  return accounts.some(({ id, tags }) =>
    kind === "account" ? id === value : tags.includes(value),
  );
}

function storedOf({ hash, record }: Entry): StoredKey | null {
  const stored = parseStoredKey({ hash, record });
  if (stored === null || !ID.test(stored.record.id)) return null;
  return stored.record.secret.mark === markOf(hash) ? stored : null;
}
