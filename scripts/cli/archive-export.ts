import { existsSync } from "node:fs";
import type { Command } from "commander";
import { compactDecrypt, exportJWK, generateKeyPair } from "jose";
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

/** A page of the relay, sealed to the key that the call brought. */
interface SealedPage {
  sealed: string;
  failed?: { name: string; message: string }[];
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
      const failed: NonNullable<SealedPage["failed"]> = [];
      const read = await pageReader(context.api, password, failed);
      const accounts = await read<Archive["accounts"][number]>("accounts");
      const keys = await read<Archive["keys"][number]>("keys");
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

/**
 * Reads a part of the relay, page by page. What it answers is sealed to a key pair of this run alone,
 * so that no credential passes in the clear.
 *
 * @param failed is told what could not be read
 */
async function pageReader(
  api: AdminClient,
  password: string,
  failed: NonNullable<SealedPage["failed"]>,
) {
  const { publicKey, privateKey } = await generateKeyPair("ECDH-ES", {
    crv: "P-256",
    extractable: true,
  });
  const { kty, crv, x, y } = await exportJWK(publicKey);
  const recipient = { kty, crv, x, y };
  return async <T>(part: "accounts" | "keys"): Promise<T[]> => {
    const records: T[] = [];
    let cursor: string | null = null;
    do {
      const body: object = { password, recipient, cursor };
      const page: SealedPage = await api.call("POST", `/admin/archive/${part}`, body);
      const { plaintext } = await compactDecrypt(page.sealed, privateKey);
      records.push(...(JSON.parse(new TextDecoder().decode(plaintext)) as T[]));
      failed.push(...(page.failed ?? []));
      cursor = page.cursor;
    } while (cursor !== null);
    return records;
  };
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
