import type { Command } from "commander";
import {
  type Account,
  accountDetails,
  accountPath,
  accountStatusText,
  accountTable,
  called,
  findAccount,
  listAccounts,
} from "./account.ts";
import { type AddFlags, addAccount, reportTest } from "./account-add.ts";
import { explainCommand } from "./account-explain.ts";
import { poolOptions, poolSettings, WHICH } from "./account-flags.ts";
import { type LoginFlags, logIn } from "./account-login.ts";
import { updateCommand } from "./account-update.ts";
import { type CommandContext, contextOf, examples, PROGRAM } from "./command-context.ts";
import { exitCodes, Failure, usageFailure } from "./failure.ts";
import { momentText } from "./moment.ts";
import { confirmed, print, printJson, say } from "./terminal.ts";
import { plain } from "./text-width.ts";

/** `accounts …`: the Claude accounts behind the relay. */
export function accountCommands(program: Command): void {
  const accounts = program
    .command("accounts")
    .description("the Claude accounts behind the relay")
    .addHelpText("after", examples(`${PROGRAM} accounts add`, `${PROGRAM} accounts list`));

  accounts
    .command("list")
    .description("all accounts and how they are")
    .addHelpText("after", examples(`${PROGRAM} accounts list --json`))
    .action(async (_flags: object, command: Command) => {
      const { api, json } = contextOf(command);
      const data = await listAccounts(api);
      if (json) return printJson(data);
      if (data.accounts.length === 0)
        return say(`No account yet. Add one: ${PROGRAM} accounts add`);
      for (const line of accountTable(data.accounts)) print(line);
    });

  accounts
    .command("show")
    .description("all there is to know of one account")
    .argument("<account>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} accounts show "team key"`))
    .action(async (given: string, _flags: object, command: Command) => {
      const { api, json } = contextOf(command);
      const { id } = await findAccount(api, given);
      const account = await api.call<Account>("GET", accountPath(id));
      if (json) return printJson(account);
      for (const line of accountDetails(account)) print(line);
    });

  const add = accounts
    .command("add")
    .description("adds an account; asks for what the flags leave open");
  poolOptions(add)
    .option("--api-key-stdin", "read an API key from standard input")
    .option("--setup-token-stdin", "read a setup token from standard input")
    .option("--credentials-file <path>", 'a Claude Code credentials file; "-" for standard input')
    .option("--proxy-stdin", "read the account's proxy from standard input (after the credential)")
    .option("--name <name>", "what the account is called here")
    .option("--description <text>", "a note for people")
    .option("--tag <tags...>", "tags; keys can be bound to the accounts that carry one")
    .addHelpText(
      "after",
      examples(
        `${PROGRAM} accounts add`,
        `${PROGRAM} accounts add --name "team key" --tag gold --api-key-stdin < key.txt`,
        `${PROGRAM} accounts add --name mine --credentials-file ~/.claude/.credentials.json`,
      ),
    )
    .action(async (flags: AddFlags, command: Command) => {
      const context = contextOf(command);
      const account = await addAccount(context, flags);
      if (context.json) return printJson(account);
      print(`Account ${called(account)} was added.`);
      await reportTest(context, account);
    });

  const login = accounts
    .command("login")
    .description("adds an account over the OAuth link, or logs an existing one in again")
    .argument("[account]", `an existing account: ${WHICH}`);
  poolOptions(login)
    .option("--name <name>", "what a new account is called here")
    .option("--description <text>", "a note for people")
    .option("--tag <tags...>", "tags; keys can be bound to the accounts that carry one")
    .option("--proxy-stdin", "read a proxy for this account from the first line of standard input")
    .addHelpText("after", examples(`${PROGRAM} accounts login`, `${PROGRAM} accounts login mine`))
    .action(async (given: string | undefined, flags: LoginFlags, command: Command) => {
      const context = contextOf(command);
      const existing = given === undefined ? null : await existingLogin(context, given, flags);
      const account = await logIn(context, flags, existing);
      if (context.json) return printJson(account);
      print(
        existing === null
          ? `Account ${called(account)} was added.`
          : `Account ${called(account)} is logged in again: ${accountStatusText(account)}.`,
      );
    });

  updateCommand(accounts);
  explainCommand(accounts);
  switchCommand(accounts, "enable", true);
  switchCommand(accounts, "disable", false);

  accounts
    .command("refresh")
    .description("renews an OAuth account's token now")
    .argument("<account>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} accounts refresh mine`))
    .action(async (given: string, _flags: object, command: Command) => {
      const context = contextOf(command);
      const account = await act(context, given, "/refresh");
      if (context.json) return printJson(account);
      const until = account.credentialExpiresAt;
      print(
        `Account ${called(account)} has a new token${until === null ? "" : `, good until ${momentText(until)}`}.`,
      );
    });

  accounts
    .command("test")
    .description("asks Anthropic whether the account's credential is good; costs nothing")
    .argument("<account>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} accounts test mine`))
    .action(async (given: string, _flags: object, command: Command) => {
      const { api, json } = contextOf(command);
      const account = await findAccount(api, given);
      const test = await api.call<{ ok: boolean; durationMs: number; message: string }>(
        "POST",
        accountPath(account.id, "/test"),
      );
      if (json) printJson(test);
      if (!test.ok) {
        if (json) process.exitCode = exitCodes.failed;
        else
          throw new Failure(`Account ${called(account)} failed its test: ${plain(test.message)}`);
      } else if (!json) {
        print(`Account ${called(account)}: ${plain(test.message)} (${test.durationMs} ms)`);
      }
    });

  accounts
    .command("reset")
    .description("forgets cool-downs and trouble: you say that it is mended")
    .argument("<account>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} accounts reset mine`))
    .action(async (given: string, _flags: object, command: Command) => {
      const context = contextOf(command);
      const account = await act(context, given, "/reset");
      if (context.json) return printJson(account);
      print(`Account ${called(account)} was reset: ${accountStatusText(account)}.`);
    });

  accounts
    .command("remove")
    .description("removes an account and its credential from the relay, for good")
    .argument("<account>", WHICH)
    .option("--yes", "do not ask")
    .addHelpText("after", examples(`${PROGRAM} accounts remove mine`))
    .action(async (given: string, flags: { yes?: boolean }, command: Command) => {
      const { api, json } = contextOf(command);
      const account = await findAccount(api, given);
      await confirmed(`Remove account ${called(account)} and its credential for good?`, flags.yes);
      const data = await api.call("DELETE", accountPath(account.id));
      if (json) return printJson(data);
      print(`Account ${called(account)} was removed.`);
    });
}

async function existingLogin(
  { api }: CommandContext,
  given: string,
  flags: LoginFlags,
): Promise<Account> {
  const settings = [flags.name, flags.description, flags.tag];
  const isForNew = settings.some((setting) => setting !== undefined);
  if (isForNew || Object.keys(poolSettings(flags)).length > 0) {
    throw usageFailure(
      `Settings such as --name and --priority are for a new account.\nTo change this one: ${PROGRAM} accounts update`,
    );
  }
  const account = await findAccount(api, given);
  if (account.kind === "api_key") {
    throw new Failure(
      `Account ${called(account)} has an API key and needs no login.\nTo add a login as an account of its own: ${PROGRAM} accounts login`,
    );
  }
  return account;
}

function switchCommand(accounts: Command, verb: "enable" | "disable", enabled: boolean): void {
  accounts
    .command(verb)
    .description(enabled ? "lets the relay use an account again" : "takes an account out of use")
    .argument("<account>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} accounts ${verb} mine`))
    .action(async (given: string, _flags: object, command: Command) => {
      const { api, json } = contextOf(command);
      const { id } = await findAccount(api, given);
      const account = await api.call<Account>("PUT", accountPath(id), { enabled });
      if (json) return printJson(account);
      const status = accountStatusText(account);
      const blocked = enabled && status !== "ready" ? ` It is not ready yet: ${status}.` : "";
      print(`Account ${called(account)} is ${verb}d.${blocked}`);
    });
}

async function act({ api }: CommandContext, given: string, path: string): Promise<Account> {
  const { id } = await findAccount(api, given);
  return api.call<Account>("POST", accountPath(id, path));
}
