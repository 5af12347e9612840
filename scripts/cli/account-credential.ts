import { PROGRAM } from "./command-context.ts";
import { credentialsOf, readCredentials } from "./credentials-file.ts";
import { usageFailure } from "./failure.ts";
import { askChoice, askText, isInteractive, restOfInput, say, secretInput } from "./terminal.ts";

export interface CredentialFlags {
  apiKeyStdin?: boolean;
  setupTokenStdin?: boolean;
  credentialsFile?: string;
  proxyStdin?: boolean;
  via?: string;
}

/** How an account proves itself, but for the login over a link. */
export type CredentialWay = "apiKey" | "setupToken" | "file";

const WAYS: { value: CredentialWay; label: string; hint: string }[] = [
  {
    value: "apiKey",
    label: "API key",
    hint: "from the Claude Console; made for a shared gateway",
  },
  { value: "setupToken", label: "Setup token", hint: "made by `claude setup-token`" },
  { value: "file", label: "Credentials file", hint: "of a Claude Code that is signed in" },
];

/** The way that the flags name; null where they name none. */
export function wayOf(flags: CredentialFlags): CredentialWay | null {
  const ways: CredentialWay[] = [];
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
  return ways[0] ?? null;
}

/** As {@link wayOf}; where no one can be asked the flags must name one. */
export function wayForNew(flags: CredentialFlags): CredentialWay | null {
  const way = wayOf(flags);
  if (way === null && !isInteractive()) {
    throw usageFailure(
      `Give --api-key-stdin, --setup-token-stdin or --credentials-file.\nFor the OAuth link: ${PROGRAM} accounts login`,
    );
  }
  return way;
}

export function askWay(): Promise<CredentialWay | "link"> {
  const [first, ...others] = WAYS;
  return askChoice("How is the account to prove itself?", [
    ...(first === undefined ? [] : [first]),
    { value: "link", label: "OAuth link", hint: "sign in with a Claude plan in the browser" },
    ...others,
  ]);
}

/** The credential in the admin API's shape. Never an argument: typed unseen, piped, or in a file. */
export async function credentialBy(
  way: CredentialWay,
  { credentialsFile }: CredentialFlags,
): Promise<Record<string, unknown>> {
  switch (way) {
    case "apiKey":
      return { apiKey: await secretInput("API key") };
    case "setupToken":
      return { setupToken: await secretInput("setup token") };
    case "file": {
      const path =
        credentialsFile ??
        (await askText("Path of the credentials file", { initial: "~/.claude/.credentials.json" }));
      return fromFile(await readCredentials(path));
    }
  }
}

/** A new credential for an account, whatever its kind: asked for, or told apart as it is piped in. */
export async function anyCredential(): Promise<Record<string, unknown>> {
  if (isInteractive()) {
    return credentialBy(await askChoice("What is the new credential?", WAYS), {});
  }
  const text = (await restOfInput()).trim();
  if (text === "") throw usageFailure("Standard input holds no credential.");
  if (text.startsWith("{")) return fromFile(credentialsOf(text, "Standard input"));
  return text.startsWith("sk-ant-oat") ? { setupToken: text } : { apiKey: text };
}

function fromFile(claudeAiOauth: Awaited<ReturnType<typeof readCredentials>>) {
  if (claudeAiOauth.refreshToken !== undefined) {
    say(
      "The relay will renew this login from now on. A Claude Code that uses the same file will be signed out in time.",
    );
  }
  return { claudeAiOauth };
}
