import { adminApi } from "./admin/admin-api.ts";
import { metricsAnswer } from "./metrics/metrics.ts";
import { isPanelPath, panelAnswer } from "./panel/panel.ts";
import { canonicalPath, clientApi } from "./relay/client-api.ts";
import { refuse } from "./relay/refusal.ts";
import { servicesOf } from "./relay/services.ts";
import { newRequestId } from "./request-id.ts";
import { healthAnswer } from "./system/health.ts";

export { AdminGate } from "../durable-objects/admin-gate.ts";
export { Alerts } from "../durable-objects/alerts.ts";
export { ClaudeAccount } from "../durable-objects/claude-account.ts";
export { EventLog } from "../durable-objects/event-log.ts";
export { Fleet } from "../durable-objects/fleet.ts";
export { KeyMeter } from "../durable-objects/key-meter.ts";
export { UsageLedger } from "../durable-objects/usage-ledger.ts";

/** The doors: the client API (hot path, no framework), the admin API, the panel and the system's own. */
export default {
  fetch(request, env, ctx): Response | Promise<Response> {
    const url = URL.parse(request.url);
    if (url === null) return unreadable();
    const path = canonicalPath(url.pathname);
    if (path.startsWith("/v1/")) return clientApi(request, path, url.search, servicesOf(env), ctx);
    if (path === "/admin" || path.startsWith("/admin/")) return adminApi.fetch(request, env, ctx);
    return system(request, path, url.search, env, ctx);
  },
} satisfies ExportedHandler<Env>;

/** Whoever sends a host that is none must not meet an exception. */
function unreadable(): Response {
  const nowMs = Date.now();
  return refuse({ kind: "address_unreadable" }, newRequestId(nowMs), nowMs);
}

function system(
  request: Request,
  path: string,
  search: string,
  env: Env,
  ctx: ExecutionContext,
): Response | Promise<Response> {
  const reading = request.method === "GET" || request.method === "HEAD";
  switch (path) {
    case "/health":
      if (reading) return healthAnswer(servicesOf(env));
      break;
    case "/metrics":
      if (reading) return metricsAnswer(request, servicesOf(env), env);
      break;
    // Claude Code asks whether anyone is there, with its base URL's path or without.
    case "/api/hello":
    case "/api/api/hello":
      if (reading) return new Response(null, { status: 200 });
      break;
    // A client that only asks whether anyone is there is led nowhere.
    case "/":
      if (request.method === "HEAD") return new Response(null, { status: 200 });
      break;
    // Telemetry of Claude Code: answered at once, without waking anything.
    case "/api/event_logging/batch":
      return new Response(null, { status: 404 });
  }
  if (reading && isPanelPath(path)) {
    const { origin } = new URL(request.url);
    return panelAnswer(request, path, { files: env.ASSETS, relayUrl: origin });
  }
  return clientApi(request, path, search, servicesOf(env), ctx);
}
