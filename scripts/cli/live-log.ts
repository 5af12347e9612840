import { setTimeout as sleep } from "node:timers/promises";
import {
  CLOSE,
  type LiveMessage,
  type StoredEvent,
} from "../../durable-objects/event-log/contract.ts";
import type { AdminClient } from "./admin-client.ts";
import { exitCodes, Failure } from "./failure.ts";
import { accessHeaders, type RelayAddress } from "./relay-address.ts";

/** Between tries at connecting: half a second, doubling, and up to as much again by chance. */
const RECONNECT_FIRST_MS = 500;
const RECONNECT_LONGEST_MS = 15_000;
const PING_EVERY_MS = 20_000;
/** With not even an answer to a ping for so long, the connection is dead. */
const SILENT_MS = 45_000;
const NORMAL_CLOSURE = 1000;

export interface LiveLogOptions {
  /** Names and values of the filter, as the admin API takes them. */
  filter: Record<string, string>;
  /** The last event that was seen. */
  after: number;
  /** Ends it. */
  signal: AbortSignal;
  /** Resolves when there is room for more: what was not acknowledged is not sent on and on. */
  onEvents(events: StoredEvent[]): Promise<void>;
  /** Something to tell beside the events. */
  onNotice(text: string): void;
}

/**
 * Follows the event log until the signal. A connection that is lost is made again, and goes on after
 * the last event, so that none is missed and none comes twice.
 *
 * @throws Failure where no session can be had, or the relay does not understand this CLI
 */
export async function followLog(api: AdminClient, options: LiveLogOptions): Promise<void> {
  const { signal, onNotice } = options;
  let after = options.after;
  let tries = 0;
  const onOpen = () => {
    if (tries > 0) onNotice("Connected again.");
    tries = 0;
  };
  while (!signal.aborted) {
    const token = await tokenOrNull(api);
    if (token !== null) {
      const connection = new Connection(api.address, token, { ...options, after }, onOpen);
      const code = await connection.ended();
      after = connection.after;
      if (signal.aborted) return;
      if (code === CLOSE.malformed.code) {
        throw new Failure("The relay does not understand this CLI. Are they of the same version?");
      }
    }
    tries += 1;
    if (tries === 1) onNotice("The connection is lost. Trying again …");
    const baseMs = Math.min(RECONNECT_FIRST_MS * 2 ** (tries - 1), RECONNECT_LONGEST_MS);
    await sleep(baseMs * (1 + Math.random()), null, { signal }).catch(() => null);
  }
}

/** @returns null where no relay answers now */
async function tokenOrNull(api: AdminClient): Promise<string | null> {
  try {
    return await api.sessionToken();
  } catch (error) {
    if (error instanceof Failure && error.exitCode === exitCodes.unreachable) return null;
    throw error;
  }
}

/** Node's own WebSocket takes headers, which browsers' do not: the session stays out of the address. */
const NodeWebSocket = WebSocket as unknown as new (
  url: string,
  options: { headers: Record<string, string> },
) => WebSocket;

/** One connection, from its handshake to its end. */
class Connection {
  after: number;
  readonly #options: LiveLogOptions;
  readonly #onOpen: () => void;
  readonly #socket: WebSocket;
  /** Frames are shown one after the other, however long that takes. */
  #shown: Promise<void> = Promise.resolve();
  #heardAtMs = Date.now();

  constructor(relay: RelayAddress, token: string, options: LiveLogOptions, onOpen: () => void) {
    this.#options = options;
    this.#onOpen = onOpen;
    this.after = options.after;
    const query = new URLSearchParams({ ...options.filter, after: String(options.after) });
    const address = `${relay.url.replace(/^http/i, "ws")}/admin/logs/live?${query}`;
    const headers = { ...accessHeaders(relay), authorization: `Bearer ${token}` };
    this.#socket = new NodeWebSocket(address, { headers });
    this.#socket.addEventListener("message", ({ data }) => this.#hear(String(data)));
  }

  /** @returns the code that it was closed with, once everything that came was shown */
  async ended(): Promise<number> {
    const { signal } = this.#options;
    const code = await new Promise<number>((settle) => {
      const close = () => this.#socket.close(NORMAL_CLOSURE);
      const pings = setInterval(() => {
        if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send("ping");
        if (Date.now() - this.#heardAtMs < SILENT_MS) return;
        // A dead connection does not answer a goodbye either.
        close();
        settle(NORMAL_CLOSURE);
      }, PING_EVERY_MS);
      signal.addEventListener("abort", close, { once: true });
      this.#socket.addEventListener("close", (event) => {
        clearInterval(pings);
        signal.removeEventListener("abort", close);
        settle(event.code);
      });
    });
    await this.#shown;
    return code;
  }

  #hear(data: string): void {
    this.#heardAtMs = Date.now();
    if (data === "pong") return;
    const message = JSON.parse(data) as LiveMessage;
    this.#shown = this.#shown.then(() => this.#show(message));
  }

  async #show(message: LiveMessage): Promise<void> {
    const { onEvents, onNotice, signal } = this.#options;
    switch (message.type) {
      case "hello":
        this.#onOpen();
        break;
      case "gap": {
        const { from, to } = message;
        onNotice(`Events ${from} to ${to} are no longer kept; it goes on with those after them.`);
        break;
      }
      case "events":
        if (signal.aborted) return;
        await onEvents(message.events);
        this.after = message.upTo;
        if (this.#socket.readyState === WebSocket.OPEN) {
          this.#socket.send(JSON.stringify({ type: "ack", upTo: message.upTo }));
        }
    }
  }
}
