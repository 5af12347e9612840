import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Account } from "../../durable-objects/claude-account/account.ts";
import type {
  AccountDependencies,
  NewCredential,
} from "../../durable-objects/claude-account/contract.ts";
import { LATER_SETTINGS, parseRosterRow, type RosterRow } from "../../src/accounts/roster-row.ts";
import { Vault } from "../../src/accounts/vault.ts";
import { Egresses } from "../../src/egress/egress.ts";
import type { ForwardProxy } from "../../src/egress/forward-proxies.ts";

export const KEY = "fedcba9876543210fedcba9876543210";
/** Far ahead: the runtime fires an alarm of the past at once, and the test would not move the clock. */
export const START_MS = Date.UTC(2099, 10, 23, 12, 0, 0);
export const HOUR_MS = 3_600_000;
export const SETTINGS = {
  ...LATER_SETTINGS,
  name: "A",
  description: "",
  tags: [],
  priority: 50,
  enabled: true,
};
export const OAUTH = {
  authorizeUrl: "https://login.example/authorize",
  tokenUrl: "https://login.example/token",
  clientId: "client",
  redirectUri: "https://login.example/callback",
  scopes: "user:inference",
};

export function oauthCredential(patch: Partial<NewCredential> = {}): NewCredential {
  return {
    kind: "oauth",
    access: "access-1",
    refresh: "refresh-1",
    expiresAtMs: START_MS + HOUR_MS,
    scopes: ["user:inference"],
    ...patch,
  };
}

export interface TokenCall {
  grant_type: string;
  refresh_token?: string;
  code?: string;
  code_verifier?: string;
  state?: string;
}

/** An account's core with a clock, a token endpoint and a Fleet that the test moves. */
export class Bench {
  readonly account: Account;
  readonly pushed: RosterRow[] = [];
  readonly removed: string[] = [];
  readonly calls: TokenCall[] = [];
  /** Who was asked for each of them. */
  readonly hosts: string[] = [];
  readonly logged: string[] = [];
  nowMs = START_MS;
  fleetIsDown = false;
  /** What the token endpoint answers; by default it rotates. */
  answer: (call: TokenCall, count: number) => Response | Promise<Response> = (_, count) =>
    Response.json({
      access_token: `access-${count + 1}`,
      refresh_token: `refresh-${count + 1}`,
      expires_in: 3600,
      scope: "user:inference",
    });
  readonly #background: Promise<void>[] = [];

  constructor(
    storage: DurableObjectStorage,
    vault: Vault,
    forwardProxies: readonly ForwardProxy[] = [],
  ) {
    const deps: AccountDependencies = {
      id: "account-id",
      storage,
      vault,
      oauth: OAUTH,
      egress: new Egresses({ forwardProxies, forwardProxySecret: KEY }, async (url, init) => {
        this.hosts.push(new URL(url).host);
        const call = JSON.parse(String(init.body)) as TokenCall;
        this.calls.push(call);
        return this.answer(call, this.calls.length);
      }),
      now: () => this.nowMs,
      pushRow: async (row) => {
        if (this.fleetIsDown) throw new Error("the Fleet is down");
        this.pushed.push(row);
      },
      pushRemoval: async (id) => {
        this.removed.push(id);
      },
      background: (_, work) => {
        this.#background.push(work);
      },
      log: (level, event, detail) => {
        this.logged.push(`${level} ${event} ${JSON.stringify(detail ?? {})}`);
      },
    };
    this.account = new Account(deps);
  }

  async settle(): Promise<void> {
    await Promise.all(this.#background);
  }

  get lastRow(): RosterRow | undefined {
    return this.pushed.at(-1);
  }
}

export async function withBench(
  run: (bench: Bench, storage: DurableObjectStorage, again: () => Promise<Bench>) => Promise<void>,
): Promise<void> {
  const stub = env.CLAUDE_ACCOUNT.get(env.CLAUDE_ACCOUNT.idFromName(crypto.randomUUID()));
  await runInDurableObject(stub, async (_, state) => {
    const make = async () => new Bench(state.storage, await Vault.open(KEY));
    await run(await make(), state.storage, make);
  });
}

export const secretOf = async (bench: Bench, rejected: number | null = null) => {
  const acquired = await bench.account.acquire(rejected);
  return acquired.ok ? acquired.value.secret : acquired.error.kind;
};

export async function rosterRows(): Promise<RosterRow[]> {
  const { rows } = await env.FLEET.get(env.FLEET.idFromName("fleet")).snapshot(null);
  return (rows ?? []).map(parseRosterRow);
}
