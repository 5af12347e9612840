import { Refusal } from "./failure.ts";
import type { RelayAddress } from "./relay-address.ts";
import { callRelay, dataOf } from "./relay-call.ts";
import { readSession, removeSession, type Session } from "./session-file.ts";
import { signIn } from "./sign-in.ts";

/** The admin API of one relay. Signs in when the first call needs it. */
export class AdminClient {
  readonly address: RelayAddress;
  #session: Session | null;

  constructor(address: RelayAddress) {
    this.address = address;
    this.#session = readSession(address);
  }

  /** @throws Refusal where the relay refuses, Failure where none answers */
  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    this.#session ??= await signIn(this.address);
    try {
      return await this.callOnce<T>(this.#session, method, path, body);
    } catch (error) {
      if (!(error instanceof Refusal) || error.code !== "not_signed_in") throw error;
      // The session has ended: by its time, by a new password, or by signing out elsewhere.
      removeSession(this.address);
      this.#session = await signIn(this.address);
      return this.callOnce<T>(this.#session, method, path, body);
    }
  }

  /** Signs in now if need be: before a person is asked for anything else. */
  async ensureSignedIn(): Promise<void> {
    await this.call("GET", "/admin/session");
  }

  /** A session's token that the relay takes now, for what is no plain call. */
  async sessionToken(): Promise<string> {
    await this.ensureSignedIn();
    this.#session ??= await signIn(this.address);
    return this.#session.token;
  }

  /** One call with a session as it is: no signing in again. */
  async callOnce<T>(session: Session, method: string, path: string, body?: unknown): Promise<T> {
    const answer = await callRelay(this.address, method, path, {
      token: session.token,
      ...(body === undefined ? {} : { body }),
    });
    return dataOf<T>(answer.status, answer.body);
  }
}
