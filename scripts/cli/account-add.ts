import { type Account, accountPath, accountsPath } from "./account.ts";
import { askWay, type CredentialFlags, credentialBy, wayForNew } from "./account-credential.ts";
import { type SettingFlags, settingsOfNew } from "./account-flags.ts";
import { logIn } from "./account-login.ts";
import type { CommandContext } from "./command-context.ts";
import { Failure, usageFailure } from "./failure.ts";
import { readProxy, refuseLoneVia } from "./proxy.ts";
import { askText, isInteractive, say, secretInput } from "./terminal.ts";
import { OAUTH_TERMS } from "./terms.ts";

export type AddFlags = CredentialFlags & SettingFlags;

/** Adds an account, from flags or by asking. @returns it, as the API shows it */
export async function addAccount(context: CommandContext, flags: AddFlags): Promise<Account> {
  const given = wayForNew(flags);
  refuseLoneVia(flags);
  if (!isInteractive() && flags.name === undefined) throw usageFailure("--name is missing.");
  await context.api.ensureSignedIn();
  const way = given ?? (await askWay());
  if (way === "link") return logIn(context, flags, null);
  if (way !== "apiKey") say(`${OAUTH_TERMS}\n`);
  const name = flags.name ?? (await askText("A name for this account"));
  const credential = await credentialBy(way, flags);
  const proxy = flags.proxyStdin
    ? readProxy(await secretInput("proxy address"), flags.via)
    : undefined;
  return context.api.call("POST", accountsPath, {
    name,
    ...credential,
    ...settingsOfNew(flags),
    ...(proxy === undefined ? {} : { proxy }),
  });
}

/** Tries a new credential at once, while it is still at hand. */
export async function reportTest(
  { api }: CommandContext,
  account: Account,
  done = "It was added",
): Promise<void> {
  try {
    const test = await api.call<{ ok: boolean; message: string }>(
      "POST",
      accountPath(account.id, "/test"),
    );
    if (test.ok) say(`Tested: ${test.message}`);
    else say(`${done}, but its test failed: ${test.message}`);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    say(`${done}, but could not be tested: ${error.message}`);
  }
}
