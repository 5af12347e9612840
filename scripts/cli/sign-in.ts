import { exitCodes, Failure, Refusal } from "./failure.ts";
import { relayHealth } from "./health.ts";
import type { RelayAddress } from "./relay-address.ts";
import { callRelay, dataOf } from "./relay-call.ts";
import { readSession, type Session, writeSession } from "./session-file.ts";
import { askSecret, isInteractive, say } from "./terminal.ts";

export const DEFAULT_USERNAME = "admin";
/** Fewer than the relay lets pass before it makes people wait. */
const TRIES = 3;
const LOST_LOCALLY = "Lost it? On the relay's machine: npm run setup -- --reset-admin-password";
const CHECK_ENVIRONMENT = "Check ADMIN_USERNAME and ADMIN_PASSWORD.";

interface SignedIn {
  token: string;
  username: string;
  expiresAt: string;
}

/** Whether a sign-in needs no person. */
export function canSignInUnasked(address: RelayAddress): boolean {
  return readSession(address) !== null || address.password !== undefined;
}

/** Signs in and keeps the session. The password comes from the environment or is asked for. */
export async function signIn(address: RelayAddress, username?: string): Promise<Session> {
  const name = username ?? address.username ?? DEFAULT_USERNAME;
  // First of all: is it a relay that answers there? Nobody types a password for nothing, and no
  // stranger is sent one.
  await relayHealth(address);
  if (!address.isLoopback && address.url.startsWith("http:")) {
    say(`Warning: ${address.url} is not encrypted; the password crosses the network in the clear.`);
  }
  const made = await enter(address, name);
  const session: Session = {
    url: address.url,
    token: made.token,
    username: made.username,
    expiresAt: made.expiresAt,
  };
  writeSession(address, session);
  return session;
}

async function enter(address: RelayAddress, username: string): Promise<SignedIn> {
  for (let attempt = 1; ; attempt += 1) {
    const password = address.password ?? (await askPassword(address, username));
    const { status, body } = await callRelay(address, "POST", "/admin/login", {
      body: { username, password },
    });
    try {
      return dataOf<SignedIn>(status, body);
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== "login_failed") throw error;
      const isLast = address.password !== undefined || attempt === TRIES;
      const advice = address.isLoopback ? LOST_LOCALLY : CHECK_ENVIRONMENT;
      if (isLast) throw new Failure(`${error.message}\n${advice}`, error.exitCode);
      say(error.message);
    }
  }
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
