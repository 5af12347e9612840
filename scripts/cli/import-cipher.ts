import { createDecipheriv, scryptSync } from "node:crypto";

/** How claude-relay-service seals what it stores: AES-256-CBC, `ivhex:cipherhex`. */
const CIPHER = "aes-256-cbc";
const KEY_BYTES = 32;
const SEALED = /^([0-9a-f]{32}):((?:[0-9a-f]{32})+)$/i;
export const OAUTH_SALT = "salt";
export const CONSOLE_SALT = "claude-console-salt";

/**
 * Opens its values. It has no proof that a value is whole: a wrong key is noticed by the padding, or
 * by what comes out being no credential.
 */
export class ImportCipher {
  readonly #key: Buffer;
  /** How many values it has opened, and how many it could not: together they prove the key. */
  opened = 0;
  failed = 0;

  constructor(encryptionKey: string, salt: string) {
    this.#key = scryptSync(encryptionKey, salt, KEY_BYTES);
  }

  /** @returns the text, "" for an empty value, null where this key does not open it */
  open(value: string | undefined): string | null {
    if (value === undefined || value === "") return "";
    const [, iv, sealed] = SEALED.exec(value) ?? [];
    if (iv === undefined || sealed === undefined) {
      // It stores plain text where its encryption failed.
      return value.includes(":") && /^[0-9a-f]+:[0-9a-f]*$/i.test(value) ? null : value;
    }
    try {
      const decipher = createDecipheriv(CIPHER, this.#key, Buffer.from(iv, "hex"));
      const opened = Buffer.concat([decipher.update(Buffer.from(sealed, "hex")), decipher.final()]);
      const text = new TextDecoder("utf-8", { fatal: true }).decode(opened);
      this.opened += 1;
      return text;
    } catch {
      this.failed += 1;
      return null;
    }
  }
}
