import { AdminClient } from "./admin-client.ts";
import { PROGRAM } from "./command-context.ts";
import { exitCodes, Failure, Refusal } from "./failure.ts";
import type { Key } from "./key.ts";
import { keyPath } from "./key.ts";
import type { KeyStorePlace } from "./key-store-place.ts";
import type { OpenStore } from "./open-store.ts";
import type { RelayAddress } from "./relay-address.ts";
import { readSession, removeSession } from "./session-file.ts";
import { signIn } from "./sign-in.ts";
import { say } from "./terminal.ts";

const AT_ONCE = 8;

/** Tells a relay that the store was changed past it, so that the change holds at once. */
export class RelayNotice {
  readonly #address: RelayAddress;
  readonly #place: KeyStorePlace;
  readonly #open: OpenStore;

  constructor(address: RelayAddress, open: OpenStore) {
    this.#address = address;
    this.#place = open.place;
    this.#open = open;
  }

  /**
   * Has the relay read these keys again. Never asks for a password: where the relay cannot be told, the
   * store is left a mark that relays look for, and a line says when the change holds.
   */
  async tell(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    if (!this.isKnown) {
      // No relay runs on this state: there is none that could have the old key in mind.
      await this.#leaveMark();
      if (this.#place.kind !== "local") say(`${this.#holds()} To tell a relay at once: --url.`);
      return;
    }
    try {
      const newer: string[] = [];
      const [first = "", ...rest] = ids;
      // The first alone: it may have to sign in.
      for (const chunk of [[first], ...inChunks(rest)]) {
        const told = await Promise.all(chunk.map((id) => this.#reload(id)));
        newer.push(...told.flatMap(({ id, taken }) => (taken ? [] : [id])));
      }
      if (newer.length > 0) {
        say(
          `The relay has a newer change of ${newer.join(", ")} than the store had, and keeps it.\nLook at it again, then repeat the change.`,
        );
      }
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      await this.#leaveMark();
      say(`${reasonOf(error)} ${this.#holds()}`);
    }
  }

  async #leaveMark(): Promise<void> {
    await this.#open.store.noteChange();
    await this.#open.commit();
  }

  /** A key as the relay shows it, with what was used; or why it cannot be asked, in a line. */
  async look(id: string): Promise<{ key: Key } | { reason: string }> {
    if (!this.isKnown) {
      const isLocal = this.#place.kind === "local";
      return { reason: isLocal ? "No relay runs on this state." : "No relay is given (--url)." };
    }
    try {
      return { key: await this.#call<Key>("GET", keyPath(id)) };
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return { reason: reasonOf(error) };
    }
  }

  /** Whether there is a relay that serves the keys of this store, as far as this machine knows. */
  get isKnown(): boolean {
    const { isGiven, runsHere } = this.#address;
    return isGiven || (runsHere && this.#place.kind !== "remote");
  }

  #reload(id: string): Promise<{ id: string; taken: boolean }> {
    return this.#call("POST", keyPath(id, "/reload"));
  }

  /** With the session that is kept, or with ADMIN_PASSWORD; never with a question. */
  async #call<T>(method: string, path: string): Promise<T> {
    const api = new AdminClient(this.#address);
    const kept = readSession(this.#address);
    if (kept !== null) {
      try {
        return await api.callOnce<T>(kept, method, path);
      } catch (error) {
        if (!(error instanceof Refusal) || error.code !== "not_signed_in") throw error;
        removeSession(this.#address);
      }
    }
    if (this.#address.password === undefined) throw new NotSignedIn(this.#address.url);
    return api.callOnce<T>(await signIn(this.#address), method, path);
  }

  #holds(): string {
    const isRemote = this.#place.kind === "remote";
    return `The change holds within 30 seconds${isRemote ? ", and the minute that Workers KV may take" : ""}.`;
  }
}

class NotSignedIn extends Failure {
  constructor(url: string) {
    super(`Not signed in to ${url} (${PROGRAM} admin login).`, exitCodes.notSignedIn);
  }
}

/** The first line: the others are advice for commands that need the relay. */
function reasonOf({ message }: Failure): string {
  return message.split("\n", 1)[0] ?? "";
}

function inChunks(ids: readonly string[]): string[][] {
  const chunks: string[][] = [];
  for (let at = 0; at < ids.length; at += AT_ONCE) chunks.push(ids.slice(at, at + AT_ONCE));
  return chunks;
}
