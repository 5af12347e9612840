import type { Egresses } from "./egress.ts";
import { EGRESS_WORDS, EgressFailed, type EgressFaultCode } from "./fault.ts";

const CHECK_TIMEOUT_MS = 10_000;
/** On no list: a forward proxy that takes the relay's token says so, and dials nothing. */
const NO_UPSTREAM = "https://nowhere.invalid/";
const NO_PROXY = { type: "http", host: "nowhere.invalid", port: 1 } as const;
const ACCEPTED: EgressFaultCode = "origin_not_allowed";

export interface ForwardProxyCheck {
  name: string;
  url: string;
  ok: boolean;
  durationMs: number;
  fault: EgressFaultCode | null;
  message: string;
}

/** Shows each forward proxy a token, for an upstream that none may go to. */
export function checkForwardProxies(egress: Egresses): Promise<ForwardProxyCheck[]> {
  return Promise.all(
    egress.forwardProxies.all.map(async ({ name, url }) => {
      const beganAtMs = Date.now();
      const code = await faultOf(egress, name);
      const ok = code === ACCEPTED;
      const { reason, advice } = EGRESS_WORDS[code];
      return {
        name,
        url,
        ok,
        durationMs: Date.now() - beganAtMs,
        fault: ok ? null : code,
        message: ok ? "It answers, and takes the relay's token." : `It fails: ${reason}. ${advice}`,
      };
    }),
  );
}

async function faultOf(egress: Egresses, via: string): Promise<EgressFaultCode> {
  try {
    const { fetch } = egress.of("check", { ...NO_PROXY, via });
    await fetch(NO_UPSTREAM, { signal: AbortSignal.timeout(CHECK_TIMEOUT_MS) });
  } catch (error) {
    if (error instanceof EgressFailed) return error.code;
    return "forward_proxy_unreachable";
  }
  return "forward_proxy_not_understood";
}
