import type { Session } from "../session.ts";
import { type Answer, call } from "./client.ts";

export function readSession(signal?: AbortSignal): Promise<Answer<Session>> {
  return call("GET", "/session", signal === undefined ? {} : { signal });
}

export function signIn(username: string, password: string): Promise<Answer<Session>> {
  return call("POST", "/login", { body: { username, password } });
}

export function signOut(): Promise<Answer<{ signOutUrl: string | null }>> {
  return call("POST", "/logout");
}
