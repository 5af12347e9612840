import { Hono } from "hono";
import { deleteCookie, setCookie } from "hono/cookie";
import { describeError, runAfter } from "../background.ts";
import { clientNetwork } from "../client-network.ts";
import { callObject, isObjectFailure } from "../durable-call.ts";
import { KeyStoreUnavailable } from "../keys/key-store.ts";
import { servicesOf } from "../relay/services.ts";
import { newRequestId } from "../request-id.ts";
import { accountRoutes } from "./accounts.ts";
import { alertRoutes } from "./alerts.ts";
import { archiveRoutes } from "./archive.ts";
import { AuditUnavailable, eventLog } from "./audit.ts";
import { dashboardRoutes } from "./dashboard.ts";
import { egressRoutes } from "./egress.ts";
import { encryptionKeyRoutes } from "./encryption-key.ts";
import { type AdminEnv, failure, success } from "./envelope.ts";
import { explainRoutes } from "./explain.ts";
import { keyBatchRoutes } from "./key-batch.ts";
import { keyImportRoutes } from "./key-import.ts";
import { keyRoutes } from "./keys.ts";
import { ledgerRequestRoutes } from "./ledger-requests.ts";
import { loginRefused } from "./login-refused.ts";
import { logRoutes } from "./logs.ts";
import { priceRoutes } from "./prices.ts";
import { loginSchema, readBody } from "./requests.ts";
import { mayGoOn } from "./roles.ts";
import {
  adminGate,
  issueSession,
  readSession,
  SESSION_COOKIE,
  SESSION_LIFETIME_S,
} from "./session.ts";
import { notSignedIn, shownSession, signOutUrlOf } from "./session-answers.ts";
import { usageRoutes } from "./usage.ts";

const AUDIT_PAGE = 100;
/** The one route that is open to those who are not signed in. */
const LOGIN_PATH = "/admin/login";
/** Where no address is told, all tries count together. */
const NO_ADDRESS = "unknown";
/** No answer of this API is a page: a browser is to run nothing of it, and to put it in no frame. */
const NOTHING_TO_SHOW = "default-src 'none'; frame-ancestors 'none'";
const COOKIE = { path: "/admin", httpOnly: true, sameSite: "Strict" } as const;

/** The admin API: for the panel and the CLI. Every route but login needs a session, or Access. */
export const adminApi = new Hono<AdminEnv>();

adminApi.use(async (c, next) => {
  const requestId = newRequestId(Date.now());
  c.set("requestId", requestId);
  c.header("x-relay-request-id", requestId);
  c.header("cache-control", "no-store");
  c.header("x-content-type-options", "nosniff");
  c.header("content-security-policy", NOTHING_TO_SHOW);
  const services = servicesOf(c.env);
  if (!services.ok) {
    return failure(c, "not_configured", `The relay is not configured. ${services.error.join(" ")}`);
  }
  c.set("services", services.value);
  if (c.req.path === LOGIN_PATH) return next();
  const read = await readSession(c);
  if (read.kind !== "signed_in") return notSignedIn(c, read);
  c.set("admin", read.session);
  if (mayGoOn(c)) return next();
  const message =
    "You may look here and change nothing: your role is viewer. Whoever runs this relay can name you in ACCESS_ADMINS.";
  return failure(c, "read_only", message);
});

adminApi.post("/admin/login", async (c) => {
  const body = await readBody(c, loginSchema);
  if (!body.ok) return failure(c, body.error.code, body.error.message);
  const { username, password } = body.value;
  const { clientAddressHeader } = c.get("services").config;
  const network = clientNetwork(c.req.raw.headers, clientAddressHeader);
  // Not repeated on a fault: each call counts as a try.
  const login = await adminGate(c.env).login(username, password, network ?? NO_ADDRESS);
  if (!login.ok) return loginRefused(c, login.error);
  const { config, log } = c.get("services");
  const { token, session } = await issueSession(config, Date.now());
  const secure = new URL(c.req.url).protocol === "https:";
  setCookie(c, SESSION_COOKIE, token, { ...COOKIE, secure, maxAge: SESSION_LIFETIME_S });
  log("info", "admin.login", { requestId: c.get("requestId") });
  return success(c, { token, ...shownSession(session) });
});

adminApi.post("/admin/logout", async (c) => {
  const session = c.get("admin");
  const { sessionId, expiresAtMs } = session;
  await callObject(
    () => adminGate(c.env),
    (gate) => gate.endSession(sessionId, expiresAtMs),
  );
  const ended = callObject(
    () => eventLog(c.env),
    (log) => log.endSession(sessionId),
  );
  runAfter(c.executionCtx, c.get("services").log, "end live logs", ended);
  deleteCookie(c, SESSION_COOKIE, COOKIE);
  return success(c, { signedOut: true, signOutUrl: signOutUrlOf(session) });
});

adminApi.get("/admin/session", (c) => success(c, shownSession(c.get("admin"))));

adminApi.get("/admin/audit", async (c) => {
  const before = Math.trunc(Number(c.req.query("before"))) || null;
  const limit = Math.trunc(Number(c.req.query("limit"))) || AUDIT_PAGE;
  const acts = await callObject(
    () => eventLog(c.env),
    (log) => log.audit(before, Math.max(1, limit)),
  );
  const entries = acts.map(({ atMs, ...act }) => ({ ...act, at: new Date(atMs).toISOString() }));
  return success(c, { entries });
});

adminApi.route("/admin/api-keys/batch", keyBatchRoutes);
adminApi.route("/admin/api-keys/import", keyImportRoutes);
adminApi.route("/admin/archive", archiveRoutes);
adminApi.route("/admin/api-keys", keyRoutes);
adminApi.route("/admin/egress", egressRoutes);
adminApi.route("/admin/explain", explainRoutes);
adminApi.route("/admin/claude-accounts", accountRoutes);
adminApi.route("/admin/dashboard", dashboardRoutes);
adminApi.route("/admin/requests", ledgerRequestRoutes);
adminApi.route("/admin", usageRoutes);
adminApi.route("/admin/encryption-key", encryptionKeyRoutes);
adminApi.route("/admin/logs", logRoutes);
adminApi.route("/admin/prices", priceRoutes);
adminApi.route("/admin/alerts", alertRoutes);

adminApi.notFound((c) =>
  failure(
    c,
    "not_found",
    `There is no ${c.req.method} ${c.req.path.slice(0, 100)} in the admin API.`,
  ),
);

adminApi.onError((error, c) => {
  const services = servicesOf(c.env);
  if (services.ok) {
    services.value.log("error", "admin.failed", {
      requestId: c.get("requestId"),
      error: describeError(error),
    });
  }
  if (error instanceof AuditUnavailable) {
    const message = "The audit trail cannot be written, so nothing was changed. Try again.";
    return failure(c, "unavailable", message);
  }
  if (error instanceof KeyStoreUnavailable) {
    const message = "The store of relay keys does not answer. Nothing more was changed; try again.";
    return failure(c, "unavailable", message);
  }
  if (isObjectFailure(error)) {
    const message =
      "A part of the relay's storage did not answer. Look whether it was done; try again.";
    return failure(c, "unavailable", message);
  }
  const message = "The relay could not finish this. Its log has the details under this request id.";
  return failure(c, "internal", message);
});
