import { describeError } from "../background.ts";
import { ACCESS_SIGN_OUT_PATH, type AccessRefusal } from "./access-token.ts";
import { type AdminContext, failure } from "./envelope.ts";
import type { AdminSession, SessionReading } from "./session.ts";

/** How soon it may be worth asking Access for its keys again. */
const KEYS_RETRY_S = 5;
const TO_SIGN_IN = "Sign in first: POST /admin/login. Sessions last 12 hours.";

/** What a token of Access came to, in words for who sent it. */
const REFUSED_IN_WORDS: Record<AccessRefusal | "not_in_use" | "signed_out", string> = {
  not_in_use: `A token of Cloudflare Access came, and this relay does not use Access: its operator can set ACCESS_TEAM_DOMAIN. ${TO_SIGN_IN}`,
  not_genuine: `The token of Cloudflare Access is not one that this relay's team signed. ${TO_SIGN_IN}`,
  expired: "Your session at Cloudflare Access has ended. Load the page again to sign in there.",
  signed_out: `You signed out of this session. To sign in again, go to ${ACCESS_SIGN_OUT_PATH} first, so that Cloudflare Access forgets it too.`,
  not_yet_valid:
    "The token of Cloudflare Access is not good yet: the clock of this relay's machine is behind. Its operator sets it.",
  wrong_audience:
    "Cloudflare Access let you in to another application than this relay knows: its operator sets ACCESS_AUDIENCE to the AUD tag of this one.",
  wrong_issuer:
    "The token of Cloudflare Access is of another team: this relay's operator sets ACCESS_TEAM_DOMAIN.",
  no_email: `The token of Cloudflare Access names no person, as those of services do, and so has no role here. ${TO_SIGN_IN}`,
};

/** Who is signed in, how, and what they may do. */
export function shownSession(session: AdminSession) {
  const { name, signedInWith, role, expiresAtMs } = session;
  const expiresAt = new Date(expiresAtMs).toISOString();
  return { username: name, signedInWith, role, expiresAt, signOutUrl: signOutUrlOf(session) };
}

/** Where a browser goes once it has signed out here; null: nowhere. */
export function signOutUrlOf({ signedInWith }: AdminSession): string | null {
  return signedInWith === "access" ? ACCESS_SIGN_OUT_PATH : null;
}

/** The refusal of a request that nobody is signed in with. */
export function notSignedIn(
  c: AdminContext,
  read: Exclude<SessionReading, { kind: "signed_in" }>,
): Response {
  const { log } = c.get("services");
  const requestId = c.get("requestId");
  switch (read.kind) {
    case "none": {
      const { accessRefusal } = read;
      if (accessRefusal === null) return failure(c, "not_signed_in", TO_SIGN_IN);
      log("warn", "admin.access_refused", { requestId, reason: accessRefusal });
      return failure(c, "not_signed_in", REFUSED_IN_WORDS[accessRefusal]);
    }
    case "forbidden_origin": {
      const message = "This request came from another site than the panel's.";
      return failure(c, "forbidden_origin", message);
    }
    case "no_role": {
      const { email } = read;
      log("warn", "admin.access_refused", { requestId, reason: read.kind, actor: email });
      const message = `Cloudflare Access knows you as ${email}, and this relay gives that address no role. Whoever runs it can name you in ACCESS_ADMINS or ACCESS_VIEWERS.`;
      return failure(c, "no_role", message);
    }
    case "access_unavailable": {
      log("error", "admin.access_unavailable", { requestId, error: describeError(read.cause) });
      const message =
        "The keys of Cloudflare Access cannot be read now, so it cannot be told who you are. Try again, or sign in with the password: POST /admin/login.";
      return failure(c, "unavailable", message, KEYS_RETRY_S);
    }
  }
}
