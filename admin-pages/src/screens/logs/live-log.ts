import { signal } from "@preact/signals";
import type { Failure } from "../../api/client.ts";
import { type LogEvent, type LogFilter, readLogs } from "../../api/logs.ts";
import { readSession } from "../../api/session.ts";
import { sessionEnded } from "../../session.ts";

/** What a page can hold, and a person would scroll through. */
const SHOWN_MAX = 2_000;
const PAGE_SIZE = 200;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
/** A connection that is gone without a word is noticed within two of these. */
const PING_MS = 20_000;
const SESSION_ENDED = 4401;

/** `waiting`: the connection was lost, and is tried again. */
export type LiveState = "connecting" | "live" | "paused" | "waiting";

export type LogEntry =
  | { kind: "event"; id: number; event: LogEvent }
  /** These were asked for and are no longer kept. */
  | { kind: "gap"; id: number; from: number; to: number };

type LiveMessage =
  | { type: "hello" }
  | { type: "events"; events: LogEvent[]; upTo: number }
  | { type: "gap"; from: number; to: number };

/**
 * The log from its newest page on, as it grows. It remembers up to where it was told everything, and
 * goes on from there after a pause or a lost connection: so nothing is missed, and nothing comes twice.
 */
export class LiveLog {
  /** The newest first. */
  readonly entries = signal<readonly LogEntry[] | null>(null);
  readonly state = signal<LiveState>("connecting");
  readonly failure = signal<Failure | null>(null);
  /** Whether there are events before those that are here. */
  readonly hasOlder = signal(false);
  readonly #filter: LogFilter;
  #upTo = 0;
  #socket: WebSocket | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #retries = 0;
  #isEnded = false;

  constructor(filter: LogFilter) {
    this.#filter = filter;
  }

  async start(): Promise<void> {
    const page = await readLogs(this.#filter, null, PAGE_SIZE);
    if (this.#isEnded) return;
    if (!page.ok) {
      this.failure.value = page.error;
      this.#later(() => this.start());
      return;
    }
    this.failure.value = null;
    const { events, next, newestId } = page.value;
    this.entries.value = events.map(entryOf);
    this.hasOlder.value = next !== null;
    this.#upTo = newestId;
    this.#connect();
  }

  end(): void {
    this.#isEnded = true;
    this.#hangUp();
  }

  /** The relay keeps what happens meanwhile. */
  pause(): void {
    this.state.value = "paused";
    this.#hangUp();
  }

  resume(): void {
    this.state.value = "connecting";
    this.#retries = 0;
    if (this.entries.value === null) void this.start();
    else this.#connect();
  }

  async loadOlder(): Promise<void> {
    const entries = this.entries.value ?? [];
    const oldest = entries.findLast(({ kind }) => kind === "event");
    if (oldest === undefined) return;
    const page = await readLogs(this.#filter, oldest.id, PAGE_SIZE);
    if (this.#isEnded) return;
    if (!page.ok) {
      this.failure.value = page.error;
      return;
    }
    this.failure.value = null;
    this.entries.value = [...(this.entries.value ?? []), ...page.value.events.map(entryOf)];
    this.hasOlder.value = page.value.next !== null;
  }

  #connect(): void {
    const socket = new WebSocket(this.#address());
    this.#socket = socket;
    let wasOpen = false;
    let isHeard = true;
    const pings = setInterval(() => {
      // Nothing came since the last ping, not even its pong.
      if (!isHeard) return socket.close();
      isHeard = false;
      socket.send("ping");
    }, PING_MS);
    socket.onopen = () => {
      wasOpen = true;
      this.#retries = 0;
      this.state.value = "live";
    };
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      isHeard = true;
      if (data !== "pong") this.#take(socket, JSON.parse(data) as LiveMessage);
    };
    socket.onclose = ({ code }) => {
      clearInterval(pings);
      if (this.#socket !== socket) return;
      this.#socket = null;
      if (code === SESSION_ENDED) return sessionEnded();
      this.state.value = "waiting";
      this.#later(async () => {
        // Why a handshake failed, no script is told: the session may have ended.
        if (!wasOpen) await readSession();
        if (this.state.peek() === "waiting" && !this.#isEnded) this.#connect();
      });
    };
  }

  #take(socket: WebSocket, message: LiveMessage): void {
    switch (message.type) {
      case "hello":
        return;
      case "gap": {
        const { from, to } = message;
        this.#add([{ kind: "gap", id: to, from, to }]);
        return;
      }
      case "events": {
        const { events, upTo } = message;
        this.#add(events.map(entryOf).reverse());
        this.#upTo = upTo;
        socket.send(JSON.stringify({ type: "ack", upTo }));
      }
    }
  }

  /** @param news the newest first */
  #add(news: LogEntry[]): void {
    const all = [...news, ...(this.entries.value ?? [])];
    if (all.length > SHOWN_MAX) this.hasOlder.value = true;
    this.entries.value = all.slice(0, SHOWN_MAX);
  }

  #later(act: () => Promise<void>): void {
    const waitMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#retries);
    this.#retries += 1;
    this.#retry = setTimeout(() => void act(), waitMs);
  }

  #hangUp(): void {
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #address(): URL {
    const address = new URL("/admin/logs/live", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    for (const [name, value] of Object.entries(this.#filter)) {
      if (value) address.searchParams.set(name, value);
    }
    address.searchParams.set("after", String(this.#upTo));
    return address;
  }
}

function entryOf(event: LogEvent): LogEntry {
  return { kind: "event", id: event.id, event };
}
