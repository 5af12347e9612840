import type { AdminClient } from "./admin-client.ts";
import { dayText, momentText } from "./moment.ts";
import { isWholeId, pick, shortId } from "./reference.ts";
import { fieldLines, tableLines } from "./table.ts";

const PAGE = 1_000;

/** A relay key as the admin API shows it. */
export interface Key {
  id: string;
  name: string;
  description: string;
  /** First and last characters. */
  hint: string;
  enabled: boolean;
  status: string;
  createdAt: string;
  expiresAt: string | null;
  revokedAt: string | null;
  /** Only where one key is asked for. */
  usage?: { total: Sums; daily: Sums; monthly: Sums; inFlight: number };
}

interface Sums {
  requests: number;
  inputTokens: number;
  outputTokens: number;
  cacheCreateTokens: number;
  cacheReadTokens: number;
  /** US dollars. */
  cost: number;
}

export const keysPath = "/admin/api-keys";

export function keyPath(id: string, act = ""): string {
  return `${keysPath}/${encodeURIComponent(id)}${act}`;
}

/** All keys, however many pages they fill. */
export async function listKeys(api: AdminClient): Promise<{ keys: Key[] }> {
  const keys: Key[] = [];
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({
      limit: String(PAGE),
      ...(cursor === null ? {} : { cursor }),
    });
    const page: { keys: Key[]; cursor: string | null } = await api.call(
      "GET",
      `${keysPath}?${query}`,
    );
    keys.push(...page.keys);
    cursor = page.cursor;
  } while (cursor !== null);
  return { keys };
}

/** The key that a person means by a name, an id or the beginning of one. */
export async function findKey(api: AdminClient, given: string): Promise<Key> {
  if (isWholeId(given)) return api.call("GET", keyPath(given));
  return pick("key", given, (await listKeys(api)).keys);
}

export function keyTable(keys: readonly Key[]): string[] {
  return tableLines(
    [
      { title: "NAME", shrinks: true },
      { title: "ID" },
      { title: "KEY" },
      { title: "STATUS", colour: statusColour },
      { title: "CREATED" },
      { title: "EXPIRES" },
    ],
    keys.map((key) => [
      key.name,
      shortId(key.id),
      key.hint,
      key.status,
      dayText(key.createdAt),
      dayText(key.expiresAt),
    ]),
  );
}

export function keyDetails(key: Key): string[] {
  return [
    key.name,
    ...fieldLines([
      ["Id", key.id],
      ["Description", key.description],
      ["Key", key.hint],
      ["Status", key.status],
      ["Created", momentText(key.createdAt)],
      ["Expires", momentText(key.expiresAt)],
      ["Revoked", key.revokedAt && momentText(key.revokedAt)],
      ["In flight", key.usage === undefined ? null : String(key.usage.inFlight)],
    ]),
    ...(key.usage === undefined ? [] : ["", ...usageTable(key.usage)]),
  ];
}

function usageTable({ daily, monthly, total }: NonNullable<Key["usage"]>): string[] {
  const numbers = new Intl.NumberFormat("en-US");
  const row = (period: string, sums: Sums) => [
    period,
    numbers.format(sums.requests),
    numbers.format(sums.inputTokens),
    numbers.format(sums.outputTokens),
    numbers.format(sums.cacheCreateTokens),
    numbers.format(sums.cacheReadTokens),
    `$${sums.cost.toFixed(4)}`,
  ];
  const titles = ["REQUESTS", "INPUT", "OUTPUT", "CACHE WRITE", "CACHE READ", "COST"];
  return tableLines(
    [{ title: "TOKENS" }, ...titles.map((title) => ({ title, alignsRight: true }))],
    [row("today", daily), row("this month", monthly), row("in all", total)],
  );
}

function statusColour(status: string): "green" | "yellow" | "red" | null {
  if (status === "active") return "green";
  return status === "disabled" ? "yellow" : "red";
}
