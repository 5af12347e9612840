import type { Command } from "commander";
import { findAccount } from "./account.ts";
import type { AdminClient } from "./admin-client.ts";
import { type CommandContext, contextOf, examples, PROGRAM } from "./command-context.ts";
import { isWholeId, pick, shortId } from "./reference.ts";
import { tableLines } from "./table.ts";
import { print, printJson } from "./terminal.ts";
import { plain } from "./text-width.ts";

/** Standings differ by model family; most work is of this one. */
const DEFAULT_MODEL = "claude-sonnet-5";

interface Explained {
  family: string;
  pinnedTo: string | null;
  chosen: { id: string; name: string; because: string } | null;
  accounts: {
    id: string;
    name: string;
    isChosen: boolean;
    standing: string;
    priority: number;
    because: string;
  }[];
}

/** `accounts explain`: which account a request would go to now, and why not to the others. */
export function explainCommand(accounts: Command): void {
  accounts
    .command("explain")
    .description("which account a request of a key would go to now, and why")
    .argument("<key>", "the key: name, id, or the beginning of an id")
    .argument("[account]", "only this account's standing")
    .option("--model <name>", "the model that is asked for", DEFAULT_MODEL)
    .option("--session <id>", "the session that the request belongs to")
    .addHelpText(
      "after",
      examples(
        `${PROGRAM} accounts explain alice`,
        `${PROGRAM} accounts explain alice --model claude-opus-5 --session 5f2b0a52`,
      ),
    )
    .action(async (given: string, account: string | undefined, flags: Flags, command: Command) => {
      const context = contextOf(command);
      const told = await explain(context, given, flags);
      const only = account === undefined ? null : (await findAccount(context.api, account)).id;
      const shown = told.accounts.filter(({ id }) => only === null || id === only);
      if (context.json) return printJson({ ...told, accounts: shown });
      print(
        told.chosen === null
          ? `No account can serve ${told.family} models for this key now.`
          : `${plain(told.chosen.name)} (${shortId(told.chosen.id)}): ${told.chosen.because}`,
      );
      for (const line of standings(shown)) print(line);
    });
}

interface Flags {
  model: string;
  session?: string;
}

async function explain(
  { api }: CommandContext,
  given: string,
  { model, session }: Flags,
): Promise<Explained> {
  const keyId = await keyIdOf(api, given);
  const query = new URLSearchParams({ keyId, model });
  if (session !== undefined) query.set("session", session);
  return api.call("GET", `/admin/explain?${query}`);
}

/** Over the admin API: the relay that answers is the one whose keys are meant. */
async function keyIdOf(api: AdminClient, given: string): Promise<string> {
  if (isWholeId(given)) return given;
  const named = await keysOf(api, { name: given });
  const all = named.some(({ name }) => name === given) ? named : await keysOf(api, {});
  return pick("key", given, all).id;
}

async function keysOf(
  api: AdminClient,
  query: Record<string, string>,
): Promise<{ id: string; name: string }[]> {
  const found: { id: string; name: string }[] = [];
  let cursor: string | null = null;
  do {
    const page: { keys: { id: string; name: string }[]; cursor: string | null } = await api.call(
      "GET",
      `/admin/api-keys?${new URLSearchParams({ ...query, limit: "1000", ...(cursor === null ? {} : { cursor }) })}`,
    );
    found.push(...page.keys);
    cursor = page.cursor;
  } while (cursor !== null);
  return found;
}

function standings(accounts: Explained["accounts"]): string[] {
  return tableLines(
    [
      { title: "" },
      { title: "NAME", shrinks: true },
      { title: "ID" },
      { title: "PRIORITY", alignsRight: true },
      { title: "STANDING" },
      { title: "BECAUSE", shrinks: true },
    ],
    accounts.map(({ id, name, isChosen, standing, priority, because }) => [
      isChosen ? "→" : "",
      name,
      shortId(id),
      String(priority),
      standing.replaceAll("_", " "),
      because,
    ]),
  );
}
