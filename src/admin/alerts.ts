import { Hono } from "hono";
import * as v from "valibot";
import {
  ALERTS_NAME,
  MAX_WEBHOOKS,
  type ShownWebhook,
  type WebhookProblem,
} from "../../durable-objects/alerts/contract.ts";
import { readWebhookAddress } from "../alerts/address.ts";
import { ALERT_FORMATS, ALERT_KINDS, type AlertFormat } from "../alerts/alert.ts";
import { SECRET_OF } from "../alerts/formats.ts";
import { isSigningSecret, newSigningSecret } from "../alerts/signature.ts";
import { callObject, type Remote, remote } from "../durable-call.ts";
import type { Alerts } from "../index.ts";
import { audited } from "./audit.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import { nameSchema } from "./key-fields.ts";
import { readBody } from "./requests.ts";

const SECRET_MAX_CHARS = 200;

const kindsSchema = v.pipe(
  v.array(v.picklist(ALERT_KINDS)),
  v.nonEmpty("must name at least one kind"),
);
const secretSchema = v.nullable(
  v.pipe(v.string(), v.nonEmpty("must not be empty"), v.maxLength(SECRET_MAX_CHARS)),
);

const createSchema = v.strictObject({
  name: nameSchema,
  format: v.picklist(ALERT_FORMATS),
  address: v.string(),
  secret: v.optional(secretSchema, null),
  kinds: v.optional(kindsSchema, [...ALERT_KINDS]),
  enabled: v.optional(v.boolean(), true),
});

const updateSchema = v.strictObject({
  name: v.optional(nameSchema),
  address: v.optional(v.string()),
  secret: v.optional(secretSchema),
  kinds: v.optional(kindsSchema),
  enabled: v.optional(v.boolean()),
});

/** `/admin/alerts`: the webhooks that alerts go to. */
export const alertRoutes = new Hono<AdminEnv>()
  .get("/", async (c) => {
    const webhooks = await listed(c);
    return success(c, {
      webhooks: webhooks.map(shown),
      kinds: ALERT_KINDS,
      formats: ALERT_FORMATS,
    });
  })

  .post("/", async (c) => {
    const body = await readBody(c, createSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const { name, format, kinds, enabled, ...given } = body.value;
    const wrong = problemOf(c, format, given);
    if (wrong !== null) return failure(c, "bad_request", wrong);
    // Shown once: whoever receives needs it to verify.
    const made = format === "json" && given.secret === null ? newSigningSecret() : null;
    const secret = given.secret ?? made;
    const address = given.address.trim();
    const detail = { after: { name, format, kinds, enabled, host: new URL(address).host } };
    return audited(c, "alert.create", null, detail, async () => {
      const created = await alertsObject(c.env).create({
        ...{ name, format, kinds: [...new Set(kinds)], enabled, address, secret },
      });
      return created.ok
        ? { done: true, result: success(c, { ...shown(created.value), secret: made }, 201) }
        : { done: false, result: refused(c, created.error) };
    });
  })

  .put("/:id", async (c) => {
    const body = await readBody(c, updateSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const id = c.req.param("id");
    const before = (await listed(c)).find((webhook) => webhook.id === id);
    if (before === undefined) return refused(c, "unknown");
    const { address, secret, ...settings } = body.value;
    const wrong = problemOf(c, before.format, { address, secret });
    if (wrong !== null) return failure(c, "bad_request", wrong);
    const detail = {
      before: {
        name: before.name,
        kinds: before.kinds,
        enabled: before.enabled,
        host: before.host,
      },
      after: settings,
      newAddress: address !== undefined,
      newSecret: secret !== undefined,
    };
    return audited(c, "alert.update", id, detail, async () => {
      const given = { ...settings, address: address?.trim(), secret };
      const patch = Object.fromEntries(
        Object.entries(given).filter(([, value]) => value !== undefined),
      );
      const updated = await callObject(
        () => alertsObject(c.env),
        (alerts) => alerts.update(id, patch),
      );
      return updated.ok
        ? { done: true, result: success(c, shown(updated.value)) }
        : { done: false, result: refused(c, updated.error) };
    });
  })

  .delete("/:id", async (c) => {
    const id = c.req.param("id");
    return audited(c, "alert.remove", id, {}, async () => {
      let tries = 0;
      const removed = await callObject(
        () => alertsObject(c.env),
        (alerts) => {
          tries += 1;
          return alerts.remove(id);
        },
      );
      // The answer of a first try may have been lost after it was carried out.
      return removed || tries > 1
        ? { done: true, result: success(c, { removed: true }) }
        : { done: false, result: refused(c, "unknown") };
    });
  })

  .post("/:id/test", async (c) => {
    // Not repeated on a fault: each call is a message.
    const tested = await alertsObject(c.env).test(c.req.param("id"));
    if (tested === null) return refused(c, "unknown");
    return tested.ok
      ? success(c, { delivered: true })
      : failure(c, "upstream_failed", `The receiver did not take the test: ${tested.error}.`);
  });

export function alertsObject(env: Env): Remote<Alerts> {
  return remote(env.ALERTS, ALERTS_NAME);
}

function listed(c: AdminContext): Promise<ShownWebhook[]> {
  return callObject(
    () => alertsObject(c.env),
    (alerts) => alerts.webhooks(),
  );
}

/** In words, what is wrong with an address or secret; null: nothing. Neither is ever quoted. */
function problemOf(
  c: AdminContext,
  format: AlertFormat,
  { address, secret }: { address?: string | undefined; secret?: string | null | undefined },
): string | null {
  const { localWebhooks } = c.get("services").config.alerts;
  const checked = address === undefined ? null : readWebhookAddress(address, localWebhooks);
  if (checked !== null && !checked.ok) return `address ${checked.error}.`;
  if (secret === undefined || secret === null) {
    return secret === null && address === undefined && SECRET_OF[format] === "always"
      ? "secret cannot be taken away: messages of this format are always signed."
      : null;
  }
  if (SECRET_OF[format] === "none")
    return `secret is not used by the format ${format}: leave it out.`;
  if (format === "json" && !isSigningSecret(secret)) {
    return "secret must be whsec_ and 24 to 64 bytes in base64. Leave it out, and the relay makes one.";
  }
  return null;
}

function shown({ createdAtMs, delivery, isSigned, ...webhook }: ShownWebhook) {
  const { lastSuccessAtMs, lastFailureAtMs, nextTryAtMs, ...counts } = delivery;
  return {
    ...webhook,
    signed: isSigned,
    createdAt: timeOf(createdAtMs),
    delivery: {
      ...counts,
      lastSuccessAt: timeOf(lastSuccessAtMs),
      lastFailureAt: timeOf(lastFailureAtMs),
      nextTryAt: timeOf(nextTryAtMs),
    },
  };
}

function timeOf(atMs: number | null): string | null {
  return atMs === null ? null : new Date(atMs).toISOString();
}

function refused(c: AdminContext, problem: WebhookProblem): Response {
  switch (problem) {
    case "unknown":
      return failure(c, "not_found", "There is no such webhook. GET /admin/alerts lists them.");
    case "name_taken":
      return failure(c, "conflict", "Another webhook has this name. Choose another one.");
    case "too_many":
      return failure(
        c,
        "conflict",
        `There are ${MAX_WEBHOOKS} webhooks already, which is the most. Remove one first.`,
      );
  }
}
