import type { Command } from "commander";
import { accountStatusText, listAccounts } from "./account.ts";
import { type CommandContext, contextOf, examples, PROGRAM } from "./command-context.ts";
import { egressLines, examineEgress, isWell } from "./egress.ts";
import { exitCodes, Failure } from "./failure.ts";
import { type Health, relayHealth } from "./health.ts";
import { listKeys } from "./key.ts";
import { canSignInUnasked } from "./sign-in.ts";
import { fieldLines } from "./table.ts";
import { print, printJson, say } from "./terminal.ts";
import { plain } from "./text-width.ts";

interface Counts {
  total: number;
  /** By the API's own names of states. */
  byCode: Record<string, number>;
  /** By state in words. */
  byWord: Record<string, number>;
}

/** `status`: can the relay serve, and what does it hold? */
export function statusCommand(program: Command): void {
  program
    .command("status")
    .description("whether the relay can serve, and what it holds; exit code 1 where it cannot")
    .option("--egress", "also check every forward proxy, and every account that has a proxy")
    .addHelpText("after", examples(`${PROGRAM} status`, `${PROGRAM} status --egress`))
    .action(async ({ egress: asksEgress }: { egress?: boolean }, command: Command) => {
      const context = contextOf(command);
      const health = await relayHealth(context.address);
      if (health.status !== "ok") process.exitCode = exitCodes.failed;
      const egress = asksEgress ? await examineEgress(context) : null;
      if (egress !== null && !isWell(egress)) process.exitCode = exitCodes.failed;
      const counts = canSignInUnasked(context.address) ? await countedOrSaid(context) : null;
      if (context.json) {
        const { accounts, keys } = counts ?? {};
        return printJson({
          url: context.address.url,
          health,
          accounts: accounts?.byCode ?? null,
          keys: keys?.byCode ?? null,
          ...(egress === null ? {} : { egress }),
        });
      }
      for (const line of statusLines(context.address.url, health, counts)) print(line);
      for (const line of egress === null ? [] : egressLines(egress)) print(line);
    });
}

function statusLines(
  url: string,
  health: Health,
  counts: { accounts: Counts; keys: Counts } | null,
): string[] {
  const state = health.status === "ok" ? "is ready." : `cannot serve: ${plain(health.message)}`;
  const { keyStore, accounts } = health;
  const next: string[] = [];
  if (accounts?.total === 0) next.push(`Next: no account yet.  ${PROGRAM} accounts add`);
  if (counts?.keys.total === 0) next.push(`Next: no key yet.      ${PROGRAM} keys create`);
  return [
    `Relay ${plain(health.version)} at ${url} ${state}`,
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

function statesOf({ byWord }: Counts): string {
  return Object.entries(byWord)
    .map(([status, count]) => `${count} ${status}`)
    .join(", ");
}

/** A relay that refuses the admin still has a health worth telling. */
async function countedOrSaid(
  context: CommandContext,
): Promise<Awaited<ReturnType<typeof count>> | null> {
  try {
    return await count(context);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    process.exitCode = error.exitCode;
    say(error.message);
    return null;
  }
}

async function count({ api }: CommandContext): Promise<{ accounts: Counts; keys: Counts }> {
  // One after the other: the first call may have to sign in.
  const { accounts } = await listAccounts(api);
  const { keys } = await listKeys(api);
  return {
    accounts: {
      total: accounts.length,
      byCode: tally(accounts.map(({ status }) => status)),
      byWord: tally(accounts.map((account) => accountStatusText(account).split(",", 1)[0] ?? "")),
    },
    keys: {
      total: keys.length,
      byCode: tally(keys.map(({ status }) => status)),
      byWord: tally(keys.map(({ status }) => status)),
    },
  };
}

function tally(states: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const state of states) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
