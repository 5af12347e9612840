import { DurableObject } from "cloudflare:workers";
import { type AuditEntry, type AuditRow, AuditTrail } from "./event-log/audit-trail.ts";
import type {
  EventBatch,
  EventCount,
  EventFilter,
  EventPage,
  LiveRequest,
} from "./event-log/contract.ts";
import { EventRing } from "./event-log/event-ring.ts";
import { LiveTail } from "./event-log/live-tail.ts";

const NORMAL_CLOSURE = 1000;

/** Shell of the event log: the ring of events with those who look on, and the audit trail. */
export class EventLog extends DurableObject<Env> {
  readonly #trail: AuditTrail;
  readonly #ring: EventRing;
  readonly #tail: LiveTail;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const now = () => Date.now();
    this.#trail = new AuditTrail(ctx.storage.sql);
    this.#ring = new EventRing({ storage: ctx.storage, now });
    this.#tail = new LiveTail({ ctx, ring: this.#ring, now });
  }

  /** Writes that an act begins. An act that cannot be written here must not happen. */
  begin(entry: AuditEntry): number {
    return this.#trail.begin(entry);
  }

  finish(id: number, outcome: "done" | "failed"): void {
    this.#trail.finish(id, outcome);
  }

  /** The newest acts first. @param before only acts with a smaller id; null: from the newest on */
  audit(before: number | null, limit: number): AuditRow[] {
    return this.#trail.page(before, limit);
  }

  /** Takes events in; a batch that was here before changes nothing. */
  async append(batch: EventBatch): Promise<void> {
    if (this.#ring.append(batch)) this.#tail.bringAllUp();
    await this.#ring.ensureAlarm();
  }

  events(filter: EventFilter, before: number | null, limit: number): EventPage {
    return this.#ring.page(filter, before, limit);
  }

  counts(): EventCount[] {
    return this.#ring.counts();
  }

  /** Ends the live logs of a session that was signed out. */
  endSession(sessionId: string): void {
    this.#tail.endSession(sessionId);
  }

  /** A live log: the one call that needs a request and an answer, as only these carry a socket. */
  override fetch(request: Request): Response {
    const asked = new URL(request.url).searchParams.get("request") ?? "";
    const socket = this.#tail.open(JSON.parse(asked) as LiveRequest);
    return socket === null
      ? new Response(null, { status: 503 })
      : new Response(null, { status: 101, webSocket: socket });
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    this.#tail.take(socket, message);
  }

  /** Their goodbye is answered; the runtime does not do it for sockets that hibernate. */
  override webSocketClose(socket: WebSocket): void {
    socket.close(NORMAL_CLOSURE);
  }

  override alarm(): Promise<void> {
    return this.#ring.alarm();
  }
}
