import { Command, CommanderError } from "commander";
import { relayVersion } from "../host/project.ts";
import { Stop } from "../host/stop.ts";
import { accountCommands } from "./accounts.ts";
import { adminCommands } from "./admin.ts";
import { alertCommands } from "./alerts.ts";
import { exportCommand } from "./archive-export.ts";
import { restoreCommand } from "./archive-restore.ts";
import { examples, PROGRAM } from "./command-context.ts";
import { type ExitCode, exitCodes, Failure } from "./failure.ts";
import { importCommands } from "./import.ts";
import { keyCommands } from "./keys.ts";
import { logsCommand } from "./logs.ts";
import { priceCommands } from "./prices.ts";
import { refuseSecrets } from "./secret-guard.ts";
import { statusCommand } from "./status.ts";
import { say } from "./terminal.ts";

const ABOUT = `
Which relay: --url, else RELAY_URL, else the one that runs on this machine (noted in .relay/, or
RELAY_STATE_DIR), else http://127.0.0.1:8787.

Who: ADMIN_USERNAME (default admin) and ADMIN_PASSWORD; a missing password is asked for. Secrets
are never given as flags. Behind Cloudflare Access also CF_ACCESS_CLIENT_ID and
CF_ACCESS_CLIENT_SECRET, of a service token.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no relay answers, 4 not signed in.
`;

/** The CLI's commands. */
export function makeProgram(): Command {
  const program = new Command(PROGRAM)
    .description("Looks after a running relay: its Claude accounts and its keys.")
    .version(relayVersion(), "--version", "the version of this CLI")
    .option("--url <address>", "the relay to talk to")
    .option("--json", "answer with the API's data as JSON")
    .helpOption("-h, --help", "this text")
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError("Add --help to see what there is.")
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(readable(text)) })
    .addHelpText(
      "after",
      ABOUT +
        examples(
          `${PROGRAM} status`,
          `${PROGRAM} accounts add`,
          `${PROGRAM} keys create --name alice --expires 30d`,
          `${PROGRAM} logs --follow --level warn`,
          "node scripts/cli.ts keys list --json      (in scripts: npm adds lines of its own)",
        ),
    );
  statusCommand(program);
  accountCommands(program);
  keyCommands(program);
  priceCommands(program);
  alertCommands(program);
  importCommands(program);
  exportCommand(program);
  restoreCommand(program);
  adminCommands(program);
  logsCommand(program);
  return program;
}

/** Runs one command. @returns what ended it; a command that ran through may have set its own code */
export async function runCli(args: readonly string[]): Promise<ExitCode> {
  try {
    refuseSecrets(args);
    await makeProgram().parseAsync(args, { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    }
    if (error instanceof Failure) {
      say(error.message);
      return error.exitCode;
    }
    say(error instanceof Stop ? error.message : unexpected(error));
    return exitCodes.failed;
  }
}

/** Commander's errors, without its prefix and without the value of an unknown flag. */
function readable(text: string): string {
  const bare = text.replace(/^error: /, "").replace(/^(unknown option '[^=']+)=.*'/, "$1'");
  return bare.charAt(0).toUpperCase() + bare.slice(1);
}

function unexpected(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  return `This should not happen: ${reason.split("\n", 1)[0]}`;
}
