import { CLOSE, type EventFilter, type LiveMessage, type LiveRequest } from "./contract.ts";
import type { EventRing } from "./event-ring.ts";

/** More lookers-on than any operator has; each costs a query per batch of events. */
export const MAX_WATCHERS = 50;
const FRAME_EVENTS = 100;
/**
 * Frames sent and not acknowledged. The runtime does not tell how much of what was sent still waits
 * in memory, so whoever looks on has to say what arrived; the rest waits in the ring.
 */
const MAX_UNACKED_FRAMES = 10;
/** With all frames under way and none acknowledged for so long, nobody is reading. */
const SLOW_MS = 30_000;
/** Where the filter lets nothing through, it is still told where it stands, after so many events. */
const TELL_EVERY_EVENTS = 1_000;
/** Acknowledgements are shorter. */
const MAX_MESSAGE_CHARS = 200;
const PING = "ping";
const PONG = "pong";

/** What is known of one who looks on. It goes with the socket, so that it outlasts hibernation. */
interface Watcher {
  filter: EventFilter;
  /** All events up to this one were sent, or left out by the filter. */
  cursor: number;
  /** `upTo` of the frames that are under way. */
  unacked: number[];
  /** Since when the frames under way are as many as may be; null: they are not. */
  fullSinceMs: number | null;
  /** The last `upTo` that was sent. */
  toldUpTo: number;
  sessionEndsAtMs: number;
}

export interface LiveTailDependencies {
  ctx: Pick<DurableObjectState, "acceptWebSocket" | "getWebSockets" | "setWebSocketAutoResponse">;
  ring: EventRing;
  now(): number;
}

/**
 * Who looks on, over sockets that outlast hibernation. What was missed and what is new comes from
 * the ring on the same way: everything after the cursor. So nothing is lost and nothing comes twice.
 */
export class LiveTail {
  readonly #ctx: LiveTailDependencies["ctx"];
  readonly #ring: EventRing;
  readonly #now: () => number;

  constructor({ ctx, ring, now }: LiveTailDependencies) {
    this.#ctx = ctx;
    this.#ring = ring;
    this.#now = now;
    // Answered by the runtime, without waking the object.
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** @returns the other end of the socket, or null where too many look on already */
  open({ filter, after, sessionId, sessionEndsAtMs }: LiveRequest): WebSocket | null {
    if (this.#ctx.getWebSockets().length >= MAX_WATCHERS) return null;
    const { 0: theirs, 1: ours } = new WebSocketPair();
    this.#ctx.acceptWebSocket(ours, [sessionId]);
    const { oldestId, newestId } = this.#ring;
    // An id from before the log was lost: everything that there is comes after it.
    const cursor = after === null ? newestId : after > newestId ? 0 : after;
    const watcher: Watcher = {
      ...{ filter, cursor, sessionEndsAtMs, toldUpTo: cursor },
      ...{ unacked: [], fullSinceMs: null },
    };
    send(ours, { type: "hello", oldestId, newestId });
    if (after !== null && after > newestId) {
      send(ours, { type: "gap", from: newestId + 1, to: after });
    }
    this.#bringUp(ours, watcher);
    return theirs;
  }

  /** Sends to everyone what is new to them. */
  bringAllUp(): void {
    for (const socket of this.#ctx.getWebSockets()) {
      if (socket.readyState === WebSocket.OPEN) this.#bringUp(socket, watcherOf(socket));
    }
  }

  /** Takes an acknowledgement; whatever else comes ends the socket. */
  take(socket: WebSocket, message: string | ArrayBuffer): void {
    // What was on its way while the socket was ended here.
    if (socket.readyState !== WebSocket.OPEN) return;
    const watcher = watcherOf(socket);
    const upTo = acknowledged(message);
    if (upTo === null || upTo > watcher.cursor) {
      end(socket, "malformed");
      return;
    }
    const left = watcher.unacked.filter((sent) => sent > upTo);
    if (left.length < watcher.unacked.length) watcher.fullSinceMs = null;
    watcher.unacked = left;
    this.#bringUp(socket, watcher);
  }

  /** Ends what a session has open: it was signed out. */
  endSession(sessionId: string): void {
    for (const socket of this.#ctx.getWebSockets(sessionId)) end(socket, "sessionEnded");
  }

  #bringUp(socket: WebSocket, watcher: Watcher): void {
    const nowMs = this.#now();
    if (nowMs >= watcher.sessionEndsAtMs) {
      end(socket, "sessionEnded");
      return;
    }
    const { unacked } = watcher;
    while (watcher.cursor < this.#ring.newestId && unacked.length < MAX_UNACKED_FRAMES) {
      this.#sendNext(socket, watcher);
    }
    const isBehind = watcher.cursor < this.#ring.newestId;
    watcher.fullSinceMs = isBehind ? (watcher.fullSinceMs ?? nowMs) : null;
    socket.serializeAttachment(watcher);
    if (nowMs - (watcher.fullSinceMs ?? nowMs) >= SLOW_MS) end(socket, "tooSlow");
  }

  #sendNext(socket: WebSocket, watcher: Watcher): void {
    const { oldestId, newestId } = this.#ring;
    if (watcher.cursor < oldestId - 1) {
      send(socket, { type: "gap", from: watcher.cursor + 1, to: oldestId - 1 });
      watcher.cursor = oldestId - 1;
    }
    const events = this.#ring.after(watcher.cursor, watcher.filter, FRAME_EVENTS);
    const isWhole = events.length === FRAME_EVENTS;
    const upTo = isWhole ? (events.at(-1)?.id ?? newestId) : newestId;
    watcher.cursor = upTo;
    if (events.length === 0 && upTo - watcher.toldUpTo < TELL_EVERY_EVENTS) return;
    send(socket, { type: "events", events, upTo });
    watcher.unacked.push(upTo);
    watcher.toldUpTo = upTo;
  }
}

function watcherOf(socket: WebSocket): Watcher {
  return socket.deserializeAttachment() as Watcher;
}

function send(socket: WebSocket, message: LiveMessage): void {
  socket.send(JSON.stringify(message));
}

function end(socket: WebSocket, why: keyof typeof CLOSE): void {
  const { code, reason } = CLOSE[why];
  socket.close(code, reason);
}

/** @returns the id up to which everything has arrived, or null where that is not what was sent */
function acknowledged(message: string | ArrayBuffer): number | null {
  if (typeof message !== "string" || message.length > MAX_MESSAGE_CHARS) return null;
  let parsed: unknown;
  try {
    parsed = JSON.parse(message);
  } catch {
    return null;
  }
  const { type, upTo } = (parsed ?? {}) as { type?: unknown; upTo?: unknown };
  return type === "ack" && typeof upTo === "number" && Number.isSafeInteger(upTo) ? upTo : null;
}
