import type { RelayKey, TestRelay } from "../../fixtures/relay.ts";
import { type HistoryOwner, writeHistory } from "./history.ts";

const HOUR_S = 3_600;
/** In a way that shows: a limit that is almost spent, a window that is almost full. */
const REQUESTS_NOW = 6;
/** Half a minute in all: twice what a busy meter may take. */
const LISTING_ATTEMPTS = 60;
const LISTING_PAUSE_MS = 500;

/** What a furnished relay has, for tests that want one thing of it. */
export interface Furniture {
  /** Ids by name. */
  accounts: Record<string, string>;
  keys: Record<string, RelayKey>;
  /** One that was relayed just now. */
  requestId: string;
}

const KEYS: { name: string; fields: Record<string, unknown>; requestsAnHour: number }[] = [
  {
    name: "Ada, laptop",
    fields: { tags: ["team"], limits: { dailyCost: 6, monthlyCost: 90, concurrency: 4 } },
    requestsAnHour: 9,
  },
  {
    name: "Build server",
    fields: {
      tags: ["ci"],
      description: "Reviews pull requests",
      limits: { window: { minutes: 60, requests: 200, tokens: null, cost: null } },
    },
    requestsAnHour: 14,
  },
  {
    name: "Lin, desktop",
    fields: { tags: ["team"], limits: { weeklyCost: 20 } },
    requestsAnHour: 6,
  },
  {
    name: "Support chat",
    fields: { tags: ["product"], deniedModels: ["claude-opus-*"] },
    requestsAnHour: 11,
  },
  { name: "Visitor", fields: { expiresAt: "2026-12-31T23:00:00Z" }, requestsAnHour: 1 },
];

/**
 * Furnishes a relay as one that a team has used for a month: accounts in every state, keys with
 * limits, thirty days of use, requests and log events of the last minutes. All of it came in as it
 * would, but for the use of the past.
 */
export async function furnish(relay: TestRelay): Promise<Furniture> {
  const accounts = await addAccounts(relay);
  const keys: Record<string, RelayKey> = {};
  for (const { name, fields } of KEYS) keys[name] = await relay.createKey({ name, ...fields });
  await addKeysOutOfUse(relay, keys);
  const serving = ["Max, team", "Max, research", "Console"].map((name) => accounts[name] ?? "");
  await writeHistory(
    relay.url,
    KEYS.map(
      ({ name, requestsAnHour }): HistoryOwner => ({
        keyId: keys[name]?.id ?? "",
        accountIds: serving,
        requestsAnHour,
      }),
    ),
  );
  return { accounts, keys, requestId: await sendRequests(relay, keys) };
}

async function addAccounts(relay: TestRelay): Promise<Record<string, string>> {
  const ids: Record<string, string> = {
    "Max, team": await relay.addOAuthAccount("Max, team"),
    "Max, research": await relay.addOAuthAccount("Max, research"),
    Console: await relay.addApiKeyAccount("Console", { priority: 60, tags: ["spare"] }),
    "Max, night": await relay.addOAuthAccount("Max, night"),
    "Old laptop": await relay.addOAuthAccount("Old laptop"),
    Reserve: await relay.addApiKeyAccount("Reserve", { tags: ["spare"] }),
  };
  const nowS = Math.floor(Date.now() / 1_000);
  const window = (utilization: number, inHours: number) => ({
    utilization,
    resetAtSeconds: nowS + inHours * HOUR_S,
  });
  relay.fake.accounts.setLimits("Max, team", {
    windows: { "5h": window(0.42, 2), "7d": window(0.61, 70), "7d_opus": window(0.35, 70) },
  });
  relay.fake.accounts.setLimits("Max, research", {
    windows: { "5h": window(0.93, 1), "7d": window(0.48, 110) },
  });
  relay.fake.accounts.setLimits("Max, night", {
    status: "rejected",
    representativeClaim: "five_hour",
    windows: { "5h": { ...window(1, 2), status: "rejected" }, "7d": window(0.77, 30) },
  });
  // Each is asked once, through a key that only it serves: so the relay has learnt its limits.
  for (const name of ["Max, team", "Max, research", "Console"]) {
    await askThrough(relay, ids[name] ?? "", {});
  }
  await askThrough(relay, ids["Max, night"] ?? "", {
    respond: {
      status: 429,
      error: { type: "rate_limit_error", message: "This would exceed your account's rate limit." },
    },
  });
  relay.fake.accounts.revoke("Old laptop");
  await askThrough(relay, ids["Old laptop"] ?? "", {});
  await relay.admin("PUT", `/claude-accounts/${ids.Reserve}`, { enabled: false });
  return ids;
}

async function askThrough(relay: TestRelay, accountId: string, fault: object): Promise<void> {
  const key = await relay.createKey({ name: "Setting up", accountId });
  await (await relay.message(key, {}, { fault })).arrayBuffer();
  await relay.admin("DELETE", `/api-keys/${key.id}?permanent=true`);
}

async function addKeysOutOfUse(relay: TestRelay, keys: Record<string, RelayKey>): Promise<void> {
  const off = await relay.createKey({ name: "Intern, summer", tags: ["team"] });
  await relay.admin("PUT", `/api-keys/${off.id}`, { enabled: false });
  const lost = await relay.createKey({ name: "Phone that was lost" });
  await relay.admin("POST", `/api-keys/${lost.id}/revoke`);
  Object.assign(keys, { "Intern, summer": off, "Phone that was lost": lost });
}

/** @returns the id of one of them */
async function sendRequests(relay: TestRelay, keys: Record<string, RelayKey>): Promise<string> {
  let requestId = "";
  for (const { name } of KEYS) {
    const key = keys[name];
    if (key === undefined) continue;
    for (let index = 0; index < REQUESTS_NOW; index += 1) {
      const answer = await relay.message(key, { stream: index % 2 === 0 });
      await answer.arrayBuffer();
      requestId = answer.headers.get("x-relay-request-id") ?? requestId;
    }
    await relay.settledUsage(key);
  }
  const revoked = keys["Phone that was lost"];
  if (revoked !== undefined) await (await relay.message(revoked)).arrayBuffer();
  return requestId;
}

/** A request is in the ledger five to fifteen seconds after its end. */
export async function untilListed(relay: TestRelay, requestId: string): Promise<void> {
  for (let attempt = 0; attempt < LISTING_ATTEMPTS; attempt += 1) {
    const { status } = await relay.admin("GET", `/requests/${requestId}`);
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, LISTING_PAUSE_MS));
  }
  throw new Error("a request of the furnished relay was never listed");
}
