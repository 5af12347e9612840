import type { Command } from "commander";
import { hashPassword, verifyPassword } from "../../src/admin/password.ts";
import { passwordProblem } from "../host/password-rules.ts";
import { storedSecrets, writeSecrets } from "../host/secrets-file.ts";
import { contextOf, examples, PROGRAM } from "./command-context.ts";
import { Failure, usageFailure } from "./failure.ts";
import { localSecrets, restartText } from "./state-secrets.ts";
import { askSecret, isInteractive, nextLine, print, printJson, say } from "./terminal.ts";
import { putSecrets } from "./wrangler-secrets.ts";

/** Times that a person may try before the command gives up. */
const TRIES = 3;

/** `admin set-password`: another password, where the relay has its secrets. */
export function setPasswordCommand(admin: Command): void {
  admin
    .command("set-password")
    .description("gives the admin another password; all sessions end with it")
    .option("--remote", "that of the deployed relay, through wrangler")
    .addHelpText(
      "after",
      `
The new password is asked for, twice; or it is ADMIN_PASSWORD; or, with no one there to ask, the
first line of standard input. Only its hash is stored: on this machine in secrets.env of the state
folder, with --remote as the secret ADMIN_PASSWORD_HASH of the deployed Worker. The old password is
not asked for: whoever may write there may do anything with the relay.
${examples(`${PROGRAM} admin set-password`, `${PROGRAM} admin set-password --remote`)}`,
    )
    .action(async ({ remote }: { remote?: boolean }, command: Command) => {
      const { address, json } = contextOf(command);
      if (remote) {
        const password = await newPassword(address.username);
        await putSecrets({ ADMIN_PASSWORD_HASH: hashPassword(password) });
        if (json) return printJson({ changed: true, place: "deployed" });
        print("The deployed relay has another admin password. It counts within a minute.");
        return say("All sessions end with it, the CLI's too. secrets.env here was not changed.");
      }
      const place = localSecrets(address, ["ADMIN_PASSWORD_HASH"]);
      const stored = storedSecrets(place.stateDir);
      const password = await newPassword(stored.ADMIN_USERNAME);
      const { path, running } = place;
      const changed = !verifyPassword(password, stored.ADMIN_PASSWORD_HASH ?? "");
      if (changed) {
        writeSecrets(place.stateDir, { ...stored, ADMIN_PASSWORD_HASH: hashPassword(password) });
      }
      if (json) {
        const restart = changed ? (running?.url ?? null) : null;
        return printJson({ changed, place: path, restart });
      }
      if (!changed) return print("That is the admin's password already. Nothing was changed.");
      print(`The admin has another password, in ${path}.`);
      if (running === null)
        return say("It counts from the next start on, and all sessions end with it.");
      const where = running.url ?? `process ${running.starter.pid}`;
      say(`The relay at ${where} goes on with the old password and its sessions until it is started
anew: ${restartText(place)}`);
    });
}

/** From ADMIN_PASSWORD, a person or a pipe; refused in words where it is weak. */
async function newPassword(username: string | undefined): Promise<string> {
  const given = process.env.ADMIN_PASSWORD;
  if (given !== undefined && given !== "") {
    say("The new password is ADMIN_PASSWORD.");
    return checked(given, "ADMIN_PASSWORD", username);
  }
  if (!isInteractive()) {
    const line = await nextLine();
    if (!line) {
      throw usageFailure("Give the new password as ADMIN_PASSWORD, or on standard input.");
    }
    return checked(line, "The password", username);
  }
  for (let attempt = 1; ; attempt += 1) {
    const password = await askSecret("New password of the admin");
    const problem = passwordProblem(password, username);
    const isSame = problem === null && (await askSecret("Once more")) === password;
    if (isSame) return password;
    const why = problem === null ? "The two are not the same." : `The password ${problem}.`;
    if (attempt === TRIES) throw new Failure(`${why} Nothing was changed.`);
    say(why);
  }
}

function checked(password: string, what: string, username: string | undefined): string {
  const problem = passwordProblem(password, username);
  if (problem !== null) throw new Failure(`${what} ${problem}. Nothing was changed.`);
  return password;
}
