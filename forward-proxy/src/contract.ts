import { EncryptJWT, jwtDecrypt } from "jose";

/**
 * The contract between the relay's Worker and the forward proxy; both sides import this file.
 *
 * A request to the forward proxy is the request upstream, with one header more: a short-lived
 * encrypted token that says where it goes and through which proxy. An answer is upstream's, with one
 * header more that says so; where the forward proxy itself answers, the header says that instead.
 */
export const TOKEN_HEADER = "x-forward-proxy-token";
/** `upstream`, or `own` for an answer that the forward proxy made itself. */
export const ANSWER_HEADER = "x-forward-proxy-answer";
/** A `FaultCode`, on its own answers only. */
export const ERROR_HEADER = "x-forward-proxy-error";
/** How long each leg took, in the shape of `Server-Timing`; only where the token asks for it. */
export const TIMING_HEADER = "x-forward-proxy-timing";
/** Every header of this contract begins so, and none goes further than the two sides. */
export const HEADER_PREFIX = "x-forward-proxy-";

/** What the forward proxy says of a request that it could not carry, each with its status. */
export const FAULT_STATUS = {
  /** No token, or one that is damaged, too old, used before, or sealed under another secret. */
  token_refused: 401,
  origin_not_allowed: 403,
  /** The account's proxy has an address that is not public. */
  proxy_not_allowed: 403,
  request_malformed: 400,
  headers_too_large: 431,
  overloaded: 503,
  draining: 503,
  proxy_unreachable: 502,
  proxy_tls_failed: 502,
  proxy_auth_failed: 502,
  proxy_refused: 502,
  /** What listens there is no proxy of this kind. */
  proxy_not_understood: 502,
  proxy_cannot_reach_upstream: 502,
  upstream_tls_failed: 502,
  /** Upstream closed the connection before it answered, or its answer could not be read. */
  upstream_broke: 502,
  timed_out: 504,
} as const;

export type FaultCode = keyof typeof FAULT_STATUS;

export function isFaultCode(text: string | null): text is FaultCode {
  return text !== null && Object.hasOwn(FAULT_STATUS, text);
}

/** The proxy of one account, as far as it has to be known to be dialled. */
export interface ProxyTarget {
  type: "socks5" | "http" | "https";
  host: string;
  port: number;
  username?: string | undefined;
  password?: string | undefined;
}

/** What a token grants: one request. */
export interface Grant {
  /** Scheme, host and port of upstream. */
  origin: string;
  proxy: ProxyTarget;
  /** Dial anew and tell how long each leg took: for tests of the way. */
  fresh?: boolean | undefined;
}

/** A grant out of a token, with what shows whether the token was used before. */
export interface OpenedToken extends Grant {
  id: string;
  issuedAtMs: number;
  expiresAtMs: number;
}

/** Longer than a request waits for a connection; short enough to remember every token meanwhile. */
export const TOKEN_LIFETIME_S = 60;
/** How far the clocks of the two sides may be apart. */
export const CLOCK_SKEW_S = 5;

const AUDIENCE = "forward-proxy";
const HKDF_SALT = "claude-edge-relay";
const HKDF_INFO = "forward proxy tokens";
const SECOND_MS = 1_000;

/** The key of the tokens: HKDF-SHA-256 of `FORWARD_PROXY_SECRET`. */
export async function tokenKey(secret: string): Promise<CryptoKey> {
  const encoder = new TextEncoder();
  const material = await crypto.subtle.importKey("raw", encoder.encode(secret), "HKDF", false, [
    "deriveKey",
  ]);
  const hkdf = {
    name: "HKDF",
    hash: "SHA-256",
    salt: encoder.encode(HKDF_SALT),
    info: encoder.encode(HKDF_INFO),
  };
  return crypto.subtle.deriveKey(hkdf, material, { name: "AES-GCM", length: 256 }, false, [
    "encrypt",
    "decrypt",
  ]);
}

/** A JWE (dir, A256GCM) that grants one request. */
export function sealToken(
  key: CryptoKey,
  { origin, proxy, fresh }: Grant,
  nowMs: number,
): Promise<string> {
  const nowS = Math.floor(nowMs / SECOND_MS);
  return new EncryptJWT({ origin, proxy: { ...proxy }, ...(fresh ? { fresh } : {}) })
    .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
    .setAudience(AUDIENCE)
    .setJti(crypto.randomUUID())
    .setIssuedAt(nowS)
    .setExpirationTime(nowS + TOKEN_LIFETIME_S)
    .encrypt(key);
}

/** @returns what the token grants, or null where it is damaged, too old or of another secret */
export async function openToken(
  key: CryptoKey,
  token: string,
  nowMs: number,
): Promise<OpenedToken | null> {
  try {
    const { payload } = await jwtDecrypt(token, key, {
      keyManagementAlgorithms: ["dir"],
      contentEncryptionAlgorithms: ["A256GCM"],
      audience: AUDIENCE,
      requiredClaims: ["jti", "iat", "exp"],
      maxTokenAge: TOKEN_LIFETIME_S,
      clockTolerance: CLOCK_SKEW_S,
      currentDate: new Date(nowMs),
    });
    const { jti: id, iat, exp, origin, proxy, fresh } = payload;
    if (id === undefined || iat === undefined || exp === undefined) return null;
    if (typeof origin !== "string" || !isProxyTarget(proxy)) return null;
    return {
      id,
      issuedAtMs: iat * SECOND_MS,
      expiresAtMs: (exp + CLOCK_SKEW_S) * SECOND_MS,
      origin,
      proxy,
      fresh: fresh === true,
    };
  } catch {
    return null;
  }
}

function isProxyTarget(value: unknown): value is ProxyTarget {
  if (typeof value !== "object" || value === null) return false;
  const { type, host, port, username, password } = value as Record<string, unknown>;
  const isText = (field: unknown) => field === undefined || typeof field === "string";
  return (
    (type === "socks5" || type === "http" || type === "https") &&
    typeof host === "string" &&
    host !== "" &&
    Number.isInteger(port) &&
    isText(username) &&
    isText(password)
  );
}
