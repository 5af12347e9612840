import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { DEFAULT_STATE_DIR, projectDir } from "../host/project.ts";
import { givenValues } from "../host/settings.ts";
import { runningRelay } from "../host/state-lock.ts";
import { usageFailure } from "./failure.ts";

const DEFAULT_URL = "http://127.0.0.1:8787";
const CONFIG_FOLDER = "claude-edge-relay";
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** Which relay is talked to, and what is known of the admin beforehand. */
export interface RelayAddress {
  /** Without a trailing slash. */
  url: string;
  isLoopback: boolean;
  /** True where an address was given, by flag or environment. */
  isGiven: boolean;
  /** True where a relay runs on this machine's state folder, whether or not it is the one meant. */
  runsHere: boolean;
  /** Where the session is kept between calls. */
  sessionDir: string;
  username: string | undefined;
  password: string | undefined;
  /** The service token with which Cloudflare Access in front of the relay lets the CLI through. */
  accessToken?: { clientId: string; clientSecret: string } | undefined;
}

/**
 * Finds the relay: `--url`, else RELAY_URL, else the one that runs on this machine, else the
 * default address.
 */
export function findRelay(flag: string | undefined): RelayAddress {
  const values = givenValues(process.env);
  const stateDir = resolve(projectDir, values.RELAY_STATE_DIR ?? DEFAULT_STATE_DIR);
  const running = runningRelay(stateDir);
  const given = flag ?? (process.env.RELAY_URL?.trim() || undefined);
  const { url, isLoopback } =
    given === undefined
      ? checkedUrl(running?.url ?? DEFAULT_URL)
      : checkedUrl(given, flag === undefined ? "RELAY_URL" : "--url");
  return {
    url,
    isLoopback,
    isGiven: given !== undefined,
    // Until it answers it has noted no address, and has read no key either.
    runsHere: typeof running?.url === "string",
    sessionDir: isLoopback && existsSync(stateDir) ? stateDir : configDir(),
    // What .dev.vars says belongs to the relay of this folder and goes to no other.
    username:
      process.env.ADMIN_USERNAME?.trim() ||
      (given === undefined ? values.ADMIN_USERNAME : undefined),
    password:
      process.env.ADMIN_PASSWORD || (given === undefined ? values.ADMIN_PASSWORD : undefined),
    accessToken: givenAccessToken(),
  };
}

function givenAccessToken(): RelayAddress["accessToken"] {
  const clientId = process.env.CF_ACCESS_CLIENT_ID?.trim() ?? "";
  const clientSecret = process.env.CF_ACCESS_CLIENT_SECRET?.trim() ?? "";
  if (clientId === "" && clientSecret === "") return undefined;
  if (clientId !== "" && clientSecret !== "") return { clientId, clientSecret };
  throw usageFailure("CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET are one token: give both.");
}

/** What Cloudflare Access looks for. The relay itself takes nothing of it. */
export function accessHeaders({ accessToken }: RelayAddress): Record<string, string> {
  if (accessToken === undefined) return {};
  const { clientId, clientSecret } = accessToken;
  return { "cf-access-client-id": clientId, "cf-access-client-secret": clientSecret };
}

function configDir(): string {
  const base = process.env.XDG_CONFIG_HOME || join(homedir(), ".config");
  return join(base, CONFIG_FOLDER);
}

function checkedUrl(text: string, source = "The address"): { url: string; isLoopback: boolean } {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    throw usageFailure(`${source} must be a whole address, such as https://relay.example.com.`);
  }
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") {
    throw usageFailure(`${source} must not hold a user name or password: give ADMIN_PASSWORD.`);
  }
  if (url.search !== "" || url.hash !== "") {
    throw usageFailure(`${source} must end with the host or a path, without "?" or "#".`);
  }
  return { url: url.href.replace(/\/+$/, ""), isLoopback: LOOPBACK.test(url.hostname) };
}
