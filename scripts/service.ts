import { parseArgs } from "node:util";
import { runMain, Stop } from "./host/stop.ts";
import { backUp } from "./service/backup.ts";
import type { DeployedRelay } from "./service/deployed.ts";
import { showStatus, startDaemon, stateFolder, stopRelay } from "./service/local.ts";
import { follow, lastLines, logPath } from "./service/log-file.ts";
import { restore } from "./service/restore.ts";

const DEFAULT_LINES = 100;

const HELP = `The relay on this machine:

  npm run service:start:daemon                      starts it in the background
  npm run service:status                            up or down, where, and how it is;
                                                    exits with 0 up, 1 no answer, 3 down
  npm run service:logs [-- --follow] [--lines N]    its log; --follow shows what comes
  npm run service:stop [-- --now]                   ends it in order; --now does not wait
  npm run service:backup -- FILE                    its state into one file, also while it runs;
                                                    --without-secrets leaves the keys out
  npm run service:restore -- FILE                   puts a backup in place; --replace where
                                                    something is there, which is moved aside

The deployed relay, through wrangler; --env preview for that environment:

  npm run service:status -- --remote                which versions serve
  npm run service:logs -- --remote                  its log, as it comes
  npm run service:rollback -- --remote [VERSION]    the version before, or that one

RELAY_STATE_DIR names the state folder, as for npm start. FILE may be - for a pipe.`;

/** Which flags a command takes; a command that works on a deployed relay takes `remote` and `env`. */
const COMMANDS: Record<string, readonly string[]> = {
  start: [],
  stop: ["now"],
  status: ["remote", "env"],
  logs: ["remote", "env", "follow", "lines"],
  rollback: ["remote", "env"],
  backup: ["without-secrets"],
  restore: ["replace"],
};

async function main(): Promise<number> {
  const { command, flags, rest } = readCommand();
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  if (flags.remote) return await onDeployed(command, flags.env ?? "", rest[0]);
  if (flags.env !== undefined) throw new Stop("--env is for the deployed relay: add --remote.");
  const stateDir = stateFolder();
  switch (command) {
    case "start":
      await startDaemon(stateDir, console.log);
      return 0;
    case "stop":
      await stopRelay(stateDir, flags.now ?? false, console.log);
      return 0;
    case "status":
      return await showStatus(stateDir, console.log);
    case "logs":
      return await showLog(stateDir, flags.lines, flags.follow ?? false);
    case "backup":
      // Standard output may be the file.
      await backUp({
        stateDir,
        file: fileOf(rest),
        withSecrets: !flags["without-secrets"],
        print: console.error,
      });
      return 0;
    case "restore":
      await restore({
        stateDir,
        file: fileOf(rest),
        mayReplace: flags.replace ?? false,
        print: console.log,
      });
      return 0;
    default:
      throw new Stop(
        "Only a deployed relay can be rolled back: add --remote. On this machine, check out the older version and start it.",
      );
  }
}

async function onDeployed(
  command: string,
  environment: string,
  version: string | undefined,
): Promise<number> {
  // It brings wrangler along, which takes a second to load.
  const { deployedStatus, rollBack, tailDeployed } = await import("./service/deployed.ts");
  const relay: DeployedRelay = { environment, print: console.log };
  if (command === "logs") return await tailDeployed(relay);
  if (command === "rollback") await rollBack(relay, version);
  else await deployedStatus(relay);
  return 0;
}

async function showLog(
  stateDir: string,
  lines: string | undefined,
  isFollowed: boolean,
): Promise<number> {
  const path = logPath(stateDir);
  const count = lines === undefined ? DEFAULT_LINES : Number(lines);
  if (!Number.isInteger(count) || count < 0) throw new Stop("--lines must be a whole number.");
  const shown = lastLines(path, count);
  if (shown.length === 0 && !isFollowed) {
    console.error(
      `${path} is empty or not there: only a relay started with service:start:daemon writes it.`,
    );
    return 0;
  }
  for (const line of shown) console.log(line);
  if (!isFollowed) return 0;
  const end = new AbortController();
  process.once("SIGINT", () => end.abort());
  process.once("SIGTERM", () => end.abort());
  await follow(path, (text) => process.stdout.write(text), end.signal);
  return 0;
}

function fileOf(rest: readonly string[]): string {
  const [file, ...more] = rest;
  if (file === undefined || more.length > 0) throw new Stop(`Name one file.\n\n${HELP}`);
  return file;
}

function readCommand() {
  try {
    const { values, positionals, tokens } = parseArgs({
      allowPositionals: true,
      tokens: true,
      options: {
        remote: { type: "boolean" },
        env: { type: "string" },
        now: { type: "boolean" },
        follow: { type: "boolean", short: "f" },
        lines: { type: "string", short: "n" },
        "without-secrets": { type: "boolean" },
        replace: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    const [command = "", ...rest] = positionals;
    const known = COMMANDS[command];
    if (known === undefined) throw new Error(`There is no command "${command}".`);
    const stray = tokens.find(
      (token) => token.kind === "option" && token.name !== "help" && !known.includes(token.name),
    );
    if (stray?.kind === "option") throw new Error(`${command} takes no --${stray.name}.`);
    return { command, flags: values, rest };
  } catch (error) {
    throw new Stop(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
  }
}

await runMain(main);
