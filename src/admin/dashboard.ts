import { Hono } from "hono";
import type { Sums, UsageFilter } from "../../durable-objects/usage-ledger/contract.ts";
import { HOUR_MS } from "../../durable-objects/usage-ledger/schema.ts";
import { standingOf } from "../accounts/roster-row.ts";
import { policyOf, refusalOf } from "../keys/key-record.ts";
import { localDay, startOfDay } from "../ledger/time-zone.ts";
import { nanoDollarsToUsd } from "../upstream/cost.ts";
import { relayVersion } from "../version.ts";
import { type AdminEnv, failure, success } from "./envelope.ts";
import { listedAccounts, listedKeys } from "./names.ts";
import { askedOf, reader } from "./usage.ts";
import { readTimeZone } from "./usage-query.ts";
import { shownUse } from "./usage-shapes.ts";

const MINUTE_MS = 60_000;
const ALL: UsageFilter = { keyId: null, accountId: null, model: null };

/** `/admin/dashboard`: the state of everything in one answer. */
export const dashboardRoutes = new Hono<AdminEnv>().get("/", async (c) => {
  const asked = askedOf(c, "dashboard");
  if (typeof asked === "string") return failure(c, "bad_request", asked);
  const zone = readTimeZone(asked);
  if (!zone.ok) return failure(c, "bad_request", zone.error);
  const timeZone = zone.value;
  const nowMs = Date.now();
  const hourMs = nowMs - (nowMs % HOUR_MS);
  const toMs = hourMs + HOUR_MS;
  const todayMs = startOfDay(timeZone, localDay(timeZone, nowMs));
  const ledger = reader(c);
  const [listed, accounts, total, today, lately] = await Promise.all([
    listedKeys(c),
    listedAccounts(c),
    ledger.total({ fromMs: 0, toMs }, ALL),
    ledger.total({ fromMs: Math.min(todayMs, hourMs), toMs }, ALL),
    ledger.total({ fromMs: hourMs - HOUR_MS, toMs }, ALL),
  ]);
  const keys = listed.keys.filter(({ deletedAtMs }) => deletedAtMs === null);
  const use = { mark: null, model: null, activatedAtMs: null };
  const activeKeys = keys.filter((key) => refusalOf(policyOf(key), use, nowMs) === null);
  const { canReachProxies } = c.get("services").egress;
  const usable = accounts.filter(
    (row) => standingOf(row, "", nowMs, canReachProxies).kind === "ready",
  );
  const minutes = (nowMs - (hourMs - HOUR_MS)) / MINUTE_MS;
  const { keyStore, config } = c.get("services");
  return success(c, {
    overview: {
      totalApiKeys: keys.length,
      activeApiKeys: activeKeys.length,
      /** False where there are more keys than an overview looks at. */
      allApiKeysCounted: listed.all,
      totalClaudeAccounts: accounts.length,
      activeClaudeAccounts: usable.length,
      totalTokensUsed: total.input_tokens + total.output_tokens,
      totalRequestsUsed: total.requests,
      totalInputTokensUsed: total.input_tokens,
      totalOutputTokensUsed: total.output_tokens,
      totalCacheCreateTokensUsed: total.write_5m_tokens + total.write_1h_tokens,
      totalCacheReadTokensUsed: total.read_tokens,
      totalAllTokensUsed: shownUse(total).allTokens,
      totalCost: nanoDollarsToUsd(total.cost_nano),
      totalEstimatedRequests: total.estimated,
      totalUnsettledRequests: total.unsettled,
    },
    recentActivity: activityOf(
      today,
      keys.filter(({ createdAtMs }) => createdAtMs >= todayMs).length,
    ),
    /** Over the hour before this one and what has passed of this one. */
    systemAverages: {
      rpm: round2(lately.requests / minutes),
      tpm: round2(shownUse(lately).allTokens / minutes),
    },
    systemHealth: {
      keyStore: keyStore.kind,
      claudeAccountsHealthy: usable.length > 0,
      ledgerShards: config.ledger.shards,
      version: relayVersion,
    },
    timeZone,
    timestamp: new Date(nowMs).toISOString(),
  });
});

function activityOf(today: Sums, apiKeysCreatedToday: number) {
  const shown = shownUse(today);
  return {
    apiKeysCreatedToday,
    requestsToday: shown.requests,
    failedRequestsToday: shown.failedRequests,
    tokensToday: shown.tokens,
    inputTokensToday: shown.inputTokens,
    outputTokensToday: shown.outputTokens,
    cacheCreateTokensToday: shown.cacheCreateTokens,
    cacheReadTokensToday: shown.cacheReadTokens,
    allTokensToday: shown.allTokens,
    costToday: shown.cost,
  };
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}
