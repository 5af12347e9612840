import { styleText } from "node:util";
import { type Account, accountPath, listAccounts } from "./account.ts";
import type { CommandContext } from "./command-context.ts";
import { shortId } from "./reference.ts";
import { fieldLines } from "./table.ts";
import { plain } from "./text-width.ts";

/** The admin API's answer to the test of an account. */
export interface AccountTest {
  ok: boolean;
  durationMs: number;
  message: string;
  way: {
    forwardProxy: string | null;
    legs: { name: string; ms: number }[];
    exitAddress: string | null;
    fault: string | null;
  };
}

interface ForwardProxyCheck {
  name: string;
  url: string;
  ok: boolean;
  durationMs: number;
  message: string;
}

/** What every forward proxy, and every account with a proxy, has to say of its way. */
export interface EgressReport {
  forwardProxies: ForwardProxyCheck[];
  accounts: ({ id: string; name: string } & AccountTest)[];
}

const LEGS: Readonly<Record<string, string>> = {
  forward_proxy: "to the forward proxy",
  proxy: "to the account's proxy",
  tunnel: "through it",
  tls: "TLS with Anthropic",
  first_byte: "Anthropic's answer",
};

export function testAccount({ api }: CommandContext, id: string): Promise<AccountTest> {
  return api.call<AccountTest>("POST", accountPath(id, "/test"));
}

/** The way of a tested account, leg by leg; nothing for one that goes direct. */
export function wayLines({ way }: AccountTest): string[] {
  const { forwardProxy, legs, exitAddress } = way;
  if (forwardProxy === null) return [];
  return fieldLines([
    ["Forward proxy", forwardProxy],
    ...legs.map(({ name, ms }): [string, string] => [LEGS[name] ?? name, `${ms} ms`]),
    ["Exit address", exitAddress],
  ]);
}

/** Checks every way that is not direct. Accounts are tested one after the other. */
export async function examineEgress(context: CommandContext): Promise<EgressReport> {
  const { api } = context;
  const { forwardProxies } = await api.call<EgressReport>("GET", "/admin/egress");
  const { accounts } = await listAccounts(api);
  const tested: EgressReport["accounts"] = [];
  for (const account of accounts.filter(({ hasProxy }) => hasProxy)) {
    tested.push({ ...named(account), ...(await testAccount(context, account.id)) });
  }
  return { forwardProxies, accounts: tested };
}

export function isWell({ forwardProxies, accounts }: EgressReport): boolean {
  return [...forwardProxies, ...accounts].every(({ ok }) => ok);
}

export function egressLines({ forwardProxies, accounts }: EgressReport): string[] {
  const lines = ["", "Forward proxies"];
  if (forwardProxies.length === 0) {
    lines.push("  none: accounts with a proxy cannot serve. See FORWARD_PROXY_URL.");
  }
  for (const { name, url, ok, durationMs, message } of forwardProxies) {
    lines.push(`  ${mark(ok)} ${plain(name)} (${plain(url)}, ${durationMs} ms): ${plain(message)}`);
  }
  lines.push("", "Accounts with a proxy");
  if (accounts.length === 0) lines.push("  none");
  for (const account of accounts) {
    const { id, name, ok, message } = account;
    lines.push(`  ${mark(ok)} ${plain(name)} (${shortId(id)}): ${plain(message)}`);
    for (const line of wayLines(account)) lines.push(`  ${line}`);
  }
  return lines;
}

function named({ id, name }: Account): { id: string; name: string } {
  return { id, name };
}

function mark(ok: boolean): string {
  return ok ? styleText("green", "ok    ") : styleText("red", "FAILED");
}
