import type { AdminClient } from "./admin-client.ts";
import { distanceText, momentText } from "./moment.ts";
import { isWholeId, pick, shortId } from "./reference.ts";
import { fieldLines, tableLines } from "./table.ts";
import { plain } from "./text-width.ts";

/** An account as the admin API shows it. */
export interface Account {
  id: string;
  name: string;
  description: string;
  tags: string[];
  kind: "api_key" | "oauth" | "setup_token";
  enabled: boolean;
  schedulable: boolean;
  priority: number;
  weight: number;
  maxConcurrency: number | null;
  expiresAt: string | null;
  hasProxy: boolean;
  status: "ready" | "disabled" | "expired" | "no_egress" | "trouble" | "cooling_down";
  trouble: { kind: string; detail: string; since: string; until: string | null } | null;
  coolDowns: { scope: string; until: string; reason: string }[];
  windows: Record<
    string,
    { status: string | null; utilisation: number | null; reset: string | null }
  >;
  profile: { email: string | null; organisation: string | null } | null;
  createdAt: string;
  credentialExpiresAt: string | null;
  /** Only where one account is asked for. */
  proxy?: {
    type: string;
    host: string;
    port: number;
    username?: string;
    hasPassword: boolean;
  } | null;
}

const KINDS: Record<string, string> = {
  api_key: "API key",
  oauth: "OAuth",
  setup_token: "setup token",
};
const TROUBLES: Record<string, string> = {
  needs_relogin: "needs login",
  credential_rejected: "credential refused",
  spend_limited: "spend limit",
  org_disabled: "organisation disabled",
};

export const accountsPath = "/admin/claude-accounts";

export function accountPath(id: string, act = ""): string {
  return `${accountsPath}/${encodeURIComponent(id)}${act}`;
}

export async function listAccounts(api: AdminClient): Promise<{ accounts: Account[] }> {
  return api.call("GET", accountsPath);
}

/** The account that a person means by a name, an id or the beginning of one. */
export async function findAccount(api: AdminClient, given: string): Promise<Account> {
  if (isWholeId(given)) return api.call("GET", accountPath(given));
  return pick("account", given, (await listAccounts(api)).accounts);
}

export function called({ name, id }: Account): string {
  return `"${plain(name)}" (${shortId(id)})`;
}

export function kindText({ kind }: Account): string {
  return KINDS[kind] ?? kind;
}

/** In a few words: can it serve, and if not, why not and until when. */
export function accountStatusText(account: Account, nowMs = Date.now()): string {
  switch (account.status) {
    case "no_egress":
      return "proxy out of reach";
    case "trouble": {
      const { kind = "", until = null } = account.trouble ?? {};
      return (TROUBLES[kind] ?? kind) + (until === null ? "" : `, ${untilText(until, nowMs)}`);
    }
    case "cooling_down": {
      const ends = account.coolDowns.map(({ until }) => until).sort();
      return `resting${ends.length === 0 ? "" : `, ${untilText(ends.at(-1) ?? "", nowMs)}`}`;
    }
    case "ready": {
      const resting = account.coolDowns.map(({ scope }) => scope);
      if (!account.schedulable) return "ready, takes no new work";
      return resting.length === 0 ? "ready" : `ready, ${resting.join(" and ")} resting`;
    }
    default:
      return account.status;
  }
}

export function accountTable(accounts: readonly Account[]): string[] {
  return tableLines(
    [
      { title: "NAME", shrinks: true },
      { title: "ID" },
      { title: "KIND" },
      { title: "TAGS", shrinks: true },
      { title: "PRIORITY", alignsRight: true },
      { title: "STATUS", shrinks: true, colour: statusColour },
    ],
    accounts.map((account) => [
      account.name,
      shortId(account.id),
      kindText(account),
      account.tags.join(", "),
      String(account.priority),
      accountStatusText(account),
    ]),
  );
}

export function accountDetails(account: Account): string[] {
  const { trouble, profile, proxy, credentialExpiresAt } = account;
  return [
    account.name,
    ...fieldLines([
      ["Id", account.id],
      ["Description", account.description],
      ["Kind", kindText(account)],
      ["Tags", account.tags.join(", ")],
      ["Login", profile && [profile.email, profile.organisation].filter(Boolean).join(", ")],
      ["Status", accountStatusText(account)],
      ["Trouble", trouble && `${trouble.detail} Since ${momentText(trouble.since)}.`],
      ["Priority", String(account.priority)],
      ["Weight", account.weight === 1 ? null : String(account.weight)],
      ["At once", account.maxConcurrency === null ? null : `${account.maxConcurrency} at most`],
      ["Serves until", account.expiresAt && momentText(account.expiresAt)],
      ["Proxy", proxyText(account.hasProxy, proxy)],
      ["Added", momentText(account.createdAt)],
      ["Token until", credentialExpiresAt && momentText(credentialExpiresAt)],
      ...account.coolDowns.map(({ scope, until, reason }): [string, string] => [
        scope === "*" ? "Rests" : `Rests for ${scope}`,
        `until ${momentText(until)}: ${reason}`,
      ]),
      ...Object.entries(account.windows).map(
        ([name, { status: state, utilisation, reset }]): [string, string] => [
          `Limit ${name}`,
          [
            utilisation === null ? "" : `${Math.round(utilisation * 100)}% used`,
            state ?? "",
            reset === null ? "" : `resets ${momentText(reset)}`,
          ]
            .filter(Boolean)
            .join(", "),
        ],
      ),
    ]),
  ];
}

function untilText(iso: string, nowMs: number): string {
  return `ends ${distanceText(Date.parse(iso) - nowMs)}`;
}

function proxyText(hasProxy: boolean, proxy: Account["proxy"]): string {
  if (!hasProxy) return "none, goes direct";
  if (!proxy) return "yes";
  const user =
    proxy.username === undefined ? "" : `${proxy.username}${proxy.hasPassword ? ":…" : ""}@`;
  return `${proxy.type}://${user}${proxy.host}:${proxy.port}`;
}

function statusColour(status: string): "green" | "yellow" | "red" | null {
  if (status.startsWith("ready")) return "green";
  if (status === "disabled") return null;
  return status.startsWith("resting") ? "yellow" : "red";
}
