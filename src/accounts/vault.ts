import { toHex } from "../keys/key-format.ts";
import { fail, ok, type Result } from "../result.ts";

/**
 * Seals secrets at rest: AES-256-GCM under a key derived by HKDF-SHA-256 from `ENCRYPTION_KEY`.
 * Format: `v1.<kid>.<iv>.<ciphertext>`, base64url. The account's id and the field's name are
 * additional data, so that a ciphertext moved elsewhere does not decrypt.
 */
const VERSION = "v1";
/** 96 random bits a seal: fine for 2^32 seals under one key (NIST SP 800-38D §8.3). */
const IV_BYTES = 12;
const KID_BYTES = 6;
const HKDF_SALT = "claude-edge-relay";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export type UnsealError =
  /** Sealed under a key that this relay was not given. */
  | { kind: "other_key"; kid: string }
  /** Damaged, or moved from another account or field. */
  | { kind: "damaged" };

interface VaultKey {
  kid: string;
  key: CryptoKey;
}

export class Vault {
  readonly #current: VaultKey;
  readonly #byKid: ReadonlyMap<string, CryptoKey>;

  private constructor(current: VaultKey, previous: readonly VaultKey[]) {
    this.#current = current;
    this.#byKid = new Map([...previous, current].map(({ kid, key }) => [kid, key]));
  }

  /**
   * @param encryptionKey the key that seals, and unseals first
   * @param previousKeys keys that only unseal
   */
  static async open(encryptionKey: string, previousKeys: readonly string[] = []): Promise<Vault> {
    const [current, ...previous] = await Promise.all(
      [encryptionKey, ...previousKeys].map(deriveVaultKey),
    );
    if (current === undefined) throw new Error("a vault needs a key");
    return new Vault(current, previous);
  }

  /** Names the sealing key without telling anything of it. */
  get kid(): string {
    return this.#current.kid;
  }

  /** The names of the keys that only unseal. */
  get previousKids(): string[] {
    return [...this.#byKid.keys()].filter((kid) => kid !== this.#current.kid);
  }

  /** @returns whether this vault could unseal what was sealed under `kid`. */
  knows(kid: string): boolean {
    return this.#byKid.has(kid);
  }

  async seal(accountId: string, field: string, plaintext: string): Promise<string> {
    const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
    const ciphertext = await crypto.subtle.encrypt(
      { name: "AES-GCM", iv, additionalData: additionalData(accountId, field) },
      this.#current.key,
      encoder.encode(plaintext),
    );
    return [
      VERSION,
      this.#current.kid,
      toBase64Url(iv),
      toBase64Url(new Uint8Array(ciphertext)),
    ].join(".");
  }

  async unseal(
    accountId: string,
    field: string,
    sealed: string,
  ): Promise<Result<string, UnsealError>> {
    const [version, kid, iv, ciphertext, ...rest] = sealed.split(".");
    if (version !== VERSION || !kid || !iv || !ciphertext || rest.length > 0) {
      return fail({ kind: "damaged" });
    }
    const key = this.#byKid.get(kid);
    if (key === undefined) return fail({ kind: "other_key", kid });
    try {
      const plaintext = await crypto.subtle.decrypt(
        {
          name: "AES-GCM",
          iv: fromBase64Url(iv),
          additionalData: additionalData(accountId, field),
        },
        key,
        fromBase64Url(ciphertext),
      );
      return ok(decoder.decode(plaintext));
    } catch {
      return fail({ kind: "damaged" });
    }
  }
}

/** The name of the key that something was sealed under. */
export function keyIdOf(sealed: string): string {
  return sealed.split(".")[1] ?? "";
}

async function deriveVaultKey(secret: string): Promise<VaultKey> {
  const material = await crypto.subtle.importKey("raw", encoder.encode(secret), "HKDF", false, [
    "deriveBits",
    "deriveKey",
  ]);
  const hkdf = (info: string) => ({
    name: "HKDF",
    hash: "SHA-256",
    salt: encoder.encode(HKDF_SALT),
    info: encoder.encode(info),
  });
  const [key, kid] = await Promise.all([
    crypto.subtle.deriveKey(
      hkdf("account secrets"),
      material,
      { name: "AES-GCM", length: 256 },
      false,
      ["encrypt", "decrypt"],
    ),
    crypto.subtle.deriveBits(hkdf("key id"), material, KID_BYTES * 8),
  ]);
  return { kid: toHex(new Uint8Array(kid)), key };
}

function additionalData(accountId: string, field: string) {
  return encoder.encode(`${accountId}\n${field}`);
}

export function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

function fromBase64Url(text: string) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
