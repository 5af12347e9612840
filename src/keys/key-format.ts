/** Relay keys: `cr_` and 64 hex characters, so 256 random bits. */
const KEY_SHAPE = /^cr_[0-9a-f]{64}$/;
const SECRET_BYTES = 32;

const encoder = new TextEncoder();

export function isKeyShape(candidate: string): boolean {
  return KEY_SHAPE.test(candidate);
}

/** Makes a new plain key. It exists once: in the answer that hands it out. */
export function generateKey(): string {
  return `cr_${toHex(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)))}`;
}

/**
 * The name a key is stored under: hex SHA-256. No stretching: a key carries 256 random bits, so
 * there is nothing to guess.
 */
export async function hashKey(plainKey: string): Promise<string> {
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(plainKey))));
}

/**
 * The name that an imported key is stored under: the hash that the system it comes from kept of it.
 * See docs/decisions/imported-keys-by-a-second-hash.md.
 *
 * @param pepper that system's encryption key, which it appends to the plain key
 */
export function hashImportedKey(plainKey: string, pepper: string): Promise<string> {
  return hashKey(plainKey + pepper);
}

/** What lists and logs may show of a key: enough to recognise it, useless to use it. */
export function keyHint(plainKey: string): string {
  return `${plainKey.slice(0, 7)}...${plainKey.slice(-4)}`;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function toHex(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += HEX[byte];
  return hex;
}
