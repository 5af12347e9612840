import { createHash } from "node:crypto";
import {
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
} from "node:http";

/** A request as it goes over the wire: nothing is added but host, connection and framing. */
export interface RawRequest {
  method?: string;
  /** Path and query, sent as they are. */
  path?: string;
  headers?: Record<string, string>;
  /** One piece is sent with `content-length`, several are sent chunked. */
  body?: string | Uint8Array | readonly Uint8Array[];
}

/** An answer as it came over the wire, without HTTP's own chunk framing. Nothing is decoded. */
export interface RawAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** False where the connection ended before the answer did. */
  isWhole: boolean;
}

/** How a client ends its connection: in order (FIN), or abruptly (RST). */
export type Leaving = "close" | "reset";

/** An answer whose head has come, and whose body is coming. */
export class RawExchange {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly #outgoing: ClientRequest;
  readonly #ended: Promise<boolean>;
  #chunks: Buffer[] = [];
  #watchers = new Set<() => void>();

  constructor(outgoing: ClientRequest, response: IncomingMessage) {
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    this.#outgoing = outgoing;
    response.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      for (const watcher of this.#watchers) watcher();
    });
    response.on("error", () => {});
    this.#ended = new Promise((resolve) => {
      response.once("close", () => {
        resolve(response.complete);
        for (const watcher of this.#watchers) watcher();
      });
    });
  }

  /** What came so far. */
  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Resolves as soon as the bytes so far are accepted; rejects where the answer ends before. */
  async until(accept: (received: Buffer) => boolean): Promise<Buffer> {
    let isOver = false;
    void this.#ended.then(() => {
      isOver = true;
    });
    for (;;) {
      const { received } = this;
      if (accept(received)) return received;
      await Promise.resolve();
      if (isOver) throw new Error(`the answer ended early: ${received.toString().slice(-200)}`);
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#watchers.delete(wake);
          resolve();
        };
        this.#watchers.add(wake);
      });
    }
  }

  /** The client goes away; with "reset" as if its machine had gone down. */
  leave(how: Leaving = "close"): void {
    leave(this.#outgoing, how);
  }

  /** Reads to the end. */
  async rest(): Promise<RawAnswer> {
    const isWhole = await this.#ended;
    return { status: this.status, headers: this.headers, body: this.received, isWhole };
  }
}

/** Starts a request on a connection of its own; `leave` works before the head has come, too. */
export function startRaw(
  origin: string,
  { method = "POST", path = "/v1/messages", headers = {}, body }: RawRequest,
): { opened: Promise<RawExchange>; leave: (how?: Leaving) => void } {
  const { hostname, port } = new URL(origin);
  const pieces = Array.isArray(body) ? body : null;
  const whole = pieces === null && body !== undefined ? Buffer.from(body as Uint8Array) : null;
  const outgoing = request({
    host: hostname,
    port,
    method,
    path,
    agent: false,
    headers: { ...headers, ...(whole === null ? {} : { "content-length": String(whole.length) }) },
  });
  const opened = new Promise<RawExchange>((resolve, reject) => {
    outgoing.once("response", (response) => resolve(new RawExchange(outgoing, response)));
    // Stays for good: leaving makes the connection fail once more.
    outgoing.on("error", reject);
  });
  for (const piece of pieces ?? []) outgoing.write(piece);
  outgoing.end(whole ?? undefined);
  return { opened, leave: (how = "close") => leave(outgoing, how) };
}

/** Sends a request and reads the answer's head. */
export function openRaw(origin: string, raw: RawRequest): Promise<RawExchange> {
  return startRaw(origin, raw).opened;
}

/** Sends a request and reads the whole answer. */
export async function sendRaw(origin: string, raw: RawRequest): Promise<RawAnswer> {
  const exchange = await openRaw(origin, raw);
  return exchange.rest();
}

function leave(outgoing: ClientRequest, how: Leaving): void {
  if (how === "reset") outgoing.socket?.resetAndDestroy();
  else outgoing.destroy();
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}
