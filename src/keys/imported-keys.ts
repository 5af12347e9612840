import { RecentMap } from "../recent-map.ts";
import { hashImportedKey } from "./key-format.ts";

/** Two texts of 64 characters an entry. */
const MAX_KNOWN = 10_000;

/**
 * Keys that came from another system stand under the hash which that system kept of them. Which keys
 * those are is seen only by looking: the relay's own hash comes first, so that its own keys never pay.
 */
export class ImportedKeys {
  readonly #pepper: string;
  /** The imported hash by the relay's own, for keys that were found under it. */
  readonly #known = new RecentMap<string, string>(MAX_KNOWN);

  /** @param pepper the other system's encryption key */
  constructor(pepper: string) {
    this.#pepper = pepper;
  }

  /** The hash that the key with this hash was found under before; undefined: not yet, or not at all. */
  known(hash: string): string | undefined {
    return this.#known.get(hash);
  }

  hash(plainKey: string): Promise<string> {
    return hashImportedKey(plainKey, this.#pepper);
  }

  found(hash: string, importedHash: string): void {
    this.#known.set(hash, importedHash);
  }
}
