import { exitCodes, Failure } from "./failure.ts";
import type { RelayAddress } from "./relay-address.ts";
import { callRelay, dataOf } from "./relay-call.ts";
import { readSession, type Session, writeSession } from "./session-file.ts";
import { askSecret, isInteractive, say } from "./terminal.ts";

export const DEFAULT_USERNAME = "admin";

/** Whether a sign-in needs no person. */
export function canSignInUnasked(address: RelayAddress): boolean {
  return readSession(address) !== null || address.password !== undefined;
}

/** Signs in and keeps the session. The password comes from the environment or is asked for. */
export async function signIn(address: RelayAddress, username?: string): Promise<Session> {
  const name = username ?? address.username ?? DEFAULT_USERNAME;
  const password = address.password ?? (await askPassword(address, name));
  if (!address.isLoopback && address.url.startsWith("http:")) {
    say(`Warning: ${address.url} is not encrypted; the password crosses the network in the clear.`);
  }
  const { status, body } = await callRelay(address, "POST", "/admin/login", {
    body: { username: name, password },
  });
  const made = dataOf<{ token: string; username: string; expiresAt: string }>(status, body);
  const session: Session = {
    url: address.url,
    token: made.token,
    username: made.username,
    expiresAt: made.expiresAt,
  };
  writeSession(address, session);
  return session;
}

async function askPassword(address: RelayAddress, username: string): Promise<string> {
  if (!isInteractive()) {
    throw new Failure(
      `Not signed in to ${address.url}, and there is no one here to ask for the password.\nSet ADMIN_PASSWORD, or run \`npm run cli -- admin login\` in a terminal first.`,
      exitCodes.notSignedIn,
    );
  }
  return askSecret(`Password of ${username} at ${address.url}`);
}
