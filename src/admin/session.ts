import { getCookie } from "hono/cookie";
import { jwtVerify, SignJWT } from "jose";
import { ADMIN_GATE_NAME } from "../../durable-objects/admin-gate.ts";
import { callObject, remote } from "../durable-call.ts";
import { toHex } from "../keys/key-format.ts";
import type { AccessGate } from "./access.ts";
import { ACCESS_HEADER } from "./access-config.ts";
import type { AdminContext, AdminSession } from "./envelope.ts";

/** A working day; after it the admin signs in again. */
export const SESSION_LIFETIME_S = 12 * 60 * 60;
export const SESSION_COOKIE = "relay_session";
/** Pinned when a session is checked: no other algorithm, and never none. */
const ALGORITHM = "HS256";
const ISSUER = "claude-edge-relay";
const AUDIENCE = "admin";
const PASSWORD_MARK_CHARS = 16;

const encoder = new TextEncoder();

/** Signs a session. It ends by itself, by signing out, or when the password is changed. */
export async function issueSession(
  config: { jwtSecret: string; adminUsername: string; adminPasswordHash: string },
  nowMs: number,
): Promise<{ token: string; expiresAtMs: number }> {
  const issuedAtS = Math.floor(nowMs / 1000);
  const token = await new SignJWT({ pwd: await passwordMark(config.adminPasswordHash) })
    .setProtectedHeader({ alg: ALGORITHM })
    .setSubject(config.adminUsername)
    .setJti(crypto.randomUUID())
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setIssuedAt(issuedAtS)
    .setExpirationTime(issuedAtS + SESSION_LIFETIME_S)
    .sign(encoder.encode(config.jwtSecret));
  return { token, expiresAtMs: (issuedAtS + SESSION_LIFETIME_S) * 1000 };
}

export type SessionRead =
  | { kind: "signed_in"; session: AdminSession }
  | { kind: "none" }
  | { kind: "forbidden_origin" }
  | { kind: "access_refused" }
  | { kind: "access_no_role"; name: string }
  | { kind: "access_unavailable" };

/**
 * The session of a request: by bearer token, else by cookie, else by what Cloudflare Access vouches
 * for. The last two come along by themselves: on a changing request, or on one for a WebSocket, they
 * count only where the browser says that it comes from this very origin.
 */
export async function readSession(c: AdminContext): Promise<SessionRead> {
  const bearer = /^bearer +(.+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
  if (bearer !== undefined) {
    const session = await verify(c, bearer);
    return session === null ? { kind: "none" } : { kind: "signed_in", session };
  }
  const cookie = getCookie(c, SESSION_COOKIE);
  const { access } = c.get("services");
  const assertion = access === null ? undefined : c.req.header(ACCESS_HEADER);
  if (cookie === undefined && assertion === undefined) return { kind: "none" };
  if (needsOrigin(c) && !isSameOrigin(c)) return { kind: "forbidden_origin" };
  const session = cookie === undefined ? null : await verify(c, cookie);
  if (session !== null) return { kind: "signed_in", session };
  return access === null || assertion === undefined
    ? { kind: "none" }
    : byAccess(access, assertion);
}

async function byAccess(access: AccessGate, assertion: string): Promise<SessionRead> {
  const checked = await access.check(assertion);
  switch (checked.kind) {
    case "signed_in": {
      const { kind, ...session } = checked;
      return { kind, session: { ...session, signedInWith: "access" } };
    }
    case "no_role":
      return { kind: "access_no_role", name: checked.name };
    case "refused":
      return { kind: "access_refused" };
    case "unavailable":
      return { kind: "access_unavailable" };
  }
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
      // There is one password, and it is the admin's: viewers come over Cloudflare Access.
      role: "admin",
      signedInWith: "password",
      sessionId: payload.jti ?? "",
      expiresAtMs: (payload.exp ?? 0) * 1000,
    };
  } catch {
    return null;
  }
  const ended = await callObject(
    () => adminGate(c.env),
    (gate) => gate.isEnded(session.sessionId),
  );
  return ended ? null : session;
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
