import { readFileSync } from "node:fs";
import { resolve } from "node:path";

/** A route of the admin API, with the names that its query takes. */
export interface AdminRoute {
  method: string;
  path: string;
  query: string[];
  /** A body that it takes, with `{ID}` for an id that there is. */
  body: Record<string, unknown>;
}

const PAGE = resolve(import.meta.dirname, "../../docs/api.md");
const ROW = /^\| `([A-Z]+) (\/admin[^`?]*)(?:\?([^`]*))?` +\|/gm;
/** It would end the session that all others need, whatever it is sent. */
const LEFT_OUT = "POST /admin/logout";

const proxy = { type: "http", host: "127.0.0.1", port: 9, username: "a", password: "b" };
const settings = {
  description: "text",
  tags: ["a"],
  enabled: true,
  expiresAt: "2027-01-31T00:00:00Z",
  activeForHours: 24,
  allowedModels: ["claude-*"],
  deniedModels: [],
  accountTag: null,
  limits: {
    concurrency: 4,
    window: { minutes: 60, requests: 10, tokens: null, cost: 1 },
    dailyCost: 1,
    weeklyFamilyCost: { family: "opus", cost: 1 },
  },
};
const account = { name: "a", priority: 50, weight: 1, maxConcurrency: 4, tags: ["a"], proxy };
const webhook = { name: "a", address: "http://127.0.0.1:9/", secret: null, enabled: false };
const dollars = { input: 1, output: 2, cacheWrite5m: 1.25, cacheWrite1h: 2, cacheRead: 0.1 };
const record = { schema: 1, id: "{ID}", name: "a", description: "", hint: "", tags: [] };

const BODIES: Record<string, Record<string, unknown>> = {
  "POST /admin/login": { username: "admin", password: "wrong" },
  "POST /admin/api-keys": { name: "a", ...settings },
  "PUT /admin/api-keys/:id": settings,
  "POST /admin/api-keys/:id/rotate": { graceHours: 1 },
  "POST /admin/api-keys/batch": { namePrefix: "a ", count: 2, from: 1, digits: 3, ...settings },
  "PUT /admin/api-keys/batch": { tag: "a", cursor: null, limit: 10, addTags: ["b"], ...settings },
  "POST /admin/api-keys/import": { keys: [{ hash: "0".repeat(64), record, usage: [] }] },
  "POST /admin/claude-accounts": { ...account, apiKey: "sk-ant-api03-fuzz", expiresAt: null },
  "POST /admin/claude-accounts/generate-auth-url": { proxy: null, locationHint: null },
  "POST /admin/claude-accounts/exchange-code": { sessionId: "{ID}", authorizationCode: "a#b" },
  "PUT /admin/claude-accounts/:id": { ...account, expiresAt: "2027-01-31T00:00:00Z" },
  "PUT /admin/prices": { model: "claude-a", effectiveFrom: "2027-01-31", ...dollars },
  "POST /admin/alerts": { format: "json", kinds: ["account_needs_login"], ...webhook },
  "PUT /admin/alerts/:id": webhook,
  "POST /admin/archive/accounts": { password: "wrong", cursor: null },
  "POST /admin/archive/keys": { password: "wrong", cursor: "a" },
  "POST /admin/encryption-key/reseal": { cursor: null, limit: 5 },
};

/** Every route: from the page that a test holds against the route table. */
export function adminRoutes(): AdminRoute[] {
  return [...readFileSync(PAGE, "utf8").matchAll(ROW)]
    .map(([, method = "", path = "", query = ""]) => ({
      method,
      path,
      query: query.split("&").filter((name) => name !== ""),
      body: BODIES[`${method} ${path}`] ?? {},
    }))
    .filter(({ method, path }) => `${method} ${path}` !== LEFT_OUT);
}
