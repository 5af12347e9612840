import { fail, ok, type Result } from "../result.ts";
import type { Fetch } from "../upstream/oauth.ts";

/** The proxy of one account. Only ever stored sealed, and shown without its password. */
export interface AccountProxy {
  type: "socks5" | "http" | "https";
  host: string;
  port: number;
  username?: string | undefined;
  password?: string | undefined;
}

/** Why an account's traffic has no way out. It never falls back to going direct. */
export interface NoEgress {
  kind: "no_egress";
  message: string;
}

/** Whether this version can carry the traffic of accounts that have a proxy of their own. */
export const canReachProxies = false;

/** The way upstream for an account: direct, or refused where it has a proxy that nothing can dial. */
export function egressFor(hasProxy: boolean): Result<Fetch, NoEgress> {
  if (!hasProxy) return ok((input, init) => fetch(input, init));
  return fail({
    kind: "no_egress",
    message:
      "This account has a proxy, and this version of the relay cannot dial it yet. Its traffic never goes direct: remove the proxy, or leave the account out.",
  });
}
