import type { Slice } from "./json-scan.ts";

/**
 * Names the conversation that a message belongs to, where its client sends no session: by a hash of
 * what all its turns begin with, the system prompt and the first message of the user.
 *
 * What is the same beginning:
 * - `cache_control` does not count, wherever it stands, and a text counts as the block of text that
 *   clients turn it into to hang a mark on it. Nor does the order of members count, or the white
 *   space between values.
 * - Names and strings count as they are written: a client that escapes `é` in one turn and not in
 *   the next begins another conversation.
 * - Of a long string its ends and its length count, and of each half the first {@link HALF_BUDGET}
 *   bytes or so. Beginnings that differ only in the middle of something long are taken for one:
 *   they share an account, which costs nothing but evenness.
 */

/** Where the halves of a conversation's beginning stand in a body. */
export interface Opening {
  system: Slice | null;
  messages: Slice;
}

/** Conversations begin with the user. Where none of the first few messages is his, nothing is named. */
const MESSAGES_LOOKED_AT = 8;
/** Bytes that are hashed of either half: bounds the cost to some tens of microseconds. */
const HALF_BUDGET = 16 * 1024;
/** What each value costs beside its bytes, so that many small ones are bounded too. */
const VALUE_COST = 16;
/** Of a string longer than two ends, the ends are hashed. */
const STRING_END_BYTES = 2048;
/** A search costs more than a few steps: it begins where a string has gone on for so long. */
const LONG_RUN_BYTES = 256;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const SPACE = 0x20;

const encoder = new TextEncoder();
const ROLE = encoder.encode('"role"');
const USER = encoder.encode('"user"');
const CONTENT = encoder.encode('"content"');
const CACHE_CONTROL = encoder.encode('"cache_control"');

/** Two hashes of 32 bits, made differently, so that they do not agree by accident. Not cryptographic. */
interface Hash {
  a: number;
  b: number;
}

const NOTHING: Hash = { a: 0, b: 0 };
const TYPE_NAME = hashBytes(NOTHING, encoder.encode('"type"'));
const TEXT_NAME = hashBytes(NOTHING, encoder.encode('"text"'));

/**
 * @param bytes a body that was found to be JSON: its syntax is not checked again
 * @returns 29 characters, or null where the body does not begin a conversation
 */
export function conversationOf(bytes: Uint8Array, opening: Opening | null): string | null {
  if (opening === null) return null;
  const walk = new Walk(bytes);
  const message = walk.firstOfUser(opening.messages.start);
  if (message === null) return null;
  const system = opening.system === null ? NOTHING : walk.hashContent(opening.system.start);
  const { a, b } = pair(system, walk.hash(message));
  return `conversation:${hex(a)}${hex(b)}`;
}

/** Steps over values that are known to be well formed, and hashes some of them. Builds nothing. */
class Walk {
  readonly #bytes: Uint8Array;
  #at = 0;
  #budget = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** @returns where it begins. @param start where the value of `messages` begins */
  firstOfUser(start: number): number | null {
    if (this.#bytes[start] !== OPEN_ARRAY) return null;
    this.#at = start + 1;
    for (let looked = 0; looked < MESSAGES_LOOKED_AT; looked += 1) {
      this.#blank();
      const messageAt = this.#at;
      if (this.#bytes[messageAt] !== OPEN_OBJECT) return null;
      if (this.#isOfUser()) return messageAt;
      this.#at = messageAt;
      this.#skipValue();
    }
    return null;
  }

  hash(start: number): Hash {
    this.#at = start;
    this.#budget = HALF_BUDGET;
    return this.#value();
  }

  /** Of a value that is a text or a list of blocks. */
  hashContent(start: number): Hash {
    this.#at = start;
    this.#budget = HALF_BUDGET;
    return this.#content();
  }

  #isOfUser(): boolean {
    this.#at += 1;
    for (;;) {
      this.#blank();
      if (this.#bytes[this.#at] !== QUOTE) return false;
      const isRole = this.#stands(ROLE);
      this.#skipString();
      this.#blank();
      if (isRole) return this.#stands(USER);
      this.#skipValue();
    }
  }

  #content(): Hash {
    if (this.#bytes[this.#at] !== QUOTE) return this.#value();
    const text = this.#leaf();
    return pair(NOTHING, sum(pair(TYPE_NAME, TEXT_NAME), pair(TEXT_NAME, text)));
  }

  #value(): Hash {
    switch (this.#bytes[this.#at]) {
      case OPEN_OBJECT:
        return this.#object();
      case OPEN_ARRAY:
        return this.#array();
      default:
        return this.#leaf();
    }
  }

  /** The members are summed up, so that their order does not count. */
  #object(): Hash {
    let members = NOTHING;
    this.#open();
    while (this.#goesOn(CLOSE_OBJECT)) {
      if (this.#stands(CACHE_CONTROL)) {
        this.#skipString();
        this.#blank();
        this.#skipValue();
        continue;
      }
      const isContent = this.#stands(CONTENT);
      const name = this.#leaf();
      this.#blank();
      members = sum(members, pair(name, isContent ? this.#content() : this.#value()));
    }
    return members;
  }

  #array(): Hash {
    let elements = NOTHING;
    this.#open();
    while (this.#goesOn(CLOSE_ARRAY)) elements = pair(elements, this.#value());
    return elements;
  }

  #open(): void {
    this.#budget -= VALUE_COST;
    this.#at += 1;
  }

  /** Whether another member or element is there and may be hashed. Steps over the closing bracket. */
  #goesOn(closer: number): boolean {
    if (this.#budget <= 0) return false;
    this.#blank();
    if (this.#bytes[this.#at] !== closer) return true;
    this.#at += 1;
    return false;
  }

  /** A string, a number or a word. */
  #leaf(): Hash {
    const start = this.#at;
    this.#skipValue();
    const length = this.#at - start;
    if (length <= 2 * STRING_END_BYTES) {
      this.#budget -= VALUE_COST + length;
      return hashBytes(NOTHING, this.#bytes.subarray(start, this.#at));
    }
    this.#budget -= VALUE_COST + 2 * STRING_END_BYTES;
    const head = this.#bytes.subarray(start, start + STRING_END_BYTES);
    const tail = this.#bytes.subarray(this.#at - STRING_END_BYTES, this.#at);
    return pair({ a: length, b: length }, hashBytes(hashBytes(NOTHING, head), tail));
  }

  #skipValue(): void {
    const first = this.#bytes[this.#at];
    if (first === QUOTE) {
      this.#skipString();
      return;
    }
    if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) {
      this.#skipPlain();
      return;
    }
    let depth = 0;
    do {
      const byte = this.#bytes[this.#at];
      if (byte === QUOTE) {
        this.#skipString();
        continue;
      }
      if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth += 1;
      else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth -= 1;
      this.#at += 1;
    } while (depth > 0 && this.#at < this.#bytes.length);
  }

  /** A long run without escapes is searched natively: a picture of megabytes is one string. */
  #skipString(): void {
    const bytes = this.#bytes;
    let at = this.#at + 1;
    let run = 0;
    while (at < bytes.length && bytes[at] !== QUOTE) {
      if (bytes[at] === BACKSLASH) {
        at += 2;
        run = 0;
        continue;
      }
      at += 1;
      run += 1;
      if (run < LONG_RUN_BYTES) continue;
      run = 0;
      const quoteAt = bytes.indexOf(QUOTE, at);
      let before = quoteAt;
      while (before > at && bytes[before - 1] === BACKSLASH) before -= 1;
      const isEscaped = (quoteAt - before) % 2 === 1;
      at = isEscaped ? quoteAt + 1 : Math.max(at, quoteAt);
    }
    this.#at = at + 1;
  }

  /** A number or a word: up to whatever cannot be part of one. */
  #skipPlain(): void {
    for (;;) {
      const byte = this.#bytes[this.#at] ?? SPACE;
      if (byte <= SPACE || byte === COMMA || byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) return;
      this.#at += 1;
    }
  }

  /** White space, commas and colons: where they may stand was checked before. */
  #blank(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined || (byte > SPACE && byte !== COMMA && byte !== COLON)) return;
      this.#at += 1;
    }
  }

  #stands(text: Uint8Array): boolean {
    for (let index = 0; index < text.length; index += 1) {
      if (this.#bytes[this.#at + index] !== text[index]) return false;
    }
    return true;
  }
}

/** FNV-1a, and the same with another factor; Murmur3's finaliser spreads both. */
function hashBytes({ a, b }: Hash, bytes: Uint8Array): Hash {
  let first = a ^ 0x811c9dc5;
  let second = b ^ 0x2f6e2b1;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index] ?? 0;
    first = Math.imul(first ^ byte, 0x01000193);
    second = Math.imul(second ^ byte, 0x9e3779b1);
  }
  return { a: spread(first), b: spread(second) };
}

/** One hash of two, in this order. */
function pair(left: Hash, right: Hash): Hash {
  return {
    a: spread(Math.imul(left.a, 0x85ebca6b) ^ right.a),
    b: spread(Math.imul(left.b, 0xc2b2ae35) + right.b),
  };
}

/** One hash of two, in any order. */
function sum(left: Hash, right: Hash): Hash {
  return { a: (left.a + right.a) | 0, b: (left.b + right.b) | 0 };
}

function spread(hash: number): number {
  let spreading = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  spreading = Math.imul(spreading ^ (spreading >>> 13), 0xc2b2ae35);
  return spreading ^ (spreading >>> 16);
}

function hex(hash: number): string {
  return (hash >>> 0).toString(16).padStart(8, "0");
}
