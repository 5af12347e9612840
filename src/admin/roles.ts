import { matchedRoutes } from "hono/route";
import type { AdminContext } from "./envelope.ts";

/**
 * What a viewer may do: each route by its entry in the route table, and nothing that is not here. A
 * route that changes something, tells a secret or sets something in motion is never here, whatever
 * its method.
 */
export const VIEWER_ROUTES: ReadonlySet<string> = new Set([
  "GET /admin/session",
  "POST /admin/logout",
  "GET /admin/alerts",
  "GET /admin/audit",
  "GET /admin/api-keys",
  "GET /admin/api-keys/:id",
  "GET /admin/api-keys/:id/requests",
  "GET /admin/claude-accounts",
  "GET /admin/claude-accounts/:id",
  "GET /admin/dashboard",
  "GET /admin/egress",
  "GET /admin/encryption-key",
  "GET /admin/explain",
  "GET /admin/logs",
  "GET /admin/logs/live",
  "GET /admin/model-stats",
  "GET /admin/prices",
  "GET /admin/requests",
  "GET /admin/requests/:id",
  "GET /admin/usage-costs",
  "GET /admin/usage-trend",
]);

/**
 * Whether who is signed in may go on to what answers this request. Asked by the one middleware that
 * stands before every route; it looks at the table's own match, so it cannot see another route than
 * the one that will run.
 */
export function mayGoOn(c: AdminContext): boolean {
  if (c.get("admin").role === "admin") return true;
  const ahead = matchedRoutes(c).slice(c.req.routeIndex + 1);
  return ahead.every(({ method, path }) => VIEWER_ROUTES.has(`${method} ${path}`));
}
