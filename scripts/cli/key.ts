import { shownKey as pictureOf } from "../../src/admin/key-fields.ts";
import type { KeyRecord } from "../../src/keys/key-record.ts";
import type { AdminClient } from "./admin-client.ts";
import { dayText, momentText } from "./moment.ts";
import { shortId } from "./reference.ts";
import { fieldLines, tableLines } from "./table.ts";

const PAGE = 1_000;

/** A relay key as the admin API shows it. */
export interface Key extends ReturnType<typeof pictureOf> {
  /** Only where a relay is asked for one key. */
  usage?: { total: Sums; daily: Sums; monthly: Sums; inFlight: number };
  inUse?: Record<string, unknown>;
}

/** A key as the admin API would show it. When it was first used only a relay knows. */
export function shownKey(record: KeyRecord): Key {
  return pictureOf(record, null);
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

/** All keys that a relay knows, however many pages they fill. */
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

export function keyTable(keys: readonly Key[]): string[] {
  return tableLines(
    [
      { title: "NAME", shrinks: true },
      { title: "ID" },
      { title: "KEY" },
      { title: "STATUS", colour: statusColour },
      { title: "TAGS", shrinks: true },
      { title: "CREATED" },
      { title: "EXPIRES" },
    ],
    keys.map((key) => [
      key.name,
      shortId(key.id),
      key.hint,
      key.status,
      key.tags.join(", "),
      key.createdAt === null ? "" : dayText(key.createdAt),
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
      ["Tags", key.tags.join(", ")],
      ["Created", momentText(key.createdAt)],
      ["First used", key.activatedAt && momentText(key.activatedAt)],
      ["Expires", momentText(key.expiresAt)],
      [
        "Works for",
        key.activeForHours === null ? null : `${key.activeForHours} h from its first request on`,
      ],
      ["Revoked", key.revokedAt && momentText(key.revokedAt)],
      ["Deleted", key.deletedAt && momentText(key.deletedAt)],
      ["Models", key.allowedModels?.join(", ") ?? null],
      ["Not models", key.deniedModels.join(", ")],
      ["Account", key.accountId],
      ["Account tag", key.accountTag],
      ...limitFields(key.limits),
      ["In flight", key.usage === undefined ? null : String(key.usage.inFlight)],
    ]),
    ...(key.usage === undefined ? [] : ["", ...usageTable(key.usage)]),
  ];
}

function limitFields(limits: Key["limits"]): [string, string | null][] {
  const usd = (amount: number | null) => (amount === null ? null : `$${amount}`);
  const { concurrency, window, weeklyFamilyCost } = limits;
  const inWindow = [
    window?.requests == null ? "" : `${window.requests} requests`,
    window?.tokens == null ? "" : `${window.tokens} tokens`,
    window?.cost == null ? "" : `$${window.cost}`,
  ].filter(Boolean);
  return [
    ["At once", concurrency === null ? null : `${concurrency} requests`],
    ["Window", window && `${inWindow.join(", ") || "no limit"} in ${window.minutes} minutes`],
    ["A day", usd(limits.dailyCost)],
    ["A week", usd(limits.weeklyCost)],
    ["A month", usd(limits.monthlyCost)],
    ["In all", usd(limits.totalCost)],
    [
      `${weeklyFamilyCost?.family ?? "Family"} a week`,
      weeklyFamilyCost && usd(weeklyFamilyCost.cost),
    ],
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
