import { existsSync } from "node:fs";
import type { Command } from "commander";
import { createExclusively } from "../host/exclusive-file.ts";
import { errorCode } from "../host/stop.ts";
import type { AdminClient } from "./admin-client.ts";
import { type Archive, newArchive, openArchive, sealArchive } from "./archive-file.ts";
import { PASSPHRASE_TEXT, passphraseFor } from "./archive-passphrase.ts";
import { type CommandContext, contextOf, examples, PROGRAM } from "./command-context.ts";
import { exitCodes, Failure } from "./failure.ts";
import { DEFAULT_USERNAME } from "./sign-in.ts";
import { askSecret, isInteractive, print, printJson, say } from "./terminal.ts";
import { plain } from "./text-width.ts";
import { pathFrom } from "./user-path.ts";

interface AccountsPage {
  accounts: Archive["accounts"];
  failed: { name: string; message: string }[];
  cursor: string | null;
}

/** `export`: everything that a relay can be made again from, in one sealed file. */
export function exportCommand(program: Command): void {
  program
    .command("export")
    .description("the whole relay in one encrypted file: keys, accounts with credentials, prices")
    .argument("<file>", "is made; one that is there already stays")
    .option("--passphrase-file <path>", "its first line is the passphrase")
    .addHelpText(
      "after",
      `${PASSPHRASE_TEXT}The relay asks for the admin's password again: ADMIN_PASSWORD, or it is asked for.
${examples(`${PROGRAM} export relay.age`)}`,
    )
    .action(async (file: string, flags: { passphraseFile?: string }, command: Command) => {
      const context = contextOf(command);
      const path = pathFrom(file);
      if (existsSync(path)) throw taken(path);
      await context.api.ensureSignedIn();
      const password = await adminPassword(context);
      const passphrase = await passphraseFor(flags.passphraseFile, true);
      const { accounts, failed } = await allAccounts(context.api, password);
      const keys = await allKeys(context.api, password);
      const { prices } = await context.api.call<Pick<Archive, "prices">>("GET", "/admin/prices");
      const archive = newArchive({ accounts, keys, prices });
      const sealed = await sealArchive(archive, passphrase);
      // What cannot be opened again is no archive: found out now, while the relay is there.
      await openArchive(sealed, passphrase, path);
      write(path, sealed);
      if (failed.length > 0) process.exitCode = exitCodes.failed;
      const counts = { accounts: accounts.length, keys: keys.length, prices: prices.length };
      if (context.json) return printJson({ path, ...counts, failed });
      print(
        `${counts.accounts} accounts, ${counts.keys} keys and ${counts.prices} prices were written to ${path}.`,
      );
      for (const { name, message } of failed) {
        say(`Left out: account "${plain(name)}": ${plain(message)}`);
      }
      say("Keep the passphrase elsewhere: without it nothing opens the file.");
    });
}

async function adminPassword({ address }: CommandContext): Promise<string> {
  if (address.password !== undefined) return address.password;
  if (isInteractive()) {
    return askSecret(`Password of ${address.username ?? DEFAULT_USERNAME} at ${address.url}`);
  }
  throw new Failure("Set ADMIN_PASSWORD: an export needs it again.", exitCodes.notSignedIn);
}

async function allAccounts(api: AdminClient, password: string) {
  const accounts: Archive["accounts"] = [];
  const failed: AccountsPage["failed"] = [];
  let cursor: string | null = null;
  do {
    const page: AccountsPage = await api.call("POST", "/admin/archive/accounts", {
      password,
      cursor,
    });
    accounts.push(...page.accounts);
    failed.push(...page.failed);
    cursor = page.cursor;
  } while (cursor !== null);
  return { accounts, failed };
}

async function allKeys(api: AdminClient, password: string): Promise<Archive["keys"]> {
  const keys: Archive["keys"] = [];
  let cursor: string | null = null;
  do {
    const page: { keys: Archive["keys"]; cursor: string | null } = await api.call(
      "POST",
      "/admin/archive/keys",
      { password, cursor },
    );
    keys.push(...page.keys);
    cursor = page.cursor;
  } while (cursor !== null);
  return keys;
}

function write(path: string, sealed: Uint8Array): void {
  try {
    if (createExclusively(path, sealed)) return;
  } catch (error) {
    throw new Failure(`${path} cannot be written (${errorCode(error) ?? "unknown reason"}).`);
  }
  throw taken(path);
}

function taken(path: string): Failure {
  return new Failure(`${path} is there already. Name another file, or remove that one.`);
}
