import type { Command } from "commander";
import { contextOf, examples, PROGRAM } from "./command-context.ts";
import { exitCodes, usageFailure } from "./failure.ts";
import { type Written, writeAccounts, writeKeys } from "./import-apply.ts";
import type { Carried } from "./import-fields.ts";
import { type ImportPlan, planImport } from "./import-plan.ts";
import { ImportSource } from "./import-source.ts";
import { askSecret, isInteractive, print, printJson, say } from "./terminal.ts";
import { OAUTH_TERMS } from "./terms.ts";
import { plain } from "./text-width.ts";

const KEY_NAME = "CRS_ENCRYPTION_KEY";
const PASSWORD_NAME = "CRS_REDIS_PASSWORD";

const ABOUT = `
Nothing is written without --apply, and nothing at all is written to that Redis. A run that was broken
off is run again: what is there already stays as it is.

Its encryption key comes from ${KEY_NAME}, or is asked for; a password of the Redis comes from
${PASSWORD_NAME}. As flags both would stand in the shell's history.

So that clients keep their keys, the relay is then given the same encryption key as the secret
IMPORTED_KEY_PEPPER.
`;

const LEFT_BEHIND = [
  "Days of spend limits begin at 00:00 UTC here; what was spent today and this week begins anew.",
  "Usage comes along as one sum a key, not by day or model.",
];

const ONE_LOGIN =
  "Stop the old system before clients come here: where both renew one login, each signs the other out.";

interface Flags {
  redis: string;
  encryptionKey?: string;
  apply?: boolean;
  dryRun?: boolean;
}

/** `import`: what another relay holds. */
export function importCommands(program: Command): void {
  const imports = program
    .command("import")
    .description("brings over what another relay holds")
    .addHelpText(
      "after",
      examples(`${PROGRAM} import claude-relay-service --redis redis://127.0.0.1:6379/0`),
    );
  imports
    .command("claude-relay-service")
    .description("its keys, which clients keep, limits, accounts, proxies and usage; dry run first")
    .requiredOption("--redis <address>", "where it keeps its data: redis://host:port/db")
    .option("--apply", "write it to this relay")
    .option("--dry-run", "only show what would be written; the default")
    .option("--encryption-key <key>", `its ENCRYPTION_KEY; better in ${KEY_NAME}`)
    .addHelpText(
      "after",
      ABOUT +
        examples(
          `${PROGRAM} import claude-relay-service --redis redis://127.0.0.1:6379`,
          `${PROGRAM} import claude-relay-service --redis redis://127.0.0.1:6379 --apply`,
        ),
    )
    .action(async (flags: Flags, command: Command) => {
      if (flags.apply && flags.dryRun) throw usageFailure("Give --apply or --dry-run, not both.");
      const { api, json } = contextOf(command);
      const encryptionKey = await encryptionKeyFrom(flags.encryptionKey);
      const source = await ImportSource.open(flags.redis, process.env[PASSWORD_NAME] || undefined);
      let plan: ImportPlan;
      try {
        if (URL.parse(flags.redis)?.password) {
          say(`Warning: the Redis password stands in the shell's history. Use ${PASSWORD_NAME}.`);
        }
        plan = await planImport(source, encryptionKey);
      } finally {
        source.close();
      }
      if (!flags.apply) return json ? printJson(planned(plan)) : showPlan(plan);
      await api.ensureSignedIn();
      if (plan.accounts.some(({ value }) => value !== null && "claudeAiOauth" in value)) {
        say(`${OAUTH_TERMS}\n`);
      }
      // Accounts first: a key can be bound only to what is there.
      const accounts = await writeAccounts(api, carried(plan.accounts));
      const keys = await writeKeys(api, carried(plan.keys));
      const failed = [...accounts.failed, ...keys.failed];
      if (failed.length > 0) process.exitCode = exitCodes.failed;
      if (json) return printJson({ accounts, keys, ...leftOut(plan) });
      print(`Accounts: ${wordsFor(accounts)}.`);
      print(`Keys: ${wordsFor(keys)}.`);
      for (const { name, message } of failed) say(`  "${plain(name)}": ${plain(message)}`);
      showNotes(plan);
      say(ONE_LOGIN);
      if (keys.recognisesImportedKeys === false) {
        say(
          "Clients can use their old keys once the relay has that system's ENCRYPTION_KEY as IMPORTED_KEY_PEPPER:\nfor a deployed relay `npx wrangler secret put IMPORTED_KEY_PEPPER`, on this machine a line in .dev.vars, then start it again.",
        );
      }
    });
}

async function encryptionKeyFrom(flag: string | undefined): Promise<string> {
  if (flag !== undefined && flag !== "") {
    say(`Warning: the encryption key stands in the shell's history. Use ${KEY_NAME} instead.`);
    return flag;
  }
  const given = process.env[KEY_NAME];
  if (given) return given;
  if (isInteractive()) return askSecret("ENCRYPTION_KEY of that claude-relay-service");
  throw usageFailure(`Set ${KEY_NAME} to the ENCRYPTION_KEY of that claude-relay-service.`);
}

function carried<T>(all: readonly Carried<T>[]): T[] {
  return all.flatMap(({ value }) => (value === null ? [] : [value]));
}

function leftOut({ accounts, keys }: ImportPlan) {
  const notes = (all: readonly Carried<unknown>[]) =>
    all.flatMap(({ id, name, notes, value }) =>
      notes.length === 0 ? [] : [{ id, name, comesAlong: value !== null, notes }],
    );
  return { accountNotes: notes(accounts), keyNotes: notes(keys), general: LEFT_BEHIND };
}

/** Without a secret: hashes and credentials are left out. */
function planned(plan: ImportPlan) {
  const names = (all: readonly Carried<unknown>[]) =>
    all.flatMap(({ id, name, value }) => (value === null ? [] : [{ id, name }]));
  const { accounts, keys } = plan;
  return { dryRun: true, accounts: names(accounts), keys: names(keys), ...leftOut(plan) };
}

function showPlan(plan: ImportPlan): void {
  const { accounts, keys } = plan;
  print(`Accounts to write: ${carried(accounts).length} of ${accounts.length}.`);
  for (const { name, value } of accounts) {
    if (value === null) continue;
    const kind = "apiKey" in value ? "API key" : "login";
    const proxy = "proxy" in value ? ", with its proxy" : "";
    print(`  "${plain(name)}": ${kind}${proxy}`);
  }
  const limited = carried(keys).filter(({ usage }) => usage.length > 0).length;
  print(`Keys to write: ${carried(keys).length} of ${keys.length}, ${limited} with their usage.`);
  for (const { name, value } of keys) if (value !== null) print(`  "${plain(name)}"`);
  showNotes(plan);
  say("Nothing was written. Run it with --apply to do so.");
}

function showNotes({ accounts, keys }: ImportPlan): void {
  const noted = [
    ...accounts.map((each) => ["account", each] as const),
    ...keys.map((each) => ["key", each] as const),
  ].filter(([, { notes }]) => notes.length > 0);
  if (noted.length > 0) say("What does not come along, or not as it was:");
  for (const [what, { name, notes, value }] of noted) {
    const out = value === null ? " is left out" : "";
    say(`  ${what} "${plain(name)}"${out}: ${plain(notes.join("; "))}`);
  }
  for (const line of LEFT_BEHIND) say(line);
}

function wordsFor({ created, there, failed }: Written): string {
  return `${created} written, ${there} there already, ${failed.length} refused`;
}
