import { Hono } from "hono";
import * as v from "valibot";
import { allAccounts } from "../accounts/roster.ts";
import type { RosterRow } from "../accounts/roster-row.ts";
import { callObject } from "../durable-call.ts";
import { alertsObject } from "./alerts.ts";
import { audited } from "./audit.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import { readBody } from "./requests.ts";

/** Accounts of one call: each is one call to its object, of the thousand that a request may make. */
const RESEAL_MAX = 100;

const resealSchema = v.strictObject({
  cursor: v.optional(v.nullable(v.pipe(v.string(), v.uuid())), null),
  limit: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(RESEAL_MAX)),
    RESEAL_MAX,
  ),
});

/** `/admin/encryption-key`: which keys are in use, by their names, and the way to another one. */
export const encryptionKeyRoutes = new Hono<AdminEnv>()
  .get("/", async (c) => {
    const vault = await c.get("services").vault();
    const rows = await roster(c);
    const sealedUnder: Record<string, number> = {};
    for (const row of rows) {
      sealedUnder[row.sealedUnder] = (sealedUnder[row.sealedUnder] ?? 0) + 1;
    }
    return success(c, {
      current: vault.kid,
      previous: vault.previousKids,
      accounts: { total: rows.length, sealedUnder },
    });
  })

  .post("/reseal", async (c) => {
    const body = await readBody(c, resealSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const { cursor, limit } = body.value;
    const rows = await roster(c);
    const left = rows.filter(({ id }) => cursor === null || id > cursor);
    const page = left.slice(0, limit);
    const next = left.length > limit ? (page.at(-1)?.id ?? null) : null;
    const { kid } = await c.get("services").vault();
    const detail = { under: kid, ids: page.map(({ id }) => id) };
    return audited(c, "account.reseal", null, detail, async () => {
      const outcomes = await Promise.all(page.map((row) => reseal(c, row, kid)));
      const failed = outcomes.flatMap((outcome) =>
        outcome.kind === "failed" ? [outcome.why] : [],
      );
      // Webhooks are few, and come with the last page.
      if (next === null) failed.push(...(await resealWebhooks(c)));
      c.get("services").roster.forget();
      const data = {
        current: kid,
        total: rows.length,
        sealed: outcomes.filter(({ kind }) => kind === "sealed" || kind === "resealed").length,
        resealed: outcomes.filter(({ kind }) => kind === "resealed").length,
        failed,
        cursor: next,
      };
      return { done: failed.length === 0, result: success(c, data) };
    });
  });

type Outcome =
  | { kind: "resealed" | "sealed" | "removed" }
  | { kind: "failed"; why: { id: string; name: string; reason: string; message: string } };

/** One account's trouble is not another's: an object that does not answer is one more that failed. */
async function reseal(c: AdminContext, { id, name }: RosterRow, kid: string): Promise<Outcome> {
  const failed = (reason: string, message: string): Outcome => ({
    kind: "failed",
    why: { id, name, reason, message },
  });
  try {
    const resealed = await callObject(
      () => c.get("services").account(id),
      (account) => account.reseal(),
    );
    if (resealed.ok) {
      // For a moment after new secrets were given, an object may still run with the old ones.
      return resealed.value.under === kid
        ? { kind: resealed.value.isChanged ? "resealed" : "sealed" }
        : failed(
            "other_encryption_key",
            "It does not know the new key yet. Try again in a minute.",
          );
    }
    const { kind, message } = resealed.error;
    // Gone since the list was read.
    return kind === "account_unknown" ? { kind: "removed" } : failed(kind, message);
  } catch {
    return failed("object_unavailable", "Its object did not answer. Try again.");
  }
}

/** Addresses and secrets of webhooks are sealed under the same key. @returns those that failed */
async function resealWebhooks(c: AdminContext) {
  try {
    const { failed } = await callObject(
      () => alertsObject(c.env),
      (alerts) => alerts.reseal(),
    );
    const message = "Its address cannot be read. Give the webhook its address again, or remove it.";
    return failed.map((webhook) => ({ ...webhook, reason: "other_encryption_key", message }));
  } catch {
    const message = "The webhooks' object did not answer. Try again.";
    return [{ id: "alerts", name: "webhooks", reason: "object_unavailable", message }];
  }
}

/** All accounts in the order of their ids, which is the order of the pages. */
async function roster(c: AdminContext): Promise<RosterRow[]> {
  const rows = await allAccounts(c.get("services").fleet);
  return rows.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}
