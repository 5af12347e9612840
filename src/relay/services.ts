import { FLEET_NAME } from "../../durable-objects/fleet.ts";
import { CredentialCache } from "../accounts/credential-cache.ts";
import { Roster } from "../accounts/roster.ts";
import { Vault } from "../accounts/vault.ts";
import { type RelayConfig, readConfig } from "../config.ts";
import { type Remote, remote } from "../durable-call.ts";
import { eventNoteOf } from "../events/isolate-sink.ts";
import type { ClaudeAccount, Fleet, KeyMeter } from "../index.ts";
import { FailedKeys } from "../keys/failed-keys.ts";
import { KeyCache } from "../keys/key-cache.ts";
import type { KeyStore } from "../keys/key-store.ts";
import { KvKeyStore } from "../keys/kv.ts";
import { UpstashKeyStore } from "../keys/upstash.ts";
import { type Logger, makeLogger } from "../log.ts";
import { RecentMap } from "../recent-map.ts";
import { ok, type Result } from "../result.ts";

const MAX_THREAD_MESSAGES = 5_000;

/** What every request of this isolate shares. */
export interface Services {
  config: RelayConfig;
  log: Logger;
  keyStore: KeyStore;
  keys: KeyCache;
  failedKeys: FailedKeys;
  roster: Roster;
  credentials: CredentialCache;
  /** Requests of this isolate now running on an account. */
  inFlight: Map<string, number>;
  /** Accounts that failed in this isolate, and whose next success is worth a report. */
  failing: Set<string>;
  /** Which account made a thread's message, for those that this isolate relayed. */
  threads: RecentMap<string, string>;
  /** Opened once: it knows which accounts were sealed under a key of this relay. */
  vault(): Promise<Vault>;
  meter(keyId: string): Remote<KeyMeter>;
  account(id: string): Remote<ClaudeAccount>;
  fleet(): Remote<Fleet>;
}

const made = new WeakMap<Env, Result<Services, string[]>>();

/** @returns the services, or every problem of the configuration in words */
export function servicesOf(env: Env): Result<Services, string[]> {
  const known = made.get(env);
  if (known !== undefined) return known;
  const services = makeServices(env);
  made.set(env, services);
  return services;
}

function makeServices(env: Env): Result<Services, string[]> {
  const config = readConfig(env);
  if (!config.ok) return { ok: false, error: config.error.map(({ message }) => message) };
  const { keyStore: where } = config.value;
  const keyStore =
    where.kind === "kv" ? new KvKeyStore(env.RELAY_KEYS) : new UpstashKeyStore(where);
  const account = (id: string) => remote(env.CLAUDE_ACCOUNT, id);
  const fleet = () => remote(env.FLEET, FLEET_NAME);
  const { encryptionKey, previousEncryptionKeys } = config.value;
  let vault: Vault | null = null;
  return ok({
    config: config.value,
    log: makeLogger(config.value.logLevel, {}, eventNoteOf(env)),
    keyStore,
    keys: new KeyCache(keyStore),
    failedKeys: new FailedKeys(env.FAILED_KEYS),
    roster: new Roster(fleet),
    credentials: new CredentialCache(account),
    inFlight: new Map(),
    failing: new Set(),
    threads: new RecentMap(MAX_THREAD_MESSAGES),
    // The result is kept, not the promise: one that belongs to another request may never resolve.
    vault: async () => {
      vault ??= await Vault.open(encryptionKey, previousEncryptionKeys);
      return vault;
    },
    meter: (keyId) => remote(env.KEY_METER, keyId),
    account,
    fleet,
  });
}
