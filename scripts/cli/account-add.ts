import { type Account, accountPath, accountsPath } from "./account.ts";
import { logIn } from "./account-login.ts";
import { type CommandContext, PROGRAM } from "./command-context.ts";
import { readCredentials } from "./credentials-file.ts";
import { Failure, usageFailure } from "./failure.ts";
import { readProxy, refuseLoneVia } from "./proxy.ts";
import { askChoice, askText, isInteractive, say, secretInput } from "./terminal.ts";
import { OAUTH_TERMS } from "./terms.ts";

export interface AddFlags {
  apiKeyStdin?: boolean;
  setupTokenStdin?: boolean;
  credentialsFile?: string;
  proxyStdin?: boolean;
  via?: string;
  name?: string;
  description?: string;
  priority?: number;
}

type Way = "apiKey" | "link" | "setupToken" | "file";

/** Adds an account, from flags or by asking. @returns it, as the API shows it */
export async function addAccount(context: CommandContext, flags: AddFlags): Promise<Account> {
  const given = wayOf(flags);
  refuseLoneVia(flags);
  if (!isInteractive() && flags.name === undefined) throw usageFailure("--name is missing.");
  await context.api.ensureSignedIn();
  const way = given ?? (await askWay());
  if (way === "link") return logIn(context, flags, null);
  if (way !== "apiKey") say(`${OAUTH_TERMS}\n`);
  const name = flags.name ?? (await askText("A name for this account"));
  const credential = await credentialOf(way, flags);
  const proxy = flags.proxyStdin
    ? readProxy(await secretInput("proxy address"), flags.via)
    : undefined;
  return context.api.call("POST", accountsPath, {
    name,
    ...credential,
    ...(flags.description === undefined ? {} : { description: flags.description }),
    ...(flags.priority === undefined ? {} : { priority: flags.priority }),
    ...(proxy === undefined ? {} : { proxy }),
  });
}

/** Tries a new account at once, while its credential is still at hand. */
export async function reportTest({ api }: CommandContext, account: Account): Promise<void> {
  try {
    const test = await api.call<{ ok: boolean; message: string }>(
      "POST",
      accountPath(account.id, "/test"),
    );
    if (test.ok) say(`Tested: ${test.message}`);
    else say(`It was added, but its test failed: ${test.message}`);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    say(`It was added, but could not be tested: ${error.message}`);
  }
}

function wayOf(flags: AddFlags): Way | null {
  const ways: Way[] = [];
  if (flags.apiKeyStdin) ways.push("apiKey");
  if (flags.setupTokenStdin) ways.push("setupToken");
  if (flags.credentialsFile !== undefined) ways.push("file");
  if (ways.length > 1) {
    throw usageFailure(
      "Give only one of --api-key-stdin, --setup-token-stdin and --credentials-file.",
    );
  }
  if (flags.credentialsFile === "-" && flags.proxyStdin) {
    throw usageFailure(
      "--proxy-stdin needs the credentials in a file: both cannot come from standard input.",
    );
  }
  const [way = null] = ways;
  if (way === null && !isInteractive()) {
    throw usageFailure(
      `Give --api-key-stdin, --setup-token-stdin or --credentials-file.\nFor the OAuth link: ${PROGRAM} accounts login`,
    );
  }
  return way;
}

function askWay(): Promise<Way> {
  return askChoice<Way>("How is the account to prove itself?", [
    {
      value: "apiKey",
      label: "API key",
      hint: "from the Claude Console; made for a shared gateway",
    },
    { value: "link", label: "OAuth link", hint: "sign in with a Claude plan in the browser" },
    { value: "setupToken", label: "Setup token", hint: "made by `claude setup-token`" },
    { value: "file", label: "Credentials file", hint: "of a Claude Code that is signed in" },
  ]);
}

async function credentialOf(
  way: Exclude<Way, "link">,
  flags: AddFlags,
): Promise<Record<string, unknown>> {
  switch (way) {
    case "apiKey":
      return { apiKey: await secretInput("API key") };
    case "setupToken":
      return { setupToken: await secretInput("setup token") };
    case "file": {
      const path =
        flags.credentialsFile ??
        (await askText("Path of the credentials file", { initial: "~/.claude/.credentials.json" }));
      const claudeAiOauth = await readCredentials(path);
      if (claudeAiOauth.refreshToken !== undefined) {
        say(
          "The relay will renew this login from now on. A Claude Code that uses the same file will be signed out in time.",
        );
      }
      return { claudeAiOauth };
    }
  }
}
