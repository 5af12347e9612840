import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey, jwtVerify } from "jose";
import { toHex } from "../keys/key-format.ts";
import type { AccessConfig } from "./access-config.ts";

/** Where Access puts its token, in every request that it lets through. Anyone else can put one there too. */
export const ACCESS_HEADER = "cf-access-jwt-assertion";
/** On the host that Access protects: ends the session of every application there is. */
export const ACCESS_SIGN_OUT_PATH = "/cdn-cgi/access/logout";
const KEYS_PATH = "/cdn-cgi/access/certs";
/** What Access signs with. Pinned: no other algorithm, never none, and no key taken for a secret. */
const ALGORITHM = "RS256";
/** A key that was withdrawn is believed no longer than this. Access changes keys every six weeks. */
const KEEP_KEYS_MS = 10 * 60_000;
/** Tokens that name a key nobody has cannot make the relay ask for the keys more often. */
const UNKNOWN_KEY_COOL_DOWN_MS = 30_000;
/** Where the keys cannot be had, they are not asked for again so soon. */
const FAILED_COOL_DOWN_MS = 5_000;
const FETCH_TIMEOUT_MS = 5_000;
/** How far the clocks of Access and of this machine may be apart. */
const CLOCK_TOLERANCE_S = 30;
const SESSION_ID_CHARS = 32;

export interface AccessIdentity {
  email: string;
  /** The same for every request with this token, and known to nobody who has not seen it. */
  sessionId: string;
  expiresAtMs: number;
}

/** Why a token lets nobody in. All but `not_genuine` are said of tokens that the team did sign. */
export type AccessRefusal =
  | "not_genuine"
  | "expired"
  | "not_yet_valid"
  | "wrong_audience"
  | "wrong_issuer"
  | "no_email";

export type AccessReading =
  | { kind: "known"; identity: AccessIdentity }
  | { kind: "refused"; reason: AccessRefusal }
  | { kind: "keys_unavailable"; cause: unknown };

/** The team's keys could not be read, so nothing can be said of any token. */
class KeysUnavailable extends Error {
  override readonly name = "KeysUnavailable";
}

const keysOf = new WeakMap<AccessConfig, JWTVerifyGetKey>();

/**
 * Checks a token of Cloudflare Access: its signature by the team's keys, who made it, for which
 * application, and its times.
 */
export async function readAccessToken(config: AccessConfig, token: string): Promise<AccessReading> {
  let keys = keysOf.get(config);
  if (keys === undefined) {
    keys = teamKeys(config.teamOrigin);
    keysOf.set(config, keys);
  }
  try {
    const { payload } = await jwtVerify(token, keys, {
      algorithms: [ALGORITHM],
      issuer: config.teamOrigin,
      audience: config.audiences,
      requiredClaims: ["exp", "iat"],
      clockTolerance: CLOCK_TOLERANCE_S,
    });
    const { email, exp = 0 } = payload;
    // A service token names no person.
    if (typeof email !== "string" || !email.includes("@")) {
      return { kind: "refused", reason: "no_email" };
    }
    const sessionId = await sessionIdOf(token);
    return { kind: "known", identity: { email, sessionId, expiresAtMs: exp * 1000 } };
  } catch (error) {
    if (error instanceof KeysUnavailable) {
      return { kind: "keys_unavailable", cause: error.cause };
    }
    if (error instanceof errors.JOSEError) return { kind: "refused", reason: reasonOf(error) };
    throw error;
  }
}

/** The public keys of a team, asked for when they are needed, and kept for a while. */
function teamKeys(teamOrigin: string): JWTVerifyGetKey {
  let askAgainAtMs = 0;
  const remoteKeys = createRemoteJWKSet(new URL(teamOrigin + KEYS_PATH), {
    cacheMaxAge: KEEP_KEYS_MS,
    cooldownDuration: UNKNOWN_KEY_COOL_DOWN_MS,
    timeoutDuration: FETCH_TIMEOUT_MS,
    [customFetch]: (url, options) => {
      if (Date.now() < askAgainAtMs) throw new Error("the keys could not be read a moment ago");
      return fetch(url, options);
    },
  });
  return async (header, token) => {
    try {
      return await remoteKeys(header, token);
    } catch (error) {
      const isTheTokens =
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys ||
        error instanceof errors.JOSENotSupported;
      if (isTheTokens) throw error;
      if (Date.now() >= askAgainAtMs) askAgainAtMs = Date.now() + FAILED_COOL_DOWN_MS;
      throw new KeysUnavailable("the keys of Access cannot be read", { cause: error });
    }
  };
}

function reasonOf(error: InstanceType<typeof errors.JOSEError>): AccessRefusal {
  if (error instanceof errors.JWTExpired) return "expired";
  if (!(error instanceof errors.JWTClaimValidationFailed)) return "not_genuine";
  switch (error.claim) {
    case "aud":
      return "wrong_audience";
    case "iss":
      return "wrong_issuer";
    case "nbf":
      return "not_yet_valid";
    default:
      return "not_genuine";
  }
}

/** Of what is signed: the signature itself can be written in more ways than one. */
async function sessionIdOf(token: string): Promise<string> {
  const signed = new TextEncoder().encode(token.slice(0, token.lastIndexOf(".")));
  const digest = await crypto.subtle.digest("SHA-256", signed);
  return `access-${toHex(new Uint8Array(digest)).slice(0, SESSION_ID_CHARS)}`;
}
