import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { replaceAtomically } from "../host/exclusive-file.ts";
import type { RelayAddress } from "./relay-address.ts";

const DIR_MODE = 0o700;

/** A signed-in admin. The token is a secret: it only ever goes to `url`. */
export interface Session {
  url: string;
  token: string;
  username: string;
  /** ISO 8601. */
  expiresAt: string;
}

/** @returns the session kept for this relay, or null where there is none that is still good */
export function readSession(address: RelayAddress, nowMs = Date.now()): Session | null {
  try {
    const kept = JSON.parse(readFileSync(pathOf(address), "utf8")) as Partial<Session>;
    const { url, token, username, expiresAt } = kept;
    if (url !== address.url || !token || !username || !expiresAt) return null;
    return Date.parse(expiresAt) > nowMs ? { url, token, username, expiresAt } : null;
  } catch {
    // Missing or damaged: signing in again mends both.
    return null;
  }
}

/** Only the owner may read the file. */
export function writeSession(address: RelayAddress, session: Session): void {
  mkdirSync(address.sessionDir, { recursive: true, mode: DIR_MODE });
  replaceAtomically(pathOf(address), `${JSON.stringify(session)}\n`);
}

export function removeSession(address: RelayAddress): void {
  rmSync(pathOf(address), { force: true });
}

function pathOf(address: RelayAddress): string {
  const place = address.url.replace(/[^A-Za-z0-9.]+/g, "-");
  return join(address.sessionDir, `cli-session-${place}.json`);
}
