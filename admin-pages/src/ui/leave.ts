import { signOut } from "../api/session.ts";
import { shellWords } from "../i18n/shell.ts";
import { type Session, signedOut } from "../session.ts";
import { say, sayFailed } from "./toasts.tsx";

/** Ends the session, and goes on to where something in front of the relay signs out, too. */
export async function leave(session: Session): Promise<void> {
  const left = await signOut();
  if (!left.ok && left.error.code !== "not_signed_in") return sayFailed(left.error);
  const next = left.ok ? left.value.signOutUrl : session.signOutUrl;
  if (next !== null) return window.location.assign(next);
  signedOut();
  say(shellWords().signedOut);
}
