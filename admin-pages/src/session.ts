import { signal } from "@preact/signals";

export interface Session {
  username: string;
  /** A viewer may look: the relay refuses everything else. */
  role: "admin" | "viewer";
  expiresAt: string;
  /** Where signing out goes on, as something in front has signed in; null: nowhere. */
  signOutUrl: string | null;
}

/** Whether someone is signed in: not known until the relay was asked. */
export type SessionState =
  | { kind: "unknown" }
  | { kind: "signed_out"; hasEnded: boolean }
  | { kind: "signed_in"; session: Session };

export const session = signal<SessionState>({ kind: "unknown" });

export function signedIn(opened: Session): void {
  session.value = { kind: "signed_in", session: opened };
}

/** The relay does not know the session any more, or never had one. The address stays as it is. */
export function sessionEnded(): void {
  const { kind } = session.peek();
  if (kind === "signed_out") return;
  session.value = { kind: "signed_out", hasEnded: kind === "signed_in" };
}

export function signedOut(): void {
  session.value = { kind: "signed_out", hasEnded: false };
}
