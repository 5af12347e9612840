import type { Command } from "commander";
import { type Account, accountPath, called, findAccount } from "./account.ts";
import { reportTest } from "./account-add.ts";
import { anyCredential, type CredentialFlags, credentialBy, wayOf } from "./account-credential.ts";
import { type PoolFlags, poolOptions, poolSettings, WHICH } from "./account-flags.ts";
import { contextOf, examples, PROGRAM } from "./command-context.ts";
import { usageFailure } from "./failure.ts";
import { readProxy } from "./proxy.ts";
import { print, printJson, say, secretInput } from "./terminal.ts";
import { OAUTH_TERMS } from "./terms.ts";

/** What clears the tags. */
const NONE = "none";

interface UpdateFlags extends CredentialFlags, PoolFlags {
  name?: string;
  description?: string;
  tag?: string[];
  addTag?: string[];
  removeTag?: string[];
  credential?: boolean;
  /** False where `--no-proxy` was given. */
  proxy?: boolean;
}

/** `accounts update`: settings, tags, proxy, and another credential in place of the one in use. */
export function updateCommand(accounts: Command): void {
  const update = accounts
    .command("update")
    .description("changes an account's name, note, tags, place in the pool, proxy or credential")
    .argument("<account>", WHICH);
  poolOptions(update)
    .option("--name <name>", "a new name")
    .option("--description <text>", "a new note")
    .option("--tag <tags...>", 'tags in place of those it has; "none" for no tag')
    .option("--add-tag <tags...>", "tags that come to those it has")
    .option("--remove-tag <tags...>", "tags that it has no more")
    .option("--credential", "replaces the credential: asks for it, or reads standard input")
    .option("--api-key-stdin", "replaces it by an API key from standard input")
    .option("--setup-token-stdin", "replaces it by a setup token from standard input")
    .option("--credentials-file <path>", 'replaces it by that of a file; "-" for standard input')
    .option("--proxy-stdin", "read a new proxy from standard input (after the credential)")
    .option("--no-proxy", "remove the proxy: the account's traffic goes direct")
    .addHelpText(
      "after",
      `
A new credential ends the account's trouble and rests, and is tested at once. Of what is piped to
--credential, the kind is told by how it begins.
${examples(
  `${PROGRAM} accounts update mine --priority 10 --weight 3 --add-tag gold`,
  `${PROGRAM} accounts update mine --no-schedulable`,
  `${PROGRAM} accounts update mine --credential`,
  `${PROGRAM} accounts update "team key" --api-key-stdin < key.txt`,
)}`,
    )
    .action(async (given: string, flags: UpdateFlags, command: Command) => {
      checkFlags(flags);
      const context = contextOf(command);
      const { id, tags } = await findAccount(context.api, given);
      const credential = await credentialOf(flags);
      const proxy = await proxyOf(flags);
      const account = await context.api.call<Account>("PUT", accountPath(id), {
        ...settingsOf(flags, tags),
        ...credential,
        ...(proxy === undefined ? {} : { proxy }),
      });
      if (context.json) return printJson(account);
      const what = credential === null ? "was changed" : "has another credential";
      print(`Account ${called(account)} ${what}.`);
      if (credential !== null) await reportTest(context, account, "It was changed");
    });
}

/** Before anything is asked for: a wrong flag changes nothing. */
function checkFlags(flags: UpdateFlags): void {
  const { tag, addTag, removeTag, proxyStdin, proxy, credential } = flags;
  if (proxyStdin && proxy === false) throw usageFailure("Give either --proxy-stdin or --no-proxy.");
  if (tag !== undefined && (addTag !== undefined || removeTag !== undefined)) {
    throw usageFailure("Give either --tag, or --add-tag and --remove-tag.");
  }
  const way = wayOf(flags);
  if (credential && way !== null) {
    throw usageFailure("Give either --credential or a flag that says which kind it is.");
  }
  if (credential && proxyStdin) {
    throw usageFailure("With --proxy-stdin say which credential it is, such as --api-key-stdin.");
  }
  const changes = [flags.name, flags.description, tag, addTag, removeTag];
  const isNothing =
    changes.every((change) => change === undefined) &&
    Object.keys(poolSettings(flags)).length === 0;
  if (isNothing && !credential && way === null && !proxyStdin && proxy !== false) {
    throw usageFailure("Nothing to change: give a flag. --help lists them.");
  }
}

function settingsOf({ name, description, ...flags }: UpdateFlags, before: string[]) {
  const tags = tagsOf(flags, before);
  return {
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    ...(tags === undefined ? {} : { tags }),
    ...poolSettings(flags),
  };
}

function tagsOf({ tag, addTag, removeTag }: UpdateFlags, before: string[]): string[] | undefined {
  if (tag !== undefined) return tag.length === 1 && tag[0] === NONE ? [] : tag;
  if (addTag === undefined && removeTag === undefined) return undefined;
  const kept = before.filter((each) => !removeTag?.includes(each));
  return [...new Set([...kept, ...(addTag ?? [])])];
}

async function credentialOf(flags: UpdateFlags): Promise<Record<string, unknown> | null> {
  const way = wayOf(flags);
  if (way === null && !flags.credential) return null;
  const credential = way === null ? await anyCredential() : await credentialBy(way, flags);
  if (!("apiKey" in credential)) say(`${OAUTH_TERMS}\n`);
  return credential;
}

async function proxyOf({ proxyStdin, proxy }: UpdateFlags) {
  if (proxyStdin) return readProxy(await secretInput("proxy address"));
  return proxy === false ? null : undefined;
}
