import type { AccountCredential } from "../../api/accounts.ts";

/** The ways that need no browser. */
export type SecretWay = "apiKey" | "setupToken" | "pasted";

/**
 * What the relay takes as an account's credential.
 *
 * @returns null where it is empty, or is not the JSON of a credentials file
 */
export function credentialFrom(way: SecretWay, typed: string): AccountCredential | null {
  const text = typed.trim();
  if (text === "") return null;
  if (way !== "pasted") return { [way]: text };
  const login = loginOf(text);
  return login === null ? null : { claudeAiOauth: login };
}

/** That part of a credentials file, or the part alone. */
function loginOf(text: string): Record<string, unknown> | null {
  try {
    const file = JSON.parse(text) as { claudeAiOauth?: unknown } | null;
    const login = (file?.claudeAiOauth ?? file) as { accessToken?: unknown } | null;
    return typeof login?.accessToken === "string" ? { ...login } : null;
  } catch {
    return null;
  }
}
