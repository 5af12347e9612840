import { once } from "node:events";
import { join } from "node:path";
import type { KVNamespace } from "@cloudflare/workers-types";
import type { KeyLimits } from "../../src/keys/key-limits.ts";
import type { KvEntry } from "../kv/entries.ts";
import type { Caller } from "../load/job.ts";
import { ACCOUNT_TOKEN_PREFIX } from "../upstream/credential.ts";
import type { Helper } from "./helper.ts";

/** Who uses a relay. */
export interface Population {
  accounts: number;
  keys: number;
  /** Sessions, one after the other of the first keys, several of a key where there are more. */
  sessions: number;
  /** The proxy of each account, as the admin API takes it; none where it is not given. */
  proxy?: object;
}

/** Who may change and see everything. */
export interface Admin {
  username: string;
  password: string;
}

/** A team: the scenarios of one relay. */
export const TEAM: Population = { accounts: 4, keys: 8, sessions: 32 };

/** High enough to let everything pass, but there: each one is checked at each request. */
export const LIMITS: KeyLimits = {
  concurrency: 100_000,
  window: null,
  costPerDay: 1_000_000_000_000_000,
  costPerWeek: null,
  costPerMonth: 1_000_000_000_000_000,
  costTotal: null,
  familyCostPerWeek: null,
};
const SEEDED_AT_ONCE = 16;

/**
 * Makes keys as the CLI does: in the key store itself, in the store's own layout.
 *
 * @param root the folder of the relay's commit: another one may lay keys out differently
 * @returns a caller for each session, and for each key that has none
 */
export async function seedKeys(
  kv: Helper,
  population: Population,
  root: string,
): Promise<Caller[]> {
  const { KvKeyStore }: typeof import("../../src/keys/kv.ts") = await import(
    join(root, "src/keys/kv.ts")
  );
  const { newKey }: typeof import("../../src/keys/new-key.ts") = await import(
    join(root, "src/keys/new-key.ts")
  );
  const entries = new Map<string, KvEntry>();
  const store = new KvKeyStore(recorder(entries));
  const keys: string[] = [];
  for (let index = 0; index < population.keys; index += 1) {
    const { plainKey, stored } = await newKey(
      { name: `bench-${index}`, tags: ["bench"], limits: LIMITS },
      Date.now(),
    );
    await store.put(stored, null);
    keys.push(plainKey);
  }
  kv.process.send([...entries]);
  await once(kv.process, "message");
  const callers = Math.max(population.keys, population.sessions);
  return Array.from({ length: callers }, (_, index) => ({
    key: keys[index % keys.length] ?? "",
    session: index < population.sessions ? crypto.randomUUID() : null,
  }));
}

/** Adds accounts over the admin API, as an operator would. */
export async function seedAccounts(
  url: string,
  admin: Admin,
  { accounts: count, proxy }: Pick<Population, "accounts" | "proxy">,
): Promise<void> {
  if (count === 0) return;
  const token = await signIn(url, admin);
  let next = 0;
  const addSome = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      const setupToken = `${ACCOUNT_TOKEN_PREFIX}${String(index).padStart(8, "0")}`;
      const account = {
        name: `bench-${index}`,
        setupToken,
        ...(proxy === undefined ? {} : { proxy }),
      };
      await post(url, "/admin/claude-accounts", account, token);
    }
  };
  await Promise.all(Array.from({ length: SEEDED_AT_ONCE }, addSome));
}

/** @returns the token of a session with the admin API */
export async function signIn(url: string, admin: Admin): Promise<string> {
  return (await post(url, "/admin/login", { ...admin })).token;
}

/** Takes down what the store writes. Nothing is read: the keys are new. */
function recorder(entries: Map<string, KvEntry>): KVNamespace {
  const put = (name: string, value: string, options: { metadata?: unknown } = {}) => {
    const metadata = options.metadata === undefined ? null : JSON.stringify(options.metadata);
    entries.set(name, { value, metadata });
    return Promise.resolve();
  };
  return { put } as unknown as KVNamespace;
}

async function post(
  url: string,
  path: string,
  body: object,
  token?: string,
): Promise<{ token: string }> {
  const answer = await fetch(url + path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`POST ${path} answered ${answer.status}: ${text}`);
  return (JSON.parse(text) as { data: { token: string } }).data;
}
