import type { Credential, NotServing } from "../../durable-objects/claude-account/contract.ts";
import { callObject } from "../durable-call.ts";
import { fail, ok, type Result } from "../result.ts";
import type { RosterRow } from "./roster-row.ts";

/** How long an isolate uses a credential without asking its account again. */
const KEEP_MS = 60_000;

interface AccountStub {
  acquire(rejectedGeneration: number | null): Promise<Result<Credential, NotServing>>;
  acquirePlace(requestId: string): Promise<Result<Credential, NotServing>>;
}

interface Entry {
  credential: Credential;
  keptUntilMs: number;
}

/** Credentials in this isolate's memory, each for a minute at most. */
export class CredentialCache {
  readonly #account: (id: string) => AccountStub;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(account: (id: string) => AccountStub, now: () => number = Date.now) {
    this.#account = account;
    this.#now = now;
  }

  /** The credential if it is in memory and good, without a promise: the usual case. */
  peek(row: RosterRow): Credential | null {
    const entry = this.#entries.get(row.id);
    if (entry === undefined || entry.keptUntilMs <= this.#now()) return null;
    // The roster knows of a newer credential than the one kept here.
    return entry.credential.generation >= row.generation ? entry.credential : null;
  }

  /**
   * Asks the account's object for a valid credential.
   *
   * @param rejectedGeneration the generation that upstream has just answered 401 to, if any
   */
  acquire(
    accountId: string,
    rejectedGeneration: number | null = null,
  ): Promise<Result<Credential, NotServing>> {
    return this.#ask(accountId, (account) => account.acquire(rejectedGeneration));
  }

  /** The same with one of the account's places, where it takes only so many requests at once. */
  acquirePlace(accountId: string, requestId: string): Promise<Result<Credential, NotServing>> {
    return this.#ask(accountId, (account) => account.acquirePlace(requestId));
  }

  async #ask(
    accountId: string,
    call: (account: AccountStub) => Promise<Result<Credential, NotServing>>,
  ): Promise<Result<Credential, NotServing>> {
    this.#entries.delete(accountId);
    let acquired: Result<Credential, NotServing>;
    try {
      acquired = await callObject(() => this.#account(accountId), call);
    } catch {
      const message = "Its object did not answer.";
      return fail({ kind: "object_unavailable", message, retryAtMs: null });
    }
    if (!acquired.ok) return acquired;
    const { usableUntilMs } = acquired.value;
    const keptUntilMs = Math.min(this.#now() + KEEP_MS, usableUntilMs ?? Number.POSITIVE_INFINITY);
    this.#entries.set(accountId, { credential: acquired.value, keptUntilMs });
    return ok(acquired.value);
  }

  forget(accountId: string): void {
    this.#entries.delete(accountId);
  }
}
