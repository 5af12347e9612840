import { Hono } from "hono";
import { CompactEncrypt, importJWK } from "jose";
import * as v from "valibot";
import { allAccounts } from "../accounts/roster.ts";
import { clientNetwork } from "../client-network.ts";
import { callObject } from "../durable-call.ts";
import { policyOf } from "../keys/key-record.ts";
import { audited } from "./audit.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import { latestOf } from "./key-write.ts";
import { loginRefused } from "./login-refused.ts";
import { readBody } from "./requests.ts";
import { adminGate } from "./session.ts";
import { shownPastUsage } from "./usage-import.ts";

/** Of one call: each account is one call to its object, each key two to its meter. */
const ACCOUNTS_MAX = 50;
const KEYS_MAX = 50;
const PASSWORD_MAX_CHARS = 1_000;
/** Where no address is told, all tries count together. */
const NO_ADDRESS = "unknown";

/** A key is agreed on anew for each page, and only whoever asked can open it. */
const SEALED = { alg: "ECDH-ES", enc: "A256GCM" } as const;

const coordinate = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{43}$/, "is no coordinate on P-256"));

const pageSchema = v.strictObject({
  /** Asked for again: a session alone never leads to the credentials. */
  password: v.pipe(v.string(), v.maxLength(PASSWORD_MAX_CHARS)),
  /** The public key of whoever asks, as a JWK. */
  recipient: v.strictObject({
    kty: v.literal("EC"),
    crv: v.literal("P-256"),
    x: coordinate,
    y: coordinate,
  }),
  cursor: v.optional(v.nullable(v.string()), null),
});

type Recipient = Awaited<ReturnType<typeof importJWK>>;

const encoder = new TextEncoder();

/**
 * `/admin/archive`: everything that a relay can be made again from, a page a call. The only routes
 * that hand out credentials: sealed to the key that came with the call, and never in the clear.
 */
export const archiveRoutes = new Hono<AdminEnv>()
  .post("/accounts", async (c) => {
    const body = await readBody(c, pageSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const refused = await passwordRefusal(c, body.value.password);
    if (refused !== null) return refused;
    const { cursor } = body.value;
    const recipient = await recipientOf(body.value.recipient);
    if (recipient === null) return failure(c, "bad_request", NO_POINT);
    const rows = (await allAccounts(c.get("services").fleet))
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
      .filter(({ id }) => cursor === null || id > cursor);
    const page = rows.slice(0, ACCOUNTS_MAX);
    const detail = { ids: page.map(({ id }) => id) };
    return audited(c, "archive.accounts", null, detail, async () => {
      const revealed = await Promise.all(
        page.map(async ({ id, name }) => ({
          id,
          name,
          found: await callObject(
            () => c.get("services").account(id),
            (account) => account.reveal(),
          ),
        })),
      );
      const accounts = revealed.flatMap(({ id, found }) =>
        found.ok ? [{ id, ...found.value }] : [],
      );
      const failed = revealed.flatMap(({ id, name, found }) =>
        found.ok || found.error.kind === "account_unknown"
          ? []
          : [{ id, name, reason: found.error.kind, message: found.error.message }],
      );
      const next = rows.length > page.length ? (page.at(-1)?.id ?? null) : null;
      return {
        done: failed.length === 0,
        result: success(c, { sealed: await sealed(accounts, recipient), failed, cursor: next }),
      };
    });
  })

  .post("/keys", async (c) => {
    const body = await readBody(c, pageSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const refused = await passwordRefusal(c, body.value.password);
    if (refused !== null) return refused;
    const recipient = await recipientOf(body.value.recipient);
    if (recipient === null) return failure(c, "bad_request", NO_POINT);
    const { keyStore, meter } = c.get("services");
    return audited(c, "archive.keys", null, {}, async () => {
      const page = await keyStore.list({ cursor: body.value.cursor, limit: KEYS_MAX });
      const found = await keyStore.findByIds(page.keys.map(({ id }) => id));
      const keys = await Promise.all(
        found.map(async (listed) => {
          const { stored, activatedAtMs } = await latestOf(c, listed);
          const report = await callObject(
            () => meter(stored.record.id),
            (object) => object.usage(policyOf(stored.record)),
          );
          return { ...stored, activatedAtMs, usage: report.byModel.map(shownPastUsage) };
        }),
      );
      const data = { sealed: await sealed(keys, recipient), cursor: page.cursor };
      return { done: true, result: success(c, data) };
    });
  });

const NO_POINT = "recipient is no point on P-256.";

function recipientOf(
  jwk: v.InferOutput<typeof pageSchema>["recipient"],
): Promise<Recipient | null> {
  return importJWK(jwk, SEALED.alg).catch(() => null);
}

function sealed(records: readonly unknown[], recipient: Recipient): Promise<string> {
  return new CompactEncrypt(encoder.encode(JSON.stringify(records)))
    .setProtectedHeader(SEALED)
    .encrypt(recipient);
}

/** Checks the admin's password anew, with the same patience as a login. */
async function passwordRefusal(c: AdminContext, password: string): Promise<Response | null> {
  const { config } = c.get("services");
  const network = clientNetwork(c.req.raw.headers, config.clientAddressHeader);
  // Not repeated on a fault: each call counts as a try.
  const checked = await adminGate(c.env).login(
    config.adminUsername,
    password,
    network ?? NO_ADDRESS,
  );
  return checked.ok ? null : loginRefused(c, checked.error);
}
