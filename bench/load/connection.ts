import { connect, type Socket } from "node:net";
import { MessageReader } from "../http/message-reader.ts";

const STATUS_AT = "HTTP/1.1 ".length;
/** No answer of the benchmark takes longer. */
const SILENCE_MS = 30_000;

export interface Answer {
  status: string;
  /** The status line and the headers. */
  head: string;
  bodyBytes: number;
  /** The last bytes of the body; of an error the whole of it, as errors come in one piece. */
  tail: string;
}

const OK = "200";
/** Long enough for the last event of a stream. */
const TAIL_BYTES = 120;

/** A connection of a client: one request at a time, kept open for the next. */
export class Connection {
  readonly #socket: Socket;
  readonly #onBody: ((bytes: Buffer) => void) | null;
  #waiting: { settle: (answer: Answer) => void; fail: (error: Error) => void } | null = null;
  #head = "";
  #bodyBytes = 0;
  #tail: Buffer | null = null;

  /** @param onBody told of each piece of a body, for streams */
  constructor(port: number, onBody: ((bytes: Buffer) => void) | null = null) {
    this.#onBody = onBody;
    const reader = new MessageReader({
      onHead: (head) => {
        this.#head = head;
      },
      onBody: (bytes) => {
        this.#bodyBytes += bytes.length;
        this.#tail = bytes;
        this.#onBody?.(bytes);
      },
      onEnd: () => this.#settle(),
    });
    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true });
    this.#socket.on("data", (piece: Buffer) => reader.push(piece));
    this.#socket.on("error", (error) => this.#fail(error));
    this.#socket.on("close", () => this.#fail(new Error("the connection was closed")));
    this.#socket.setTimeout(SILENCE_MS, () => {
      // A connection that nobody uses may be silent for as long as it likes.
      if (this.#waiting !== null) this.#socket.destroy(new Error("no answer came"));
    });
  }

  /** Whether the other side has left the connection open. */
  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  /** Sends a request. @throws where no whole answer comes */
  ask(request: Buffer): Promise<Answer> {
    return new Promise((settle, fail) => {
      this.#waiting = { settle, fail };
      this.#bodyBytes = 0;
      this.#tail = null;
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#waiting = null;
    this.#socket.destroy();
  }

  #settle(): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    const status = this.#head.slice(STATUS_AT, STATUS_AT + OK.length);
    const tailAt = status === OK ? Math.max(0, (this.#tail?.length ?? 0) - TAIL_BYTES) : 0;
    waiting?.settle({
      status,
      head: this.#head,
      bodyBytes: this.#bodyBytes,
      tail: this.#tail?.toString("latin1", tailAt) ?? "",
    });
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.fail(error);
  }
}
