import { createHash } from "node:crypto";
import { relayVersion } from "../version.ts";

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
pre { padding: .75rem 1rem; border: 1px solid color-mix(in srgb, currentColor 20%, transparent); border-radius: 6px; overflow-x: auto; }
small { opacity: .7; }
`;
const STYLE_HASH = createHash("sha256").update(STYLE).digest("base64");

const HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "no-store",
  // No script and nothing from elsewhere; the page's one style is allowed by its hash.
  "content-security-policy": `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

/** `GET /` and `/web`: where someone who opens the address in a browser learns what it is. */
export function startPage(request: Request): Response {
  return new Response(page(new URL(request.url).origin), { headers: HEADERS });
}

/** @param origin comes from the URL parser, so it holds nothing that HTML would read as markup */
function page(origin: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Claude relay</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Claude relay</h1>
<p>This address relays Claude clients to the Anthropic API. You need a relay key; it begins with <code>cr_</code>.</p>
<h2>Point a client here</h2>
<p>Claude Code:</p>
<pre>export ANTHROPIC_BASE_URL=${origin}
export ANTHROPIC_AUTH_TOKEN=cr_…
claude</pre>
<p>Any Anthropic SDK: base URL <code>${origin}</code>, your relay key as the API key. SillyTavern: base URL <code>${origin}/v1</code>.</p>
<h2>What a key has used</h2>
<pre>curl -H "x-api-key: cr_…" ${origin}/api/v1/usage</pre>
<h2>Run this relay</h2>
<p>From its folder, in a terminal:</p>
<pre>npm run cli -- status
npm run cli -- accounts add
npm run cli -- keys create</pre>
<p>Whether it can serve now: <a href="/health">/health</a>.</p>
<p><small>Version ${relayVersion}</small></p>
</body>
</html>
`;
}
