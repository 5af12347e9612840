import { type KeyRecord, parseKeyRecord } from "./key-record.ts";
import { type KeyQuery, KeyStoreUnavailable, type StoredKey } from "./key-store.ts";

/** What every key store shares: how keys are found by name and tag, and how a stored one is read. */

/** Four digits each, with prefix and id below the 512 bytes that a name in Workers KV may have. */
const INDEXED_MAX_CHARS = 100;

/**
 * A text without its case. Character by character: lower case as a whole depends on what follows
 * (the Greek sigma), and a prefix would not match.
 */
export function folded(text: string): string {
  let result = "";
  for (const character of text.normalize("NFC")) result += character.toUpperCase().toLowerCase();
  return result;
}

/**
 * A text as it stands in an index: four hex digits a UTF-16 unit. Any text whatever becomes plain
 * ASCII that sorts as the text does, and begins with what its beginning becomes. A longer one is cut.
 */
export function indexText(text: string): string {
  let hex = "";
  for (let at = 0; at < Math.min(text.length, INDEXED_MAX_CHARS); at += 1) {
    hex += text.charCodeAt(at).toString(16).padStart(4, "0");
  }
  return hex;
}

/** An entry of an index. A full stop sorts before every digit: "ab" comes before "abc". */
export function member(text: string, id: string): string {
  return `${text}.${id}`;
}

export function idOfMember(entry: string): string {
  return entry.slice(entry.indexOf(".") + 1);
}

/** An index may have cut a name, or be behind the record: the record decides. */
export function isAskedFor(record: KeyRecord, { namePrefix, tag }: KeyQuery): boolean {
  if (tag !== undefined && !record.tags.includes(tag)) return false;
  return namePrefix === undefined || folded(record.name).startsWith(folded(namePrefix));
}

/** Reads hash and record as they are stored together. @returns null where they cannot be read */
export function parseStoredKey(value: unknown): StoredKey | null {
  const { hash, record } = (value ?? {}) as { hash?: unknown; record?: unknown };
  const parsed = parseKeyRecord(record);
  return typeof hash === "string" && parsed !== null ? { hash, record: parsed } : null;
}

/** What cannot be read is an outage, never "no such key". */
export function readable<T>(parsed: T | null): T {
  if (parsed === null) throw new KeyStoreUnavailable("a stored key record cannot be read");
  return parsed;
}

export function inBatches<T>(items: readonly T[], size: number): T[][] {
  const batches: T[][] = [];
  for (let at = 0; at < items.length; at += size) batches.push(items.slice(at, at + size));
  return batches;
}
