import { DurableObject } from "cloudflare:workers";
import type { AccountSettings, RosterRow } from "../src/accounts/roster-row.ts";
import { Vault } from "../src/accounts/vault.ts";
import { runAfter } from "../src/background.ts";
import { readConfig } from "../src/config.ts";
import { callObject, remote } from "../src/durable-call.ts";
import { type AccountProxy, Egresses } from "../src/egress/egress.ts";
import { eventNoteOf } from "../src/events/isolate-sink.ts";
import { makeLogger } from "../src/log.ts";
import type { Result } from "../src/result.ts";
import { Account } from "./claude-account/account.ts";
import type {
  Credential,
  LoginError,
  LoginResult,
  NewCredential,
  NotServing,
  RevealedAccount,
} from "./claude-account/contract.ts";
import type { Lesson } from "./claude-account/learning.ts";
import type { Resealed } from "./claude-account/resealer.ts";
import { FLEET_NAME } from "./fleet.ts";

/** Shell of one account's object: bindings in, calls through. What it does is in `claude-account/`. */
export class ClaudeAccount extends DurableObject<Env> {
  #account!: Account;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    // Calls wait until the keys are derived: once per wake-up, some tens of microseconds.
    void ctx.blockConcurrencyWhile(async () => {
      const id = ctx.id.name;
      if (id === undefined) throw new Error("an account's object is made by name");
      const config = readConfig(env);
      if (!config.ok) throw new Error(config.error.map(({ message }) => message).join(" "));
      const { encryptionKey, previousEncryptionKeys, oauth } = config.value;
      const log = makeLogger(env.LOG_LEVEL, { accountId: id }, eventNoteOf(env));
      const fleet = () => remote(env.FLEET, FLEET_NAME);
      this.#account = new Account({
        id,
        storage: ctx.storage,
        vault: await Vault.open(encryptionKey, previousEncryptionKeys),
        oauth,
        egress: new Egresses(config.value),
        now: Date.now,
        pushRow: (row) => callObject(fleet, (roster) => roster.push(row)),
        pushRemoval: (account) => callObject(fleet, (roster) => roster.remove(account)),
        background: (name, work) => runAfter(ctx, log, name, work),
        log,
      });
    });
  }

  create(
    settings: AccountSettings,
    credential: NewCredential,
    proxy: AccountProxy | null,
  ): Promise<RosterRow | null> {
    return this.#account.create(settings, credential, proxy);
  }

  createFromLogin(settings: AccountSettings): Promise<RosterRow | null> {
    return this.#account.createFromLogin(settings);
  }

  acquire(rejectedGeneration: number | null): Promise<Result<Credential, NotServing>> {
    return this.#account.acquire(rejectedGeneration);
  }

  acquirePlace(requestId: string): Promise<Result<Credential, NotServing>> {
    return this.#account.acquirePlace(requestId);
  }

  releasePlace(requestId: string): void {
    this.#account.releasePlace(requestId);
  }

  report(lesson: Lesson): RosterRow | null {
    return this.#account.report(lesson);
  }

  describe(): RosterRow | null {
    return this.#account.describe();
  }

  describeProxy(): Promise<(Omit<AccountProxy, "password"> & { hasPassword: boolean }) | null> {
    return this.#account.describeProxy();
  }

  update(
    patch: Partial<AccountSettings>,
    proxy: AccountProxy | null | undefined,
    credential: NewCredential | null,
  ): Promise<RosterRow | null> {
    return this.#account.update(patch, proxy, credential);
  }

  reveal(): Promise<Result<RevealedAccount, NotServing>> {
    return this.#account.reveal();
  }

  reset(): Promise<RosterRow | null> {
    return this.#account.reset();
  }

  refreshNow(): Promise<Result<RosterRow, NotServing>> {
    return this.#account.refreshNow();
  }

  reseal(): Promise<Result<Resealed, NotServing>> {
    return this.#account.reseal();
  }

  remove(): Promise<boolean> {
    return this.#account.remove();
  }

  beginLogin(proxy: AccountProxy | null): Promise<{ authUrl: string; endsAtMs: number }> {
    return this.#account.beginLogin(proxy);
  }

  finishLogin(paste: string): Promise<Result<LoginResult, LoginError>> {
    return this.#account.finishLogin(paste);
  }

  override alarm(): Promise<void> {
    return this.#account.alarm();
  }
}
