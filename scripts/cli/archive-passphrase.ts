import { readFileSync } from "node:fs";
import { errorCode } from "../host/stop.ts";
import { Failure, usageFailure } from "./failure.ts";
import { askSecret, isInteractive } from "./terminal.ts";
import { pathFrom } from "./user-path.ts";

const NAME = "RELAY_ARCHIVE_PASSPHRASE";
/** Short ones are guessed with the file at hand, as fast as machines allow. */
const MIN_CHARS = 12;

export const PASSPHRASE_TEXT = `
The passphrase comes from ${NAME}, from --passphrase-file, or is asked for.
`;

/** @param isNew it is to seal something: asked for twice, and not too short */
export async function passphraseFor(file: string | undefined, isNew: boolean): Promise<string> {
  const passphrase = await given(file, isNew);
  if (isNew && passphrase.length < MIN_CHARS) {
    throw usageFailure(
      `The passphrase is too short: ${MIN_CHARS} characters at the least. The archive holds every credential.`,
    );
  }
  return passphrase;
}

async function given(file: string | undefined, isNew: boolean): Promise<string> {
  if (file !== undefined) return firstLine(pathFrom(file));
  const value = process.env[NAME];
  if (value) return value;
  if (!isInteractive()) {
    throw usageFailure(`Set ${NAME} or give --passphrase-file: there is no one here to ask.`);
  }
  const passphrase = await askSecret("Passphrase of the archive");
  if (isNew && (await askSecret("The same once more")) !== passphrase) {
    throw new Failure("The two are not the same. Nothing was written.");
  }
  return passphrase;
}

function firstLine(path: string): string {
  try {
    const [line = ""] = readFileSync(path, "utf8").split(/\r?\n/, 1);
    if (line === "") throw usageFailure(`${path} holds no passphrase in its first line.`);
    return line;
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw usageFailure(`${path} cannot be read (${errorCode(error) ?? "unknown reason"}).`);
  }
}
