import type { UnsealError } from "../../src/accounts/vault.ts";
import type { NotServing } from "./contract.ts";

/** In words: why an account hands out no credential, or no newer one. */

export const UNKNOWN_ACCOUNT: NotServing = {
  kind: "account_unknown",
  message: "There is no such account.",
  retryAtMs: null,
};

export function needsRelogin(detail: string): NotServing {
  const message = `Its login has ended: log in again. ${detail}`.trim();
  return { kind: "needs_relogin", message, retryAtMs: null };
}

export function unsealFailure(error: UnsealError): NotServing {
  return error.kind === "other_key"
    ? {
        kind: "other_encryption_key",
        message:
          "Its credential was stored under another ENCRYPTION_KEY. Put that key back, or into ENCRYPTION_KEY_PREVIOUS.",
        retryAtMs: null,
      }
    : {
        kind: "damaged_credential",
        message: "Its stored credential cannot be read. Add the account again.",
        retryAtMs: null,
      };
}

/** A refresh that got no answer is not tried again while the access token serves. */
export function refreshUnsettled(begunAtMs: number, expiresAtMs: number): NotServing {
  const message = `The refresh that began at ${iso(begunAtMs)} got no answer and may have used up the refresh token; using it twice would end the login. The access token serves until ${iso(expiresAtMs)}, then the relay tries once more. Log in again to have new tokens now.`;
  return { kind: "refresh_failed", message, retryAtMs: expiresAtMs };
}

/** What a refused refresh means where an earlier one got no answer. */
export function spentUnanswered(reason: string, begunAtMs: number): string {
  return `${reason.replace(/\.$/, "")}: the refresh that began at ${iso(begunAtMs)} got no answer, and has most likely used up the refresh token.`;
}

export function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}
