/**
 * Checks that bytes are one JSON object (RFC 8259) and finds some of its top-level values, without
 * building any of it: a body may be 32 MiB, and its parsed tree would not fit an isolate's 128 MB.
 */

/** Deeper than any real conversation; bounds the stack of open containers. */
const MAX_DEPTH = 512;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const SPACE = 0x20;
const LOWER_U = 0x75;
/** What may follow a backslash besides `u`: `"\/bfnrt`. */
const SIMPLE_ESCAPES = new Set([...'"\\/bfnrt'].map((character) => character.charCodeAt(0)));
const WORDS = { 116: "true", 102: "false", 110: "null" } as const;

/** Where a value stands: from its first byte up to the byte after its last. */
export interface Slice {
  start: number;
  end: number;
}

export type ScanResult =
  | { kind: "object"; found: ReadonlyMap<string, Slice> }
  | { kind: "not_json"; atByte: number }
  | { kind: "too_deep" }
  /** Two members of the same wanted name: parsers differ in which one counts. */
  | { kind: "repeated"; name: string };

class NotJson extends Error {}
class TooDeep extends Error {}

const NO_NAMES: ReadonlySet<string> = new Set();

/**
 * @param wanted names of top-level members whose values are located, and which may stand only once
 * @param noted names of members that may stand more often: the last one is located
 */
export function scanObject(
  bytes: Uint8Array,
  wanted: ReadonlySet<string>,
  noted: ReadonlySet<string> = NO_NAMES,
): ScanResult {
  const scanner = new Scanner(bytes);
  try {
    return scanner.object(wanted, noted);
  } catch (error) {
    if (error instanceof TooDeep) return { kind: "too_deep" };
    if (error instanceof NotJson) return { kind: "not_json", atByte: scanner.position };
    throw error;
  }
}

const decoder = new TextDecoder();

/** The parsed value of a slice. Small ones only: it is parsed as a whole. */
export function parseSlice(bytes: Uint8Array, { start, end }: Slice): unknown {
  return JSON.parse(decoder.decode(bytes.subarray(start, end)));
}

class Scanner {
  position = 0;
  readonly #bytes: Uint8Array;
  readonly #length: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#length = bytes.byteLength;
  }

  object(wanted: ReadonlySet<string>, noted: ReadonlySet<string>): ScanResult {
    const found = new Map<string, Slice>();
    this.#whitespace();
    this.#expect(OPEN_OBJECT);
    this.#whitespace();
    if (this.#bytes[this.position] === CLOSE_OBJECT) {
      this.position += 1;
    } else {
      for (;;) {
        const name = this.#memberName();
        const start = this.position;
        this.#value();
        if (wanted.has(name)) {
          if (found.has(name)) return { kind: "repeated", name };
          found.set(name, { start, end: this.position });
        } else if (noted.has(name)) {
          found.set(name, { start, end: this.position });
        }
        this.#whitespace();
        if (this.#bytes[this.position] !== COMMA) break;
        this.position += 1;
        this.#whitespace();
      }
      this.#expect(CLOSE_OBJECT);
    }
    this.#whitespace();
    if (this.position < this.#length) throw new NotJson();
    return { kind: "object", found };
  }

  #memberName(): string {
    const start = this.position;
    this.#string();
    const name = parseSlice(this.#bytes, { start, end: this.position }) as string;
    this.#whitespace();
    this.#expect(COLON);
    this.#whitespace();
    return name;
  }

  /** One value of any kind, with a stack of its own instead of recursion. */
  #value(): void {
    const closers: number[] = [];
    for (;;) {
      const byte = this.#bytes[this.position];
      if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
        const closer = byte === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY;
        this.position += 1;
        this.#whitespace();
        if (this.#bytes[this.position] !== closer) {
          if (closers.length === MAX_DEPTH) throw new TooDeep();
          closers.push(closer);
          if (closer === CLOSE_OBJECT) this.#skipMemberName();
          continue;
        }
        this.position += 1;
      } else {
        this.#scalar(byte);
      }
      // A value has ended: close what it closes, and go on behind a comma.
      for (;;) {
        const closer = closers[closers.length - 1];
        if (closer === undefined) return;
        this.#whitespace();
        const next = this.#bytes[this.position];
        if (next === COMMA) {
          this.position += 1;
          this.#whitespace();
          if (closer === CLOSE_OBJECT) this.#skipMemberName();
          break;
        }
        if (next !== closer) throw new NotJson();
        this.position += 1;
        closers.pop();
      }
    }
  }

  #skipMemberName(): void {
    this.#string();
    this.#whitespace();
    this.#expect(COLON);
    this.#whitespace();
  }

  #scalar(byte: number | undefined): void {
    if (byte === QUOTE) this.#string();
    else if (byte === MINUS || isDigit(byte)) this.#number();
    else this.#word(WORDS[byte as keyof typeof WORDS]);
  }

  #string(): void {
    const bytes = this.#bytes;
    this.#expect(QUOTE);
    let position = this.position;
    for (;;) {
      const byte = bytes[position];
      if (byte === QUOTE) break;
      if (byte === BACKSLASH) {
        const escaped = bytes[position + 1];
        if (escaped === LOWER_U) {
          for (let digit = 2; digit < 6; digit += 1) {
            if (!isHexDigit(bytes[position + digit])) this.#failAt(position);
          }
          position += 6;
        } else {
          if (escaped === undefined || !SIMPLE_ESCAPES.has(escaped)) this.#failAt(position);
          position += 2;
        }
      } else {
        if (byte === undefined || byte < SPACE) this.#failAt(position);
        position += 1;
      }
    }
    this.position = position + 1;
  }

  #number(): void {
    if (this.#bytes[this.position] === MINUS) this.position += 1;
    if (this.#bytes[this.position] === ZERO) this.position += 1;
    else this.#digits();
    if (this.#bytes[this.position] === DOT) {
      this.position += 1;
      this.#digits();
    }
    const exponent = this.#bytes[this.position];
    if (exponent === 0x65 || exponent === 0x45) {
      this.position += 1;
      const sign = this.#bytes[this.position];
      if (sign === PLUS || sign === MINUS) this.position += 1;
      this.#digits();
    }
  }

  #digits(): void {
    if (!isDigit(this.#bytes[this.position])) throw new NotJson();
    while (isDigit(this.#bytes[this.position])) this.position += 1;
  }

  #word(word: string | undefined): void {
    if (word === undefined) throw new NotJson();
    for (let index = 0; index < word.length; index += 1) this.#expect(word.charCodeAt(index));
  }

  #whitespace(): void {
    for (;;) {
      const byte = this.#bytes[this.position];
      if (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.position += 1;
    }
  }

  #expect(byte: number): void {
    if (this.#bytes[this.position] !== byte) throw new NotJson();
    this.position += 1;
  }

  #failAt(position: number): never {
    this.position = position;
    throw new NotJson();
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

function isHexDigit(byte: number | undefined): boolean {
  return isDigit(byte) || (byte !== undefined && (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}
