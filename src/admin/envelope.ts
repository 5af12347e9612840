import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Services } from "../relay/services.ts";
import type { AdminSession } from "./session.ts";

/** What every admin handler finds in its context. */
export interface AdminEnv {
  Bindings: Env;
  Variables: {
    requestId: string;
    services: Services;
    /** Who is signed in; set on every route but login. */
    admin: AdminSession;
  };
}

export type AdminContext = Context<AdminEnv>;

/** The codes of the admin API's errors, each with its status. */
const STATUS = {
  bad_request: 400,
  login_failed: 401,
  not_signed_in: 401,
  forbidden_origin: 403,
  no_role: 403,
  read_only: 403,
  not_found: 404,
  conflict: 409,
  login_ended: 410,
  body_too_large: 413,
  upgrade_required: 426,
  login_throttled: 429,
  upstream_failed: 502,
  internal: 500,
  unavailable: 503,
  not_configured: 503,
} as const satisfies Record<string, ContentfulStatusCode>;

export type AdminErrorCode = keyof typeof STATUS;

export function success(c: AdminContext, data: unknown, status: 200 | 201 = 200): Response {
  return c.json({ success: true, data }, status);
}

/** @param message what happened and what to do, in words for the person at the panel or the CLI */
export function failure(
  c: AdminContext,
  code: AdminErrorCode,
  message: string,
  retryAfterS?: number,
): Response {
  if (retryAfterS !== undefined) c.header("retry-after", String(retryAfterS));
  const requestId = c.get("requestId");
  return c.json({ success: false, error: code, message, requestId }, STATUS[code]);
}
