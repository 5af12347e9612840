/**
 * Weighted rendezvous hashing: every isolate everywhere finds the same account for a session without
 * shared state, and where an account comes or goes only its own sessions move.
 */

/** FNV-1a over UTF-16 units, with Murmur3's finaliser for an even spread. Not cryptographic. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return finalised(hash);
}

/** One number of two hashes, as even as they are: much cheaper than hashing the joined text. */
export function mixed(left: number, right: number): number {
  return finalised(Math.imul(left, 0x9e3779b1) ^ right);
}

/**
 * The score of a candidate: the highest wins, and each wins as often as its weight says
 * (Schindelhauer and Schomaker 2005).
 *
 * @param hash 32 bits of (subject, candidate)
 */
export function weightedScore(hash: number, weight: number): number {
  // Half a step off both ends: the logarithm of 0 and of 1 would end all comparison.
  return -weight / Math.log((hash + 0.5) / 2 ** 32);
}

function finalised(seed: number): number {
  let hash = Math.imul(seed ^ (seed >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
