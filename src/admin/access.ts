import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from "jose";
import { type AccessConfig, type AccessIdentity, type Role, roleOf } from "./access-config.ts";

/** What Cloudflare Access signs with. Pinned: no other algorithm, and never none. */
const ALGORITHM = "RS256";
const CERTS_PATH = "/cdn-cgi/access/certs";
/** The clocks of two of Cloudflare's machines differ by less. */
const CLOCK_TOLERANCE_S = 5;
/** Keys are used so long without asking for them again; Cloudflare rotates every six weeks. */
const KEYS_FRESH_MS = 60 * 60_000;
/** A token with an unknown key makes the relay ask anew, but no more often than so. */
const KEYS_COOL_DOWN_MS = 30_000;
const KEYS_ANSWER_MAX_MS = 3_000;

export type AccessCheck =
  | { kind: "signed_in"; name: string; role: Role; sessionId: string; expiresAtMs: number }
  /** Signature, issuer, audience or time is wrong. */
  | { kind: "refused" }
  /** Access let them in, and no list of this relay has them. */
  | { kind: "no_role"; name: string }
  /** The team's keys could not be had, so nothing can be said. */
  | { kind: "unavailable" };

/** Verifies what Cloudflare Access says of a request. One an isolate: it keeps the team's keys. */
export class AccessGate {
  readonly #config: AccessConfig;
  readonly #keys: ReturnType<typeof createRemoteJWKSet>;

  constructor(config: AccessConfig, coolDownMs = KEYS_COOL_DOWN_MS) {
    this.#config = config;
    this.#keys = createRemoteJWKSet(new URL(config.issuer + CERTS_PATH), {
      cacheMaxAge: KEYS_FRESH_MS,
      cooldownDuration: coolDownMs,
      timeoutDuration: KEYS_ANSWER_MAX_MS,
    });
  }

  /** @param token of the header, which anybody can send: only its signature counts */
  async check(token: string): Promise<AccessCheck> {
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(token, this.#keys, {
        algorithms: [ALGORITHM],
        issuer: this.#config.issuer,
        audience: this.#config.audience,
        requiredClaims: ["sub", "exp", "iat"],
        clockTolerance: CLOCK_TOLERANCE_S,
      }));
    } catch (error) {
      return { kind: isAboutToken(error) ? "refused" : "unavailable" };
    }
    const who = identityOf(payload);
    const name = who.email ?? payload.sub ?? "";
    const role = roleOf(this.#config, who);
    if (role === null) return { kind: "no_role", name };
    return {
      kind: "signed_in",
      name,
      role,
      // Access has no id of a session: the same login has the same subject and beginning.
      sessionId: `access:${payload.sub}:${payload.iat}`,
      expiresAtMs: (payload.exp ?? 0) * 1000,
    };
  }
}

/** What fails is either the token or the way to the keys; the latter is nobody's wrong token. */
function isAboutToken(error: unknown): boolean {
  return (
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWTExpired ||
    error instanceof errors.JWTClaimValidationFailed ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JOSEAlgNotAllowed ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  );
}

/** Groups stand in the token where the identity provider's claim is passed on, bare or under custom. */
function identityOf(payload: JWTPayload): AccessIdentity {
  const custom = payload.custom as { groups?: unknown } | undefined;
  const groups = [payload.groups, custom?.groups].flatMap((given) =>
    Array.isArray(given) ? given.filter((group) => typeof group === "string") : [],
  );
  return { email: typeof payload.email === "string" ? payload.email : null, groups };
}
