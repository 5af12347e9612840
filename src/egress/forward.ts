import {
  ANSWER_HEADER,
  ERROR_HEADER,
  type FaultCode,
  isFaultCode,
  sealToken,
  TIMING_HEADER,
  TOKEN_HEADER,
} from "../../forward-proxy/src/contract.ts";
import type { AccountProxy, Egress, Walk } from "./egress.ts";
import { EgressFailed, type EgressFaultCode, type Leg } from "./fault.ts";
import type { ForwardProxies, ForwardProxy } from "./forward-proxies.ts";

/** The forward proxy is at fault, nothing was sent on, and another one may do better. */
const GOES_ELSEWHERE: ReadonlySet<FaultCode> = new Set<FaultCode>([
  "token_refused",
  "overloaded",
  "draining",
]);

export interface ForwardDependencies {
  forwardProxies: ForwardProxies;
  key: () => Promise<CryptoKey>;
  fetch: (input: string, init: RequestInit) => Promise<Response>;
  now: () => number;
}

/** The way of one account through a forward proxy and the account's own. */
export class ForwardEgress implements Egress {
  readonly #deps: ForwardDependencies;
  readonly #accountId: string;
  readonly #proxy: AccountProxy;

  constructor(deps: ForwardDependencies, accountId: string, proxy: AccountProxy) {
    this.#deps = deps;
    this.#accountId = accountId;
    this.#proxy = proxy;
  }

  fetch = async (input: string, init: RequestInit): Promise<Response> =>
    (await this.#send(input, init, false)).answer;

  walk = async (input: string, init: RequestInit): Promise<Walk> => {
    const beganAtMs = this.#deps.now();
    const { answer, forwardProxy } = await this.#send(input, init, true);
    const legs = legsOf(answer.headers, this.#deps.now() - beganAtMs);
    return { answer, legs, forwardProxy: forwardProxy.name };
  };

  /** @throws EgressFailed where the way failed; else what `fetch` throws, where the caller gave up */
  async #send(
    input: string,
    init: RequestInit,
    fresh: boolean,
  ): Promise<{ answer: Response; forwardProxy: ForwardProxy }> {
    const { forwardProxies } = this.#deps;
    const via = this.#proxy.via ?? null;
    const order = forwardProxies.orderFor(this.#accountId, via);
    let failed = new EgressFailed(
      via === null || forwardProxies.all.length === 0
        ? "forward_proxy_missing"
        : "forward_proxy_unknown",
      null,
    );
    for (const forwardProxy of order) {
      const asked = await this.#ask(forwardProxy, input, init, fresh);
      if (asked instanceof Response) return { answer: asked, forwardProxy };
      failed = asked;
      // What may have been sent on is not sent again: that is for the caller to decide.
      if (!isFaultCode(failed.code) || !GOES_ELSEWHERE.has(failed.code)) break;
    }
    throw failed;
  }

  async #ask(
    forwardProxy: ForwardProxy,
    input: string,
    init: RequestInit,
    fresh: boolean,
  ): Promise<Response | EgressFailed> {
    const { forwardProxies, key, fetch, now } = this.#deps;
    const { origin, pathname, search } = new URL(input);
    const { via, ...proxy } = this.#proxy;
    const headers = new Headers(init.headers);
    headers.set(TOKEN_HEADER, await sealToken(await key(), { origin, proxy, fresh }, now()));
    const beganAtMs = now();
    let answer: Response;
    try {
      answer = await fetch(forwardProxy.url + pathname + search, {
        ...init,
        headers,
        redirect: "manual",
      });
    } catch (error) {
      // Given up by whoever asked: that says nothing of the way.
      if (init.signal?.aborted) throw error;
      forwardProxies.failed(forwardProxy);
      return new EgressFailed("forward_proxy_unreachable", forwardProxy.name);
    }
    if (answer.headers.get(ANSWER_HEADER) === "upstream") {
      forwardProxies.answered(forwardProxy);
      return answer;
    }
    const code = codeOf(answer.headers);
    const isItsOwn = code === "forward_proxy_not_understood" || GOES_ELSEWHERE.has(code);
    if (isItsOwn) forwardProxies.failed(forwardProxy);
    else forwardProxies.answered(forwardProxy);
    await answer.body?.cancel();
    const legs = fresh ? legsOf(answer.headers, now() - beganAtMs) : [];
    return new EgressFailed(code, forwardProxy.name, legs);
  }
}

function codeOf(
  headers: Headers,
): Extract<EgressFaultCode, FaultCode | "forward_proxy_not_understood"> {
  const code = headers.get(ERROR_HEADER);
  return headers.get(ANSWER_HEADER) === "own" && isFaultCode(code)
    ? code
    : "forward_proxy_not_understood";
}

const LEGS = ["proxy", "tunnel", "tls"] as const;

/**
 * What the forward proxy measured, and what is left of the whole for the way to it and back.
 *
 * @param totalMs from the request to the answer's headers, as the relay saw it
 */
function legsOf(headers: Headers, totalMs: number): Leg[] {
  const measured = new Map<string, number>();
  for (const [, name = "", dur] of (headers.get(TIMING_HEADER) ?? "").matchAll(
    /(\w+);dur=([\d.]+)/g,
  )) {
    measured.set(name, Number(dur));
  }
  const dialled = LEGS.flatMap((name): Leg[] => {
    const ms = measured.get(name);
    return ms === undefined ? [] : [{ name, ms }];
  });
  const dialMs = dialled.reduce((sum, { ms }) => sum + ms, 0);
  const firstByteMs = measured.get("first_byte");
  const beyondMs = firstByteMs ?? dialMs;
  return [
    { name: "forward_proxy", ms: tenths(totalMs - beyondMs) },
    ...dialled,
    ...(firstByteMs === undefined
      ? []
      : [{ name: "first_byte", ms: tenths(firstByteMs - dialMs) } as const]),
  ];
}

/** Whole tenths, as they were measured; a difference of two clocks can come out below zero. */
function tenths(ms: number): number {
  return Math.round(Math.max(0, ms) * 10) / 10;
}
