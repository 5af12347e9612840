import { Hono } from "hono";
import type * as v from "valibot";
import type {
  LoginError,
  NewCredential,
  NotServing,
} from "../../durable-objects/claude-account/contract.ts";
import { allAccounts } from "../accounts/roster.ts";
import {
  type AccountSettings,
  LATER_SETTINGS,
  type LocationHint,
  type RosterRow,
  standingOf,
  troubleNow,
} from "../accounts/roster-row.ts";
import type { Vault } from "../accounts/vault.ts";
import { callObject } from "../durable-call.ts";
import type { AccountProxy } from "../egress/egress.ts";
import { fail, ok, type Result } from "../result.ts";
import { testAccount } from "./account-test.ts";
import { audited } from "./audit.ts";
import { type AdminContext, type AdminEnv, failure, success } from "./envelope.ts";
import {
  authUrlSchema,
  createAccountSchema,
  exchangeCodeSchema,
  readBody,
  settingsOf,
  updateAccountSchema,
} from "./requests.ts";

const ID_TAKEN =
  "There is an account with this id, or there was one: an id is never used a second time.";
const NO_SUCH_ACCOUNT = "There is no account with this id.";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const SECOND_MS = 1_000;

/** `/admin/claude-accounts` */
export const accountRoutes = new Hono<AdminEnv>()
  .get("/", async (c) => {
    const rows = await allAccounts(c.get("services").fleet);
    const vault = await c.get("services").vault();
    const { canReachProxies } = c.get("services").egress;
    return success(c, { accounts: rows.map((row) => shown(row, vault, canReachProxies)) });
  })

  .post("/generate-auth-url", async (c) => {
    const body = await readBody(c, authUrlSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const { proxy, accountId, locationHint } = body.value;
    const mistaken = unknownVia(c, proxy);
    if (mistaken !== null) return failure(c, "bad_request", mistaken);
    const id = accountId ?? crypto.randomUUID();
    if (accountId !== undefined) {
      const row = await describe(c, accountId);
      if (row === null) return failure(c, "not_found", NO_SUCH_ACCOUNT);
      if (row.kind !== "oauth") {
        const message = "This account has no login: it uses a key or token. Replace that instead.";
        return failure(c, "conflict", message);
      }
      if (proxy !== null) {
        const message = "This account exists: change its proxy first, then make the link.";
        return failure(c, "bad_request", message);
      }
    }
    return audited(c, "account.login_begin", id, {}, async () => {
      const { authUrl, endsAtMs } = await account(c, id, locationHint).beginLogin(proxy);
      const data = {
        authUrl,
        sessionId: id,
        expiresAt: new Date(endsAtMs).toISOString(),
        instructions: [
          "Open the link and sign in with the Claude account that the relay is to use.",
          "Agree, and copy the whole code that the page then shows.",
          "Paste the code here within ten minutes.",
        ],
      };
      return { done: true, result: success(c, data) };
    });
  })

  .post("/exchange-code", async (c) => {
    const body = await readBody(c, exchangeCodeSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const { sessionId, authorizationCode, callbackUrl } = body.value;
    return audited(c, "account.login_finish", sessionId, {}, async () => {
      const paste = authorizationCode ?? callbackUrl ?? "";
      // Not repeated on a fault: a code works once.
      const finished = await account(c, sessionId).finishLogin(paste);
      if (!finished.ok) return { done: false, result: loginFailure(c, finished.error) };
      const { profile, renewed } = finished.value;
      if (renewed) changed(c, sessionId);
      return { done: true, result: success(c, { sessionId, profile, renewed }) };
    });
  })

  .post("/", async (c) => {
    const body = await readBody(c, createAccountSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const { name, proxy, sessionId, locationHint, id: givenId } = body.value;
    const mistaken = unknownVia(c, proxy);
    if (mistaken !== null) return failure(c, "bad_request", mistaken);
    const credential = credentialOf(body.value);
    if (!credential.ok) return failure(c, "bad_request", credential.error);
    if ((sessionId === undefined) === (credential.value === null)) {
      return failure(c, "bad_request", ONE_SOURCE);
    }
    if (sessionId !== undefined && proxy !== null) {
      const message =
        "The proxy of a login is set when its link is made, so that the login uses it too.";
      return failure(c, "bad_request", message);
    }
    if (sessionId !== undefined && givenId !== undefined) {
      return failure(c, "bad_request", "An account of a login has the sessionId as its id.");
    }
    if (givenId !== undefined && (await wasEverHere(c, givenId))) {
      return failure(c, "conflict", ID_TAKEN);
    }
    const settings = { ...DEFAULT_SETTINGS, ...settingsOf(body.value), name, locationHint };
    const id = sessionId ?? givenId ?? crypto.randomUUID();
    const detail = { name, kind: credential.value?.kind ?? "oauth", hasProxy: proxy !== null };
    return audited(c, "account.create", id, detail, async () => {
      const row =
        credential.value === null
          ? await account(c, id).createFromLogin(settings)
          : await account(c, id, locationHint).create(settings, credential.value, proxy);
      if (row === null) {
        const message =
          givenId === undefined
            ? "This login is not finished, has ended, or was used already. Make a new link."
            : ID_TAKEN;
        return { done: false, result: failure(c, "conflict", message) };
      }
      changed(c, id);
      return { done: true, result: success(c, await shownBy(c, row), 201) };
    });
  })

  .get("/:id", async (c) => {
    const row = await describe(c, c.req.param("id"));
    if (row === null) return failure(c, "not_found", NO_SUCH_ACCOUNT);
    const proxy = await callObject(
      () => account(c, row.id),
      (object) => object.describeProxy(),
    );
    return success(c, { ...(await shownBy(c, row)), proxy });
  })

  .put("/:id", async (c) => {
    const body = await readBody(c, updateAccountSchema);
    if (!body.ok) return failure(c, body.error.code, body.error.message);
    const before = await describe(c, c.req.param("id"));
    if (before === null) return failure(c, "not_found", NO_SUCH_ACCOUNT);
    const { proxy } = body.value;
    const mistaken = unknownVia(c, proxy ?? null);
    if (mistaken !== null) return failure(c, "bad_request", mistaken);
    const credential = credentialOf(body.value);
    if (!credential.ok) return failure(c, "bad_request", credential.error);
    const patch = settingsOf(body.value);
    const detail = {
      before: Object.fromEntries(
        Object.keys(patch).map((field) => [field, before[field as keyof AccountSettings]]),
      ),
      after: patch,
      ...(proxy === undefined ? {} : { proxy: proxy === null ? "removed" : "set" }),
      ...(credential.value === null ? {} : { credential: `replaced: ${credential.value.kind}` }),
    };
    return audited(c, "account.update", before.id, detail, async () => {
      const row = await account(c, before.id).update(patch, proxy, credential.value);
      changed(c, before.id);
      return row === null
        ? { done: false, result: failure(c, "not_found", NO_SUCH_ACCOUNT) }
        : { done: true, result: success(c, await shownBy(c, row)) };
    });
  })

  .delete("/:id", async (c) => {
    const row = await describe(c, c.req.param("id"));
    if (row === null) return failure(c, "not_found", NO_SUCH_ACCOUNT);
    return audited(c, "account.delete", row.id, { name: row.name }, async () => {
      const done = await account(c, row.id).remove();
      changed(c, row.id);
      return done
        ? { done, result: success(c, { id: row.id, deleted: true }) }
        : { done, result: failure(c, "not_found", NO_SUCH_ACCOUNT) };
    });
  })

  .post("/:id/reset", async (c) => {
    const id = c.req.param("id");
    if ((await describe(c, id)) === null) return failure(c, "not_found", NO_SUCH_ACCOUNT);
    return audited(c, "account.reset", id, {}, async () => {
      const row = await account(c, id).reset();
      changed(c, id);
      return row === null
        ? { done: false, result: failure(c, "not_found", NO_SUCH_ACCOUNT) }
        : { done: true, result: success(c, await shownBy(c, row)) };
    });
  })

  .post("/:id/refresh", async (c) => {
    const id = c.req.param("id");
    if ((await describe(c, id)) === null) return failure(c, "not_found", NO_SUCH_ACCOUNT);
    return audited(c, "account.refresh", id, {}, async () => {
      const refreshed = await account(c, id).refreshNow();
      changed(c, id);
      return refreshed.ok
        ? { done: true, result: success(c, await shownBy(c, refreshed.value)) }
        : { done: false, result: notServing(c, refreshed.error) };
    });
  })

  .post("/:id/test", async (c) => {
    const row = await describe(c, c.req.param("id"));
    if (row === null) return failure(c, "not_found", NO_SUCH_ACCOUNT);
    return success(c, await testAccount(c.get("services"), row));
  });

const DEFAULT_SETTINGS = {
  ...LATER_SETTINGS,
  description: "",
  tags: [],
  priority: 50,
  enabled: true,
} satisfies Partial<AccountSettings>;

const ONE_SOURCE = "Give exactly one of apiKey, setupToken, claudeAiOauth or sessionId.";

type Secrets = Pick<
  v.InferOutput<typeof createAccountSchema>,
  "apiKey" | "setupToken" | "claudeAiOauth"
>;

/** The credential that a body brings, null where it brings none, or what is wrong with it. */
function credentialOf({
  apiKey,
  setupToken,
  claudeAiOauth,
}: Secrets): Result<NewCredential | null, string> {
  const given = [apiKey, setupToken, claudeAiOauth].filter((way) => way !== undefined);
  if (given.length > 1) return fail(ONE_SOURCE);
  const mistaken = mistakenSecret(apiKey, setupToken);
  if (mistaken !== null) return fail(mistaken);
  const plain = { refresh: null, expiresAtMs: null, scopes: [] };
  if (apiKey !== undefined) return ok({ kind: "api_key", access: apiKey, ...plain });
  if (setupToken !== undefined) return ok({ kind: "setup_token", access: setupToken, ...plain });
  if (claudeAiOauth === undefined) return ok(null);
  const { accessToken, refreshToken, expiresAt, scopes } = claudeAiOauth;
  return ok({
    kind: "oauth",
    access: accessToken,
    refresh: refreshToken ?? null,
    // Without a time the token may have run out already: it is refreshed before its first use.
    expiresAtMs: expiresAt ?? (refreshToken == null ? null : 0),
    scopes,
  });
}

/** Known prefixes tell when a secret was pasted into the wrong field. */
function mistakenSecret(apiKey: string | undefined, setupToken: string | undefined): string | null {
  const secret = apiKey ?? setupToken ?? "";
  if (secret.startsWith("cr_")) {
    return "That is a relay key of this system, not a credential of Anthropic's.";
  }
  if (secret.startsWith("sk-ant-ort")) {
    return "That is a refresh token. Paste the whole credentials file as claudeAiOauth instead.";
  }
  if (apiKey?.startsWith("sk-ant-oat")) {
    return "That is an OAuth token, not an API key. Give it as setupToken.";
  }
  if (setupToken?.startsWith("sk-ant-api")) {
    return "That is an API key, not a setup token. Give it as apiKey.";
  }
  return null;
}

/** @param locationHint where an object that is not made yet should be */
function account(c: AdminContext, id: string, locationHint: LocationHint | null = null) {
  return c.get("services").account(id, locationHint);
}

/** The account's row, or null; ids of another shape wake no object. */
async function describe(c: AdminContext, id: string): Promise<RosterRow | null> {
  if (!UUID.test(id)) return null;
  return callObject(
    () => account(c, id),
    (object) => object.describe(),
  );
}

/** Whether an account has this id, or had it: the Fleet would keep a second one out of the roster. */
function wasEverHere(c: AdminContext, id: string): Promise<boolean> {
  return callObject(c.get("services").fleet, (fleet) => fleet.knows(id));
}

/** Makes this isolate see the change with its next request; the others follow within seconds. */
function changed(c: AdminContext, id: string): void {
  c.get("services").roster.forget();
  c.get("services").credentials.forget(id);
}

function loginFailure(c: AdminContext, error: LoginError): Response {
  if (error.kind === "token_error") {
    const { kind, message } = error.error;
    return kind === "unreachable" || kind === "rate_limited"
      ? failure(
          c,
          "upstream_failed",
          `Anthropic's login could not be reached: ${message}. Try again.`,
        )
      : failure(
          c,
          "bad_request",
          `Anthropic refused this code: ${message} Copy the whole code from the newest link; a code works once.`,
        );
  }
  const code = { no_login: "login_ended", no_egress: "unavailable" } as const;
  const known = error.kind === "no_login" || error.kind === "no_egress" ? code[error.kind] : null;
  return failure(c, known ?? "bad_request", error.message);
}

function notServing(c: AdminContext, error: NotServing): Response {
  const waitMs = error.retryAtMs === null ? null : Math.max(0, error.retryAtMs - Date.now());
  return failure(
    c,
    error.kind === "refresh_failed" && waitMs === null ? "bad_request" : "upstream_failed",
    error.message,
    waitMs === null ? undefined : Math.ceil(waitMs / SECOND_MS),
  );
}

async function shownBy(c: AdminContext, row: RosterRow) {
  const { egress, vault } = c.get("services");
  return shown(row, await vault(), egress.canReachProxies);
}

/** Says so where a proxy asks for a forward proxy that is not configured. */
function unknownVia(c: AdminContext, proxy: AccountProxy | null): string | null {
  const { via } = proxy ?? {};
  const names = c.get("services").egress.forwardProxies.all.map(({ name }) => name);
  if (via === undefined || names.includes(via)) return null;
  return names.length === 0
    ? "proxy.via names a forward proxy, and none is configured: see FORWARD_PROXY_URL."
    : `proxy.via must be one of: ${names.join(", ")}.`;
}

/** An account as people see it: no secret, times in ISO 8601. */
function shown(row: RosterRow, vault: Vault, canReachProxies: boolean) {
  const nowMs = Date.now();
  const iso = (atMs: number | null) => (atMs === null ? null : new Date(atMs).toISOString());
  const standing = standingOf(row, "", nowMs, canReachProxies);
  const trouble = troubleNow(row, nowMs);
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    tags: row.tags,
    kind: row.kind,
    enabled: row.enabled,
    schedulable: row.schedulable,
    priority: row.priority,
    weight: row.weight,
    maxConcurrency: row.maxConcurrency,
    expiresAt: iso(row.expiresAtMs),
    locationHint: row.locationHint,
    hasProxy: row.hasProxy,
    /** "ready", or why it does not serve. */
    status: vault.knows(row.sealedUnder) ? standing.kind : "other_encryption_key",
    trouble:
      trouble === null
        ? null
        : {
            kind: trouble.kind,
            detail: trouble.detail,
            since: iso(trouble.sinceMs),
            until: iso(trouble.untilMs),
          },
    coolDowns: row.coolDowns
      .filter(({ untilMs }) => untilMs > nowMs)
      .map(({ scope, untilMs, reason }) => ({ scope, until: iso(untilMs), reason })),
    windows: Object.fromEntries(
      Object.entries(row.windows).map(([name, { status, utilisation, resetAtMs }]) => [
        name,
        { status: status ?? null, utilisation: utilisation ?? null, reset: iso(resetAtMs ?? null) },
      ]),
    ),
    profile: row.profile,
    createdAt: iso(row.createdAtMs),
    credentialExpiresAt: iso(row.credentialExpiresAtMs),
  };
}
