import * as v from "valibot";
import { toBase64Url } from "../accounts/vault.ts";
import type { OAuthConfig } from "../config.ts";
import { EgressFailed } from "../egress/fault.ts";
import { fail, ok, type Result } from "../result.ts";
import { retryAfterAtMs } from "./rate-limits.ts";

/** 32 random bytes make 43 base64url characters: the shortest verifier RFC 7636 allows, and upstream
 * refuses a shorter state. */
const RANDOM_BYTES = 32;
const TOKEN_TIMEOUT_MS = 20_000;
/** Where the answer names no lifetime: the one that upstream is known to give. */
const DEFAULT_LIFETIME_S = 28_800;
const MESSAGE_MAX_CHARS = 300;
/** With 500, what a server says that did not do it. Of 502, 504 and their like a gateway is the author. */
const UNAVAILABLE = 503;

/** What an authorization or refresh gives. Times are unix milliseconds. */
export interface TokenSet {
  accessToken: string;
  /** Null where the answer has none: the one in use stays valid. */
  refreshToken: string | null;
  expiresAtMs: number;
  scopes: string[];
  email: string | null;
  organisation: string | null;
}

export type TokenError =
  /** The grant itself is spent or unknown: only a new login helps. */
  | { kind: "invalid_grant"; message: string }
  /** Refused for another reason; the grant may still be good. */
  | { kind: "refused"; status: number; message: string }
  | { kind: "rate_limited"; retryAtMs: number | null; message: string }
  /**
   * No answer, or one that says nothing about the grant. `mayBeSpent`: nor does it say that nothing
   * was done, so the grant may have been used up, and what came of it lost.
   */
  | { kind: "unreachable"; mayBeSpent: boolean; message: string };

export type Fetch = (input: string, init: RequestInit) => Promise<Response>;

export interface PkceChallenge {
  verifier: string;
  challenge: string;
  state: string;
}

export async function createChallenge(): Promise<PkceChallenge> {
  const verifier = randomText();
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  return { verifier, challenge: toBase64Url(new Uint8Array(digest)), state: randomText() };
}

/** The address that the operator opens to consent. */
export function authorizeUrl(config: OAuthConfig, { challenge, state }: PkceChallenge): string {
  const url = new URL(config.authorizeUrl);
  url.search = new URLSearchParams({
    code: "true",
    client_id: config.clientId,
    response_type: "code",
    redirect_uri: config.redirectUri,
    scope: config.scopes,
    code_challenge: challenge,
    code_challenge_method: "S256",
    state,
  }).toString();
  return url.toString();
}

/** What an operator pastes: a bare code, `code#state`, or a whole callback address. */
export function parsePastedCode(paste: string): { code: string; state: string | null } | null {
  const text = paste.trim();
  if (text.includes("://")) {
    const url = URL.parse(text);
    const code = url?.searchParams.get("code") ?? "";
    return code === "" ? null : withState(code, url?.searchParams.get("state") ?? null);
  }
  const [code = "", state = null, ...rest] = text.split("#");
  if (code === "" || rest.length > 0 || /[\s?&]/.test(text)) return null;
  return { code, state: state === "" ? null : state };
}

function withState(code: string, state: string | null): { code: string; state: string | null } {
  // Some callback pages show code#state inside the code parameter.
  const [bare = "", inner] = code.split("#");
  return { code: bare, state: state ?? inner ?? null };
}

export function exchangeCode(
  fetcher: Fetch,
  config: OAuthConfig,
  grant: { code: string; state: string; verifier: string },
  nowMs: number,
): Promise<Result<TokenSet, TokenError>> {
  return requestToken(
    fetcher,
    config,
    {
      grant_type: "authorization_code",
      client_id: config.clientId,
      code: grant.code,
      redirect_uri: config.redirectUri,
      code_verifier: grant.verifier,
      // Upstream refuses an exchange without it.
      state: grant.state,
    },
    nowMs,
  );
}

export function refreshTokens(
  fetcher: Fetch,
  config: OAuthConfig,
  refreshToken: string,
  nowMs: number,
): Promise<Result<TokenSet, TokenError>> {
  return requestToken(
    fetcher,
    config,
    { grant_type: "refresh_token", client_id: config.clientId, refresh_token: refreshToken },
    nowMs,
  );
}

/**
 * Only the access token must be there. Whatever else is odd is dropped alone: the old refresh token
 * is spent by now, and the new one must not be lost with it.
 */
const tokenSchema = v.object({
  access_token: v.pipe(v.string(), v.nonEmpty()),
  refresh_token: v.fallback(v.nullish(v.string()), null),
  expires_in: v.fallback(v.nullish(v.pipe(v.unknown(), v.transform(Number), v.minValue(1))), null),
  scope: v.fallback(v.nullish(v.string()), null),
  account: v.fallback(v.nullish(v.object({ email_address: v.nullish(v.string()) })), null),
  organization: v.fallback(v.nullish(v.object({ name: v.nullish(v.string()) })), null),
});

async function requestToken(
  fetcher: Fetch,
  config: OAuthConfig,
  body: Record<string, string>,
  nowMs: number,
): Promise<Result<TokenSet, TokenError>> {
  let response: Response;
  let text: string;
  const abort = new AbortController();
  // A timer that is left running would keep the account's object awake, and billed, to its end.
  const timer = setTimeout(() => abort.abort(), TOKEN_TIMEOUT_MS);
  try {
    response = await fetcher(config.tokenUrl, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify(body),
      redirect: "manual",
      signal: abort.signal,
    });
    text = await response.text();
  } catch (error) {
    if (error instanceof EgressFailed) {
      const { sentNothing, message } = error;
      return fail({ kind: "unreachable", mayBeSpent: !sentNothing, message });
    }
    // The error's own text may name the address or echo the body: it is not passed on.
    const message = "the token endpoint did not answer";
    return fail({ kind: "unreachable", mayBeSpent: true, message });
  } finally {
    clearTimeout(timer);
  }
  if (!response.ok) return fail(tokenError(response, text, nowMs));
  const parsed = v.safeParse(tokenSchema, parseJson(text));
  if (!parsed.success) {
    const message = "the token endpoint answered without a token";
    return fail({ kind: "unreachable", mayBeSpent: true, message });
  }
  const tokens = parsed.output;
  return ok({
    accessToken: tokens.access_token,
    refreshToken: tokens.refresh_token || null,
    expiresAtMs: nowMs + (tokens.expires_in ?? DEFAULT_LIFETIME_S) * 1000,
    scopes: (tokens.scope ?? "").split(" ").filter((scope) => scope !== ""),
    email: tokens.account?.email_address ?? null,
    organisation: tokens.organization?.name ?? null,
  });
}

function tokenError(response: Response, text: string, nowMs: number): TokenError {
  const { status } = response;
  const { code, message } = readTokenError(text, status);
  if (status === 429) {
    return { kind: "rate_limited", retryAtMs: retryAfterAtMs(response.headers, nowMs), message };
  }
  if (status >= 500 || status < 400) {
    return { kind: "unreachable", mayBeSpent: status > 500 && status !== UNAVAILABLE, message };
  }
  if (code === "invalid_grant" || /refresh token not found or invalid/i.test(message)) {
    return { kind: "invalid_grant", message };
  }
  return { kind: "refused", status, message };
}

/** Failures come as OAuth errors, or in the API's envelope. */
function readTokenError(text: string, status: number): { code: string; message: string } {
  const body = parseJson(text) as
    | { error?: string | { type?: string; message?: string }; error_description?: string }
    | null
    | undefined;
  const error = body?.error;
  if (typeof error === "string") {
    return { code: error, message: bounded(body?.error_description ?? error) };
  }
  return {
    code: typeof error?.type === "string" ? error.type : "",
    message: bounded(
      typeof error?.message === "string" ? error.message : `the token endpoint answered ${status}`,
    ),
  };
}

function bounded(message: unknown): string {
  return String(message).slice(0, MESSAGE_MAX_CHARS);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function randomText(): string {
  return toBase64Url(crypto.getRandomValues(new Uint8Array(RANDOM_BYTES)));
}
