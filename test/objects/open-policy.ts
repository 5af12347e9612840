import { UNLIMITED } from "../../src/keys/key-limits.ts";
import type { KeyPolicy } from "../../src/keys/key-record.ts";

/** Which secret the tests show. */
export const MARK = "0123456789abcdef";

/** A key without any limit. */
export const OPEN: KeyPolicy = {
  enabled: true,
  expiresAtMs: null,
  activeForMs: null,
  revokedAtMs: null,
  deletedAtMs: null,
  models: { allowed: null, denied: [] },
  limits: UNLIMITED,
  secret: { mark: MARK, previous: null },
  version: 1,
};
