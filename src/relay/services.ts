import { FLEET_NAME } from "../../durable-objects/fleet.ts";
import { CredentialCache } from "../accounts/credential-cache.ts";
import { AccountLoad } from "../accounts/load.ts";
import { Roster } from "../accounts/roster.ts";
import type { LocationHint } from "../accounts/roster-row.ts";
import { Vault } from "../accounts/vault.ts";
import { type RelayConfig, readConfig } from "../config.ts";
import { type Remote, remote } from "../durable-call.ts";
import { Egresses } from "../egress/egress.ts";
import { eventNoteOf } from "../events/isolate-sink.ts";
import type { ClaudeAccount, Fleet, KeyMeter } from "../index.ts";
import { FailedKeys } from "../keys/failed-keys.ts";
import { ImportedKeys } from "../keys/imported-keys.ts";
import { KeyCache } from "../keys/key-cache.ts";
import type { KeyStore } from "../keys/key-store.ts";
import { KvKeyStore } from "../keys/kv.ts";
import { UpstashKeyStore } from "../keys/upstash.ts";
import { LedgerWatch } from "../ledger/ledger-watch.ts";
import { UsageReader } from "../ledger/usage-reader.ts";
import { type Logger, makeLogger } from "../log.ts";
import { RecentMap } from "../recent-map.ts";
import { ok, type Result } from "../result.ts";
import { Gate } from "./gate.ts";
import { MeterLink } from "./meter-link.ts";
import { Reported } from "./report.ts";

const MAX_THREAD_MESSAGES = 5_000;
const MAX_PINS = 20_000;

/** What every request of this isolate shares. */
export interface Services {
  config: RelayConfig;
  log: Logger;
  keyStore: KeyStore;
  keys: KeyCache;
  /** Null where no keys of another system are to be recognised. */
  importedKeys: ImportedKeys | null;
  failedKeys: FailedKeys;
  roster: Roster;
  credentials: CredentialCache;
  egress: Egresses;
  load: AccountLoad;
  reported: Reported;
  /** The account that a session of a key is on, as far as this isolate has seen. */
  pins: RecentMap<string, string>;
  /** Which account made a thread's message, for those that this isolate relayed. */
  threads: RecentMap<string, string>;
  /** Opened once: it knows which accounts were sealed under a key of this relay. */
  vault(): Promise<Vault>;
  /** Where requests are turned away while more come than can be served. */
  gate: Gate;
  /** For what happens with every request; everything else goes through `meter`. */
  meterLink: MeterLink;
  meter(keyId: string): Remote<KeyMeter>;
  /** @param locationHint has an effect with the first call to an object that is not made yet */
  account(id: string, locationHint?: LocationHint | null): Remote<ClaudeAccount>;
  fleet(): Remote<Fleet>;
  /** The usage ledger, for those who read it. */
  usage: UsageReader;
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
  const account = (id: string, locationHint: LocationHint | null = null) =>
    remote(env.CLAUDE_ACCOUNT, id, locationHint);
  const meter = (keyId: string) => remote(env.KEY_METER, keyId);
  const fleet = () => remote(env.FLEET, FLEET_NAME);
  const log = makeLogger(config.value.logLevel, {}, eventNoteOf(env));
  const { encryptionKey, previousEncryptionKeys, nearLimit } = config.value;
  const egress = new Egresses(config.value);
  const { importedKeyPepper } = config.value;
  const { canReachProxies } = egress;
  let vault: Vault | null = null;
  return ok({
    config: config.value,
    log,
    keyStore,
    keys: new KeyCache(keyStore),
    importedKeys: importedKeyPepper === null ? null : new ImportedKeys(importedKeyPepper),
    failedKeys: new FailedKeys(env.FAILED_KEYS),
    roster: new Roster(fleet, { canReachProxies, nearLimit }),
    credentials: new CredentialCache(account),
    egress,
    load: new AccountLoad(),
    reported: new Reported(),
    pins: new RecentMap(MAX_PINS),
    threads: new RecentMap(MAX_THREAD_MESSAGES),
    // The result is kept, not the promise: one that belongs to another request may never resolve.
    vault: async () => {
      vault ??= await Vault.open(encryptionKey, previousEncryptionKeys);
      return vault;
    },
    gate: new Gate(log),
    meterLink: new MeterLink(meter, log),
    meter,
    account,
    fleet,
    usage: new UsageReader(env, config.value.ledger.shards, new LedgerWatch(fleet, log)),
  });
}
