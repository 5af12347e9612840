import type { Command } from "commander";
import { AdminClient } from "./admin-client.ts";
import { findRelay, type RelayAddress } from "./relay-address.ts";

/** How the CLI is called, for help texts and advice. */
export const PROGRAM = "npm run cli --";

/** What every command is handed: which relay, and how to answer. */
export interface CommandContext {
  address: RelayAddress;
  api: AdminClient;
  /** Answer with the API's data instead of words. */
  json: boolean;
}

export function contextOf(command: Command): CommandContext {
  const { url, json } = command.optsWithGlobals<{ url?: string; json?: boolean }>();
  const address = findRelay(url);
  return { address, api: new AdminClient(address), json: json === true };
}

/** Ends a command's help with lines that can be copied. */
export function examples(...lines: string[]): string {
  const title = lines.length === 1 ? "Example:" : "Examples:";
  return `\n${title}\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
