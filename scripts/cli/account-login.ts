import { setTimeout as sleep } from "node:timers/promises";
import { type Account, accountPath, accountsPath } from "./account.ts";
import { type SettingFlags, settingsOfNew } from "./account-flags.ts";
import type { CommandContext } from "./command-context.ts";
import { Failure, Refusal } from "./failure.ts";
import { type AccountProxy, readProxy, refuseLoneVia } from "./proxy.ts";
import { askText, isInteractive, nextLine, say, secretInput } from "./terminal.ts";
import { OAUTH_TERMS } from "./terms.ts";

const ENDED =
  "This login has ended: its link was good for ten minutes.\nStart again to get a new one.";
/** Refusals after which another paste may still succeed. */
const TRY_AGAIN_STATUS = [400, 502];

export type LoginFlags = SettingFlags & {
  proxyStdin?: boolean | undefined;
  via?: string | undefined;
};

interface BegunLogin {
  authUrl: string;
  sessionId: string;
  expiresAt: string;
}

interface FinishedLogin {
  profile: { email: string | null; organisation: string | null } | null;
}

/**
 * Walks through the OAuth link in the terminal.
 *
 * @param existing an account that logs in again
 * @returns the account, as the API shows it
 */
export async function logIn(
  { api }: CommandContext,
  flags: LoginFlags,
  existing: Account | null,
): Promise<Account> {
  refuseLoneVia(flags);
  await api.ensureSignedIn();
  say(`${OAUTH_TERMS}\n`);
  const proxy: AccountProxy | null = flags.proxyStdin
    ? readProxy(await secretInput("proxy address"), flags.via)
    : null;
  const begun = await api.call<BegunLogin>("POST", `${accountsPath}/generate-auth-url`, {
    ...(proxy === null ? {} : { proxy }),
    ...(existing === null ? {} : { accountId: existing.id }),
  });
  say(`1. Open this link and sign in with the Claude account that the relay is to use:

${begun.authUrl}

2. Agree, and copy the whole code that the page then shows.
3. Paste it here within ten minutes.
`);
  const { profile } = await finish(api, begun);
  if (existing !== null) return api.call("GET", accountPath(existing.id));
  const name = flags.name ?? (await nameFor(profile?.email ?? null));
  return api.call("POST", accountsPath, {
    sessionId: begun.sessionId,
    name,
    ...settingsOfNew(flags),
  });
}

/** Takes pastes until one is accepted or the login ends. */
async function finish(
  api: CommandContext["api"],
  { sessionId, expiresAt }: BegunLogin,
): Promise<FinishedLogin> {
  const end = AbortSignal.timeout(Math.max(0, Date.parse(expiresAt) - Date.now()));
  for (;;) {
    const paste = await nextPaste(end);
    try {
      return await api.call<FinishedLogin>("POST", `${accountsPath}/exchange-code`, {
        sessionId,
        authorizationCode: paste,
      });
    } catch (error) {
      if (!(error instanceof Refusal) || !TRY_AGAIN_STATUS.includes(error.status)) throw error;
      if (end.aborted) throw new Failure(ENDED);
      say(`${error.message}\n`);
    }
  }
}

async function nextPaste(end: AbortSignal): Promise<string> {
  if (isInteractive()) {
    try {
      return await askText("The code", { signal: end });
    } catch (error) {
      throw end.aborted ? new Failure(ENDED) : error;
    }
  }
  const paste = await Promise.race([lineWithText(), ended(end)]);
  if (paste === null) {
    throw new Failure("Standard input ended before a code was accepted. Nothing was changed.");
  }
  return paste;
}

async function lineWithText(): Promise<string | null> {
  for (;;) {
    const line = await nextLine();
    if (line === null || line.trim() !== "") return line?.trim() ?? null;
  }
}

async function ended(end: AbortSignal): Promise<never> {
  while (!end.aborted) await sleep(1_000, undefined, { ref: false });
  throw new Failure(ENDED);
}

async function nameFor(email: string | null): Promise<string> {
  if (!isInteractive()) return email ?? "Claude account";
  return askText("A name for this account", email === null ? {} : { initial: email });
}
