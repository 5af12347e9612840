import { setTimeout as sleep } from "node:timers/promises";
import { ForwardProxyProcess } from "../../fixtures/egress/forward-proxy.ts";
import { SocksProxy } from "../../fixtures/egress/proxies.ts";
import { TlsFront } from "../../fixtures/egress/tls-front.ts";
import { settledPort } from "../../fixtures/settled-port.ts";
import { Stage, setUp } from "../stage.ts";
import { faultGroup } from "./row.ts";

const KILLS = 2;

/** A relay all of whose accounts go through a proxy of their own. */
class ProxiedStage extends Stage {
  readonly forwardProxy: ForwardProxyProcess;
  readonly #closeRest: () => Promise<unknown>;

  constructor(
    forwardProxy: ForwardProxyProcess,
    parts: ConstructorParameters<typeof Stage>[0],
    closeRest: () => Promise<unknown>,
  ) {
    super(parts);
    this.forwardProxy = forwardProxy;
    this.#closeRest = closeRest;
  }

  static override async open(): Promise<ProxiedStage> {
    const fakePort = await settledPort();
    const front = await TlsFront.start(fakePort);
    const proxy = await SocksProxy.start();
    const forwardProxy = await ForwardProxyProcess.start([front.origin]);
    const vars = {
      ...forwardProxy.vars,
      ANTHROPIC_API_URL: front.origin,
      OAUTH_TOKEN_URL: `${front.origin}/v1/oauth/token`,
    };
    const account = { proxy: proxy.settings };
    const parts = await setUp({ relay: { fake: { port: fakePort }, vars }, account });
    return new ProxiedStage(forwardProxy, parts, () =>
      Promise.all([forwardProxy.kill(), proxy.stop(), front.close()]),
    );
  }

  override async close(): Promise<void> {
    await super.close();
    await this.#closeRest();
  }
}

export const forwardProxyFaults = faultGroup(ProxiedStage.open, [
  {
    name: `forward proxy killed and started ${KILLS} times`,
    allowed: ["refused", "told", "broken"],
    strike: async ({ forwardProxy }, forMs) => {
      for (let kill = 0; kill < KILLS; kill += 1) {
        await forwardProxy.kill();
        await sleep(forMs / KILLS / 2);
        await forwardProxy.start();
        await sleep(forMs / KILLS / 2);
      }
    },
  },
]);
