import type { RosterRow, Standing } from "../accounts/roster-row.ts";
import type { UsageReader } from "../ledger/usage-reader.ts";
import type { SummaryFigures } from "./alert.ts";

const TOP_KEYS = 5;
const NANO_A_DOLLAR = 1e9;
const ALL = { keyId: null, accountId: null, model: null };

export interface SummarySources {
  ledger: Pick<UsageReader, "total" | "keySums">;
  accounts(): Promise<{ row: RosterRow; standing: Standing }[]>;
  keyNames(ids: string[]): Promise<Map<string, string>>;
}

/** What a summary says, from the sources that know it. Rejects where one does not answer. */
export async function readSummary(
  { ledger, accounts, keyNames }: SummarySources,
  fromMs: number,
  toMs: number,
): Promise<SummaryFigures> {
  const range = { fromMs, toMs };
  const [total, keys, roster] = await Promise.all([
    ledger.total(range, ALL),
    ledger.keySums({ ...range, filter: ALL, order: { by: "cost" }, limit: TOP_KEYS }),
    accounts(),
  ]);
  const names = await keyNames(keys.map(({ key_id }) => key_id));
  return {
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    requests: total.requests,
    failed: total.requests - total.completed - total.unsettled,
    unsettled: total.unsettled,
    inputTokens: total.input_tokens,
    outputTokens: total.output_tokens,
    cacheWriteTokens: total.write_5m_tokens + total.write_1h_tokens,
    cacheReadTokens: total.read_tokens,
    costDollars: total.cost_nano / NANO_A_DOLLAR,
    topKeys: keys.map(({ key_id, requests, cost_nano }) => ({
      id: key_id,
      name: names.get(key_id) ?? key_id,
      requests,
      costDollars: cost_nano / NANO_A_DOLLAR,
    })),
    accounts: roster.map(({ row: { id, name }, standing }) => ({
      id,
      name,
      standing: standing.kind === "trouble" ? standing.trouble.kind : standing.kind,
    })),
  };
}
