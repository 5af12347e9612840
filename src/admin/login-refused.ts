import type { LoginRefusal } from "../../durable-objects/admin-gate.ts";
import { type AdminContext, failure } from "./envelope.ts";

const SECOND_MS = 1_000;

/** A wrong password, or one more than may be tried now. */
export function loginRefused(c: AdminContext, refusal: LoginRefusal): Response {
  c.get("services").log("warn", "admin.login_refused", {
    requestId: c.get("requestId"),
    reason: refusal.kind,
  });
  if (refusal.kind === "wrong_credentials") {
    return failure(c, "login_failed", "Wrong user name or password.");
  }
  const seconds = Math.max(1, Math.ceil((refusal.retryAtMs - Date.now()) / SECOND_MS));
  const message = `Too many wrong passwords from your address. Try again in ${seconds} s.`;
  return failure(c, "login_throttled", message, seconds);
}
