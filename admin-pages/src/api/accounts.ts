import { type Answer, call } from "./client.ts";

export type AccountKind = "api_key" | "oauth" | "setup_token";

export interface AccountProxy {
  type: "socks5" | "http" | "https";
  host: string;
  port: number;
  username?: string;
  password?: string;
  via?: string;
}

/** What the operator sets of an account. */
export interface AccountSettings {
  name: string;
  description: string;
  tags: string[];
  enabled: boolean;
  schedulable: boolean;
  priority: number;
  weight: number;
  maxConcurrency: number | null;
  expiresAt: string | null;
}

export interface AccountWindow {
  status: string | null;
  /** A fraction. */
  utilisation: number | null;
  reset: string | null;
}

export interface Account extends AccountSettings {
  id: string;
  kind: AccountKind;
  locationHint: string | null;
  hasProxy: boolean;
  /** `ready`, or why it does not serve. */
  status: string;
  trouble: { kind: string; detail: string; since: string; until: string | null } | null;
  coolDowns: { scope: string; until: string; reason: string }[];
  windows: Record<string, AccountWindow>;
  profile: { email: string | null; organisation: string | null } | null;
  createdAt: string;
  credentialExpiresAt: string | null;
}

export type AccountWithProxy = Account & { proxy: AccountProxy | null };

/** One of these proves the account upstream. */
export interface AccountCredential {
  apiKey?: string;
  setupToken?: string;
  claudeAiOauth?: Record<string, unknown>;
  sessionId?: string;
}

export interface LoginLink {
  authUrl: string;
  sessionId: string;
  expiresAt: string;
}

export interface FinishedLogin {
  sessionId: string;
  profile: Account["profile"];
  /** An account that exists has logged in again: nothing is left to make. */
  renewed: boolean;
}

export interface AccountTest {
  ok: boolean;
  status: number | null;
  durationMs: number;
  message: string;
  way: {
    forwardProxy: string | null;
    legs: { name: string; ms: number }[];
    exitAddress: string | null;
    fault: string | null;
  };
}

export interface Egress {
  forwardProxies: {
    name: string;
    url: string;
    ok: boolean;
    durationMs: number;
    fault: string | null;
    message: string;
  }[];
  tellsExitAddress: boolean;
}

const of = (id: string) => `/claude-accounts/${encodeURIComponent(id)}`;

export function listAccounts(signal: AbortSignal): Promise<Answer<{ accounts: Account[] }>> {
  return call("GET", "/claude-accounts", { signal });
}

export function readAccount(id: string, signal: AbortSignal): Promise<Answer<AccountWithProxy>> {
  return call("GET", of(id), { signal });
}

export function createAccount(
  body: { name: string } & Partial<AccountSettings> &
    AccountCredential & { proxy?: AccountProxy | null; locationHint?: string | null },
): Promise<Answer<Account>> {
  return call("POST", "/claude-accounts", { body });
}

export function updateAccount(
  id: string,
  body: Partial<AccountSettings> & AccountCredential & { proxy?: AccountProxy | null },
): Promise<Answer<Account>> {
  return call("PUT", of(id), { body });
}

export function deleteAccount(id: string): Promise<Answer<{ id: string }>> {
  return call("DELETE", of(id));
}

export function resetAccount(id: string): Promise<Answer<Account>> {
  return call("POST", `${of(id)}/reset`);
}

export function refreshAccount(id: string): Promise<Answer<Account>> {
  return call("POST", `${of(id)}/refresh`);
}

/** Asks upstream for its model list, which costs nothing. */
export function testAccount(id: string): Promise<Answer<AccountTest>> {
  return call("POST", `${of(id)}/test`);
}

export function makeLoginLink(body: {
  proxy?: AccountProxy | null;
  accountId?: string;
}): Promise<Answer<LoginLink>> {
  return call("POST", "/claude-accounts/generate-auth-url", { body });
}

/** @param paste a code, `code#state`, or the whole address of the page */
export function exchangeCode(sessionId: string, paste: string): Promise<Answer<FinishedLogin>> {
  return call("POST", "/claude-accounts/exchange-code", {
    body: { sessionId, authorizationCode: paste },
  });
}

export function readEgress(signal: AbortSignal): Promise<Answer<Egress>> {
  return call("GET", "/egress", { signal });
}
