import { getCookie } from "hono/cookie";
import { jwtVerify, SignJWT } from "jose";
import { ADMIN_GATE_NAME } from "../../durable-objects/admin-gate.ts";
import { callObject, remote } from "../durable-call.ts";
import { toHex } from "../keys/key-format.ts";
import { type AccessConfig, type Role, roleOf } from "./access-config.ts";
import { ACCESS_HEADER, type AccessRefusal, readAccessToken } from "./access-token.ts";
import type { AdminContext } from "./envelope.ts";

/** A working day; after it the admin signs in again. */
export const SESSION_LIFETIME_S = 12 * 60 * 60;
export const SESSION_COOKIE = "relay_session";
/** Pinned when a session is checked: no other algorithm, and never none. */
const ALGORITHM = "HS256";
const ISSUER = "claude-edge-relay";
const AUDIENCE = "admin";
const PASSWORD_MARK_CHARS = 16;

const encoder = new TextEncoder();

export interface AdminSession {
  name: string;
  /** How they signed in: with the relay's own password, or to Cloudflare Access in front of it. */
  signedInWith: "password" | "access";
  role: Role;
  sessionId: string;
  expiresAtMs: number;
}

/** What a request's credentials come to. */
export type SessionReading =
  | { kind: "signed_in"; session: AdminSession }
  /** @param accessRefusal where a token of Access came, and was the only credential */
  | { kind: "none"; accessRefusal: AccessRefusal | "not_in_use" | "signed_out" | null }
  | { kind: "forbidden_origin" }
  /** Access knows who it is, and no list of the relay's does. */
  | { kind: "no_role"; email: string }
  | { kind: "access_unavailable"; cause: unknown };

/** Signs a session. It ends by itself, by signing out, or when the password is changed. */
export async function issueSession(
  config: { jwtSecret: string; adminUsername: string; adminPasswordHash: string },
  nowMs: number,
): Promise<{ token: string; session: AdminSession }> {
  const issuedAtS = Math.floor(nowMs / 1000);
  const name = config.adminUsername;
  const sessionId = crypto.randomUUID();
  const token = await new SignJWT({ pwd: await passwordMark(config.adminPasswordHash) })
    .setProtectedHeader({ alg: ALGORITHM })
    .setSubject(name)
    .setJti(sessionId)
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setIssuedAt(issuedAtS)
    .setExpirationTime(issuedAtS + SESSION_LIFETIME_S)
    .sign(encoder.encode(config.jwtSecret));
  const expiresAtMs = (issuedAtS + SESSION_LIFETIME_S) * 1000;
  return {
    token,
    session: { name, signedInWith: "password", role: "admin", sessionId, expiresAtMs },
  };
}

/**
 * The session of a request: by bearer token, else by cookie, else by what Cloudflare Access says. A
 * browser sends the latter two by itself, so on a changing request, or on one for a WebSocket, they
 * count only where it says that the request comes from this very origin.
 */
export async function readSession(c: AdminContext): Promise<SessionReading> {
  const bearer = /^bearer +(.+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
  if (bearer !== undefined) return signedInOrNone(await verify(c, bearer));
  const cookie = getCookie(c, SESSION_COOKIE);
  const assertion = c.req.header(ACCESS_HEADER);
  const { access } = c.get("services").config;
  const isSentByItself = cookie !== undefined || (assertion !== undefined && access !== null);
  if (isSentByItself && needsOrigin(c) && !isSameOrigin(c)) return { kind: "forbidden_origin" };
  const session = cookie === undefined ? null : await verify(c, cookie);
  if (session !== null || assertion === undefined) return signedInOrNone(session);
  if (access === null) return { kind: "none", accessRefusal: "not_in_use" };
  return readAccessSession(c, access, assertion);
}

function signedInOrNone(session: AdminSession | null): SessionReading {
  return session === null ? { kind: "none", accessRefusal: null } : { kind: "signed_in", session };
}

async function readAccessSession(
  c: AdminContext,
  access: AccessConfig,
  assertion: string,
): Promise<SessionReading> {
  const read = await readAccessToken(access, assertion);
  if (read.kind === "keys_unavailable") return { kind: "access_unavailable", cause: read.cause };
  if (read.kind === "refused") return { kind: "none", accessRefusal: read.reason };
  const { email, sessionId, expiresAtMs } = read.identity;
  const role = roleOf(access, email);
  if (role === null) return { kind: "no_role", email };
  if (await isEnded(c, sessionId)) return { kind: "none", accessRefusal: "signed_out" };
  const session = { name: email, signedInWith: "access", role, sessionId, expiresAtMs } as const;
  return { kind: "signed_in", session };
}

async function verify(c: AdminContext, token: string): Promise<AdminSession | null> {
  const { config } = c.get("services");
  let session: AdminSession;
  try {
    const { payload } = await jwtVerify(token, encoder.encode(config.jwtSecret), {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      audience: AUDIENCE,
      requiredClaims: ["sub", "jti", "exp"],
    });
    if (payload.pwd !== (await passwordMark(config.adminPasswordHash))) return null;
    session = {
      name: payload.sub ?? "",
      signedInWith: "password",
      role: "admin",
      sessionId: payload.jti ?? "",
      expiresAtMs: (payload.exp ?? 0) * 1000,
    };
  } catch {
    return null;
  }
  return (await isEnded(c, session.sessionId)) ? null : session;
}

/** Whether it was ended before its time. */
function isEnded(c: AdminContext, sessionId: string): Promise<boolean> {
  return callObject(
    () => adminGate(c.env),
    (gate) => gate.isEnded(sessionId),
  );
}

export function adminGate(env: Env) {
  return remote(env.ADMIN_GATE, ADMIN_GATE_NAME);
}

/** Changes with the password, and tells nothing of it. */
async function passwordMark(passwordHash: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", encoder.encode(passwordHash));
  return toHex(new Uint8Array(digest)).slice(0, PASSWORD_MARK_CHARS);
}

/** Other sites' pages may not change anything; and what a WebSocket says, they could read. */
function needsOrigin(c: AdminContext): boolean {
  const { method } = c.req;
  return (method !== "GET" && method !== "HEAD") || isForWebSocket(c);
}

export function isForWebSocket(c: AdminContext): boolean {
  return c.req.header("upgrade")?.toLowerCase() === "websocket";
}

function isSameOrigin(c: AdminContext): boolean {
  const origin = c.req.header("origin");
  return origin !== undefined && origin === new URL(c.req.url).origin;
}
