import type { Command } from "commander";
import { accountStatusText, listAccounts } from "./account.ts";
import { type CommandContext, contextOf, examples, PROGRAM } from "./command-context.ts";
import { exitCodes } from "./failure.ts";
import { listKeys } from "./key.ts";
import { callRelay } from "./relay-call.ts";
import { canSignInUnasked } from "./sign-in.ts";
import { fieldLines } from "./table.ts";
import { print, printJson } from "./terminal.ts";
import { plain } from "./text-width.ts";

/** The answer of `GET /health`; only the first three are always there. */
interface Health {
  status: string;
  version: string;
  message: string;
  keyStore?: string;
  accounts?: { usable: number; total: number };
}

interface Counts {
  total: number;
  /** By state in words. */
  byStatus: Record<string, number>;
}

/** `status`: can the relay serve, and what does it hold? */
export function statusCommand(program: Command): void {
  program
    .command("status")
    .description("whether the relay can serve, and what it holds; exit code 1 where it cannot")
    .addHelpText("after", examples(`${PROGRAM} status`))
    .action(async (_flags: object, command: Command) => {
      const context = contextOf(command);
      const { body } = await callRelay(context.address, "GET", "/health");
      const health = body as unknown as Health;
      const counts = canSignInUnasked(context.address) ? await count(context) : null;
      if (health.status !== "ok") process.exitCode = exitCodes.failed;
      if (context.json) {
        return printJson({ url: context.address.url, health, ...counts });
      }
      for (const line of statusLines(context.address.url, health, counts)) print(line);
    });
}

function statusLines(
  url: string,
  health: Health,
  counts: { accounts: Counts; keys: Counts } | null,
): string[] {
  const state = health.status === "ok" ? "can serve" : "cannot serve";
  const { keyStore, accounts } = health;
  const next: string[] = [];
  if (accounts?.total === 0) next.push(`Next: no account yet.  ${PROGRAM} accounts add`);
  if (counts?.keys.total === 0) next.push(`Next: no key yet.      ${PROGRAM} keys create`);
  return [
    `Relay ${plain(health.version)} at ${url} ${state}: ${plain(health.message)}`,
    ...fieldLines([
      ["Key store", keyStore ?? null],
      ["Accounts", accounts === undefined ? null : accountsText(accounts, counts?.accounts)],
      [
        "Keys",
        counts === null ? `sign in to see them: ${PROGRAM} admin login` : inWords(counts.keys),
      ],
    ]),
    ...next,
  ];
}

function accountsText(
  { usable, total }: { usable: number; total: number },
  counts?: Counts,
): string {
  if (total === 0) return "none";
  const states = counts === undefined ? "" : ` (${statesOf(counts)})`;
  return `${usable} of ${total} usable${states}`;
}

function inWords(counts: Counts): string {
  return counts.total === 0 ? "none" : `${counts.total} (${statesOf(counts)})`;
}

function statesOf({ byStatus }: Counts): string {
  return Object.entries(byStatus)
    .map(([status, count]) => `${count} ${status}`)
    .join(", ");
}

async function count({ api }: CommandContext): Promise<{ accounts: Counts; keys: Counts }> {
  // One after the other: the first call may have to sign in.
  const { accounts } = await listAccounts(api);
  const { keys } = await listKeys(api);
  return {
    accounts: tally(accounts.map((account) => accountStatusText(account).split(",")[0] ?? "")),
    keys: tally(keys.map(({ status }) => status)),
  };
}

function tally(states: readonly string[]): Counts {
  const byStatus: Record<string, number> = {};
  for (const state of states) byStatus[state] = (byStatus[state] ?? 0) + 1;
  return { total: states.length, byStatus };
}
