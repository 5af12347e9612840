import { isPanelPath, panelAnswer } from "../../src/panel/panel.ts";

interface PagesEnv {
  ASSETS: Fetcher;
  /** The relay, by its service binding; missing where the project was deployed without one. */
  RELAY?: Fetcher;
  /** See wrangler.toml. */
  RELAY_URL?: string;
}

/** What key holders read about their own key, and what tells whether the relay can serve. */
const READ_ONLY = /^(?:\/api)?\/v1\/(?!messages)|^\/health$/;

/**
 * The panel on Pages. What its screens ask of the relay goes there through a service binding, as it
 * came: the session's cookie belongs to this very address, and no other origin is let in. Messages
 * are not taken: they go to the relay itself, without a step in between.
 */
export const onRequest: PagesFunction<PagesEnv> = ({ request, env }) => {
  const { pathname } = new URL(request.url);
  const isReading = request.method === "GET" || request.method === "HEAD";
  if (pathname === "/admin" || pathname.startsWith("/admin/")) return relayed(request, env);
  if (isReading && READ_ONLY.test(pathname)) return relayed(request, env);
  if (isReading && isPanelPath(pathname)) {
    const path = pathname.replace(/(?<=.)\/$/, "");
    return panelAnswer(request, path, { files: env.ASSETS, relayUrl: env.RELAY_URL || null });
  }
  return refused(404, "not_found", "This address has the panel only. Messages go to the relay.");
};

/** The relay checks session and origin itself; it sees the request as the browser sent it. */
async function relayed(request: Request, env: PagesEnv): Promise<Response> {
  if (env.RELAY === undefined) {
    const message =
      "The panel's Pages project is not bound to a relay. Name it under [[services]] in admin-pages/wrangler.toml, and deploy again.";
    return refused(503, "unavailable", message);
  }
  try {
    return await env.RELAY.fetch(request);
  } catch {
    const message =
      "The panel is here, but its relay did not answer. Look whether the Worker is deployed, then try again.";
    return refused(503, "unavailable", message);
  }
}

/** In the shape of the admin API, which the panel's screens understand. */
function refused(status: number, error: string, message: string): Response {
  return Response.json(
    { success: false, error, message },
    { status, headers: { "cache-control": "no-store", "x-content-type-options": "nosniff" } },
  );
}
