const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;
const HEAD_END = "\r\n\r\n";
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;
const CHUNKED = /\r\ntransfer-encoding: *chunked/i;

/** What is told of the HTTP/1.1 messages on one connection. */
export interface MessageEvents {
  /** The start line and the headers, without the empty line. */
  onHead(head: string): void;
  /** A piece of the body, without the framing of chunks; valid during the call only. */
  onBody(bytes: Buffer): void;
  onEnd(): void;
}

type State = "head" | "length" | "chunk size" | "chunk" | "chunk end" | "trailer";

/**
 * Reads requests or answers one after the other. Lean on purpose: Node's own HTTP costs more than the
 * Worker that is to be measured. It knows the two framings that both sides use, and no other.
 */
export class MessageReader {
  readonly #events: MessageEvents;
  #state: State = "head";
  /** Bytes left of the body, or of the chunk. */
  #left = 0;
  /** A head that came in pieces. */
  #begun: Buffer | null = null;
  #size = 0;
  #inExtension = false;
  #trailerBytes = 0;

  constructor(events: MessageEvents) {
    this.#events = events;
  }

  push(piece: Buffer): void {
    let bytes = piece;
    if (this.#begun !== null) {
      bytes = Buffer.concat([this.#begun, piece]);
      this.#begun = null;
    }
    let at = 0;
    while (at < bytes.length) {
      switch (this.#state) {
        case "head": {
          const end = bytes.indexOf(HEAD_END, at, "latin1");
          if (end < 0) {
            this.#begun = bytes.subarray(at);
            return;
          }
          this.#beginBody(bytes.toString("latin1", at, end));
          at = end + HEAD_END.length;
          break;
        }
        case "length":
        case "chunk": {
          const end = Math.min(bytes.length, at + this.#left);
          this.#events.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
          this.#left -= end - at;
          at = end;
          if (this.#left > 0) break;
          if (this.#state === "chunk") this.#state = "chunk end";
          else this.#finish();
          break;
        }
        case "chunk size":
          at = this.#readSize(bytes, at);
          break;
        case "chunk end":
          if (bytes[at] === LF) this.#state = "chunk size";
          at += 1;
          break;
        case "trailer":
          // Nobody here sends trailers: only the empty line follows.
          this.#trailerBytes += 1;
          at += 1;
          if (this.#trailerBytes === 2) this.#finish();
          break;
      }
    }
  }

  #beginBody(head: string): void {
    this.#events.onHead(head);
    const length = CONTENT_LENGTH.exec(head)?.[1];
    if (length !== undefined) {
      this.#left = Number(length);
      this.#state = "length";
      if (this.#left === 0) this.#finish();
    } else if (CHUNKED.test(head)) {
      this.#state = "chunk size";
    } else {
      this.#finish();
    }
  }

  /** Reads a chunk's size line as far as it is there. @returns where to go on */
  #readSize(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length) {
      const byte = bytes[at] ?? 0;
      at += 1;
      if (byte === LF) {
        this.#left = this.#size;
        this.#trailerBytes = 0;
        this.#state = this.#size === 0 ? "trailer" : "chunk";
        this.#size = 0;
        this.#inExtension = false;
        return at;
      }
      if (byte === SEMICOLON) this.#inExtension = true;
      if (byte !== CR && !this.#inExtension) this.#size = this.#size * 16 + hexDigit(byte);
    }
    return at;
  }

  #finish(): void {
    this.#state = "head";
    this.#events.onEnd();
  }
}

/** The value of a hexadecimal digit in ASCII. */
function hexDigit(byte: number): number {
  return byte < 0x3a ? byte - 0x30 : (byte | 0x20) - 0x57;
}
