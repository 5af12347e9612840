import type { Command } from "commander";
import { AdminClient } from "./admin-client.ts";
import { setPasswordCommand } from "./admin-password.ts";
import { rotateKeyCommand } from "./admin-rotate.ts";
import { contextOf, examples, PROGRAM } from "./command-context.ts";
import { exitCodes, Failure, Refusal } from "./failure.ts";
import { momentText } from "./moment.ts";
import { readSession, removeSession } from "./session-file.ts";
import { DEFAULT_USERNAME, signIn } from "./sign-in.ts";
import { askText, isInteractive, print, printJson } from "./terminal.ts";

/** `admin …`: the admin's own session, password and encryption key. */
export function adminCommands(program: Command): void {
  const admin = program
    .command("admin")
    .description("signing in and out, the admin's password, the encryption key")
    .addHelpText("after", examples(`${PROGRAM} admin login`, `${PROGRAM} admin set-password`));

  admin
    .command("login")
    .description("signs in; the session is kept for the next commands, in a file only you can read")
    .option("--username <name>", "default: ADMIN_USERNAME, or admin")
    .addHelpText(
      "after",
      `
The password comes from ADMIN_PASSWORD, or is asked for; it is never given as a flag.
${examples(`${PROGRAM} admin login`)}`,
    )
    .action(async ({ username }: { username?: string }, command: Command) => {
      const { address, json } = contextOf(command);
      const known = username ?? address.username;
      const asked =
        known === undefined && isInteractive() && address.password === undefined
          ? await askText(`User name at ${address.url}`, { initial: DEFAULT_USERNAME })
          : known;
      const session = await signIn(address, asked);
      const { url, expiresAt } = session;
      if (json) return printJson({ url, username: session.username, expiresAt });
      print(`Signed in to ${url} as ${session.username} until ${momentText(expiresAt)}.`);
    });

  admin
    .command("logout")
    .description("ends the session, here and at the relay")
    .addHelpText("after", examples(`${PROGRAM} admin logout`))
    .action(async (_flags: object, command: Command) => {
      const { address, json } = contextOf(command);
      const session = readSession(address);
      if (session !== null) await endSession(new AdminClient(address));
      if (json) return printJson({ url: address.url, signedOut: session !== null });
      print(
        session === null
          ? `You were not signed in to ${address.url}.`
          : `Signed out of ${address.url}.`,
      );
    });

  setPasswordCommand(admin);
  rotateKeyCommand(admin);
}

/** Whatever the relay says, the token is gone from this machine afterwards. */
async function endSession(api: AdminClient): Promise<void> {
  const session = readSession(api.address);
  removeSession(api.address);
  if (session === null) return;
  try {
    await api.callOnce(session, "POST", "/admin/logout");
  } catch (error) {
    if (error instanceof Refusal && error.code === "not_signed_in") return;
    if (error instanceof Failure && error.exitCode === exitCodes.unreachable) {
      throw new Failure(
        `The session is gone from this machine, but ${api.address.url} could not be told.\nThere it ends by itself ${momentText(session.expiresAt)}.`,
        exitCodes.unreachable,
      );
    }
    throw error;
  }
}
