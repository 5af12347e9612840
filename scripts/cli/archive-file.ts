import { readFileSync } from "node:fs";
import * as v from "valibot";
import { errorCode } from "../host/stop.ts";
import { Failure, usageFailure } from "./failure.ts";

/**
 * An archive is a file of the age format (age-encryption.org/v1), sealed with a passphrase. The format's
 * package is loaded where it is used: the other commands start sooner without it.
 */
const AGE_BEGINNING = "age-encryption.org/v1\n";
const FORMAT = "claude-edge-relay archive";
const VERSION = 1;

const settingsSchema = v.looseObject({
  name: v.string(),
  expiresAtMs: v.nullable(v.number()),
});
const credentialSchema = v.object({
  kind: v.picklist(["api_key", "oauth", "setup_token"]),
  access: v.string(),
  refresh: v.nullable(v.string()),
  expiresAtMs: v.nullable(v.number()),
  scopes: v.array(v.string()),
});
const archiveSchema = v.object({
  format: v.literal(FORMAT),
  version: v.literal(VERSION),
  createdAt: v.string(),
  accounts: v.array(
    v.object({
      id: v.string(),
      settings: settingsSchema,
      credential: credentialSchema,
      proxy: v.nullable(v.looseObject({})),
    }),
  ),
  keys: v.array(
    v.looseObject({
      hash: v.string(),
      record: v.looseObject({ id: v.string(), name: v.string() }),
      activatedAtMs: v.nullable(v.number()),
      usage: v.array(v.looseObject({ model: v.string() })),
    }),
  ),
  prices: v.array(v.looseObject({ model: v.string(), effectiveFrom: v.string() })),
});

export type Archive = v.InferOutput<typeof archiveSchema>;
export type ArchivedAccount = Archive["accounts"][number];

export function newArchive(parts: Pick<Archive, "accounts" | "keys" | "prices">): Archive {
  return { format: FORMAT, version: VERSION, createdAt: new Date().toISOString(), ...parts };
}

export async function sealArchive(archive: Archive, passphrase: string): Promise<Uint8Array> {
  const { Encrypter } = await import("age-encryption");
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  return encrypter.encrypt(JSON.stringify(archive));
}

export function readArchiveFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") throw usageFailure(`There is no file ${path}.`);
    throw usageFailure(`${path} cannot be read (${errorCode(error) ?? "unknown reason"}).`);
  }
}

/** Opens all of an archive, and checks it, before any of it is used. @throws Failure */
export async function openArchive(
  bytes: Uint8Array,
  passphrase: string,
  path: string,
): Promise<Archive> {
  const beginning = new TextDecoder("latin1").decode(bytes.subarray(0, AGE_BEGINNING.length));
  if (beginning !== AGE_BEGINNING) {
    throw new Failure(
      `${path} is no archive of a relay: it does not begin as one. Nothing was done.`,
    );
  }
  const { Decrypter } = await import("age-encryption");
  let text: string;
  try {
    const decrypter = new Decrypter();
    decrypter.addPassphrase(passphrase);
    text = await decrypter.decrypt(bytes, "text");
  } catch (error) {
    const reason = error instanceof Error ? error.message : "";
    throw new Failure(
      /no identity matched/i.test(reason)
        ? `The passphrase does not open ${path}. Nothing was done.`
        : `${path} is damaged: it was cut off or changed since it was written. Nothing was done.`,
    );
  }
  const parsed = v.safeParse(archiveSchema, parsedJson(text));
  if (parsed.success) return parsed.output;
  throw new Failure(
    `${path} was opened, and its content is not known to this version of the CLI. Nothing was done.`,
  );
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
