import type { Command } from "commander";
import type { AdminClient } from "./admin-client.ts";
import {
  type Archive,
  type ArchivedAccount,
  openArchive,
  readArchiveFile,
} from "./archive-file.ts";
import { PASSPHRASE_TEXT, passphraseFor } from "./archive-passphrase.ts";
import { contextOf, examples, PROGRAM } from "./command-context.ts";
import { exitCodes } from "./failure.ts";
import { type Written, writeAccounts, writeKeys } from "./import-apply.ts";
import type { ImportedKey } from "./import-keys.ts";
import { momentText } from "./moment.ts";
import { print, printJson, say } from "./terminal.ts";
import { plain } from "./text-width.ts";
import { pathFrom } from "./user-path.ts";

/** `restore`: an archive into a relay, a new one or the same. */
export function restoreCommand(program: Command): void {
  program
    .command("restore")
    .description("writes an exported file back; what the relay has already stays as it is")
    .argument("<file>", "what `export` wrote")
    .option("--passphrase-file <path>", "its first line is the passphrase")
    .option("--dry-run", "only check the file and show what it holds")
    .addHelpText(
      "after",
      `${PASSPHRASE_TEXT}All of the file is checked before anything is written. A run that was broken off is run again.
${examples(`${PROGRAM} restore relay.age --dry-run`, `${PROGRAM} restore relay.age`)}`,
    )
    .action(
      async (
        file: string,
        flags: { passphraseFile?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { api, json } = contextOf(command);
        const path = pathFrom(file);
        const bytes = readArchiveFile(path);
        const archive = await openArchive(
          bytes,
          await passphraseFor(flags.passphraseFile, false),
          path,
        );
        const { accounts, keys, prices, createdAt } = archive;
        const counts = { accounts: accounts.length, keys: keys.length, prices: prices.length };
        if (flags.dryRun) {
          if (json) return printJson({ dryRun: true, createdAt, ...counts });
          return print(
            `${path} is whole: ${counts.accounts} accounts, ${counts.keys} keys and ${counts.prices} prices, written ${momentText(createdAt)}.`,
          );
        }
        await api.ensureSignedIn();
        const pricesSet = await writePrices(api, prices);
        const made = await writeAccounts(api, accounts.map(newAccountOf));
        const written = await writeKeys(api, keys as unknown as ImportedKey[]);
        const failed = [...made.failed, ...written.failed];
        if (failed.length > 0) process.exitCode = exitCodes.failed;
        if (json) return printJson({ prices: pricesSet, accounts: made, keys: written });
        print(`Prices: ${pricesSet} written.`);
        print(`Accounts: ${wordsFor(made)}.`);
        print(`Keys: ${wordsFor(written)}.`);
        for (const { name, message } of failed) say(`  "${plain(name)}": ${plain(message)}`);
        if (made.created > 0 && accounts.some(({ credential }) => credential.refresh !== null)) {
          say(
            "Logins are renewed by one relay only: if the one that this was exported from still runs, remove them there.",
          );
        }
      },
    );
}

/** An account as the API takes a new one. */
function newAccountOf({ id, settings, credential, proxy }: ArchivedAccount) {
  const { expiresAtMs, ...plainSettings } = settings;
  return {
    ...plainSettings,
    id,
    name: settings.name,
    expiresAt: expiresAtMs === null ? null : new Date(expiresAtMs).toISOString(),
    proxy,
    ...secretOf(credential),
  };
}

function secretOf({ kind, access, refresh, expiresAtMs, scopes }: ArchivedAccount["credential"]) {
  switch (kind) {
    case "api_key":
      return { apiKey: access };
    case "setup_token":
      return { setupToken: access };
    case "oauth":
      return {
        claudeAiOauth: {
          accessToken: access,
          refreshToken: refresh,
          expiresAt: expiresAtMs,
          scopes,
        },
      };
  }
}

/** Prices that the relay does not have for that model and day. @returns how many */
async function writePrices(api: AdminClient, prices: Archive["prices"]): Promise<number> {
  if (prices.length === 0) return 0;
  const there = await api.call<Pick<Archive, "prices">>("GET", "/admin/prices");
  const idOf = ({ model, effectiveFrom }: Archive["prices"][number]) => `${model}@${effectiveFrom}`;
  const known = new Set(there.prices.map(idOf));
  let written = 0;
  for (const price of prices) {
    if (known.has(idOf(price))) continue;
    // What the API derives itself is not given back to it.
    const { id, fastFactor, usFactor, setAt, longPrompt, ...given } = price;
    await api.call("PUT", "/admin/prices", {
      ...given,
      ...(longPrompt ? { longPrompt } : {}),
      force: true,
    });
    written += 1;
  }
  return written;
}

function wordsFor({ created, there, failed }: Written): string {
  return `${created} written, ${there} there already, ${failed.length} refused`;
}
