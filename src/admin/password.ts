import { Buffer } from "node:buffer";
import { randomBytes, scryptSync, timingSafeEqual } from "node:crypto";

/**
 * scrypt cost: N = 2^14, r = 8, p = 5 needs 16 MiB and is one of OWASP's recommended settings
 * (Password Storage Cheat Sheet). It takes about 0.4 s, once per login, inside a Durable Object:
 * there the CPU allowance is 30 s on every plan, and 128 MB bounds the memory.
 */
const LOG2_N = 14;
const BLOCK_SIZE = 8;
const PARALLELISM = 5;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** scrypt needs 128 * N * r bytes; Node's default ceiling lies just at it. */
const MAX_MEMORY_BYTES = 64 * 1024 * 1024;
/** Upper bounds for a hash made elsewhere: what a Durable Object can afford. */
const MAX_LOG2_N = 15;
const MAX_PARALLELISM = 8;

export interface PasswordHash {
  log2N: number;
  blockSize: number;
  parallelism: number;
  salt: Uint8Array;
  hash: Uint8Array;
}

/**
 * Hashes a password with a fresh salt.
 *
 * @returns PHC string format: `$scrypt$ln=14,r=8,p=5$<salt>$<hash>`, both base64 without padding.
 */
export function hashPassword(password: string): string {
  const salt = randomBytes(SALT_BYTES);
  const hash = derive(password, salt, LOG2_N, BLOCK_SIZE, PARALLELISM, HASH_BYTES);
  return `$scrypt$ln=${LOG2_N},r=${BLOCK_SIZE},p=${PARALLELISM}$${unpadded(salt)}$${unpadded(hash)}`;
}

/** Compares in constant time. A hash that cannot be read never matches. */
export function verifyPassword(password: string, stored: string): boolean {
  const parsed = parsePasswordHash(stored);
  if (parsed === null) return false;
  const { salt, log2N, blockSize, parallelism, hash } = parsed;
  return timingSafeEqual(derive(password, salt, log2N, blockSize, parallelism, hash.length), hash);
}

/** @returns the parts of a PHC scrypt string, or null where it is none that this relay would run. */
export function parsePasswordHash(stored: string): PasswordHash | null {
  const match =
    /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{16,64})\$([A-Za-z0-9+/]{32,128})$/.exec(
      stored,
    );
  if (match === null) return null;
  const [, log2N, blockSize, parallelism, salt, hash] = match;
  const parsed: PasswordHash = {
    log2N: Number(log2N),
    blockSize: Number(blockSize),
    parallelism: Number(parallelism),
    salt: Buffer.from(salt ?? "", "base64"),
    hash: Buffer.from(hash ?? "", "base64"),
  };
  const affordable =
    parsed.log2N >= LOG2_N &&
    parsed.log2N <= MAX_LOG2_N &&
    parsed.blockSize === BLOCK_SIZE &&
    parsed.parallelism >= 1 &&
    parsed.parallelism <= MAX_PARALLELISM;
  return affordable ? parsed : null;
}

function derive(
  password: string,
  salt: Uint8Array,
  log2N: number,
  blockSize: number,
  parallelism: number,
  bytes: number,
): Buffer {
  return scryptSync(password.normalize("NFC"), salt, bytes, {
    N: 2 ** log2N,
    r: blockSize,
    p: parallelism,
    maxmem: MAX_MEMORY_BYTES,
  });
}

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replace(/=+$/, "");
}
