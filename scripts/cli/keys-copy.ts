import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { parseStoredKey } from "../../src/keys/key-index.ts";
import { markOf } from "../../src/keys/key-record.ts";
import type { StoredKey } from "../../src/keys/key-store.ts";
import { replaceAtomically } from "../host/exclusive-file.ts";
import { errorCode } from "../host/stop.ts";
import { examples, PROGRAM } from "./command-context.ts";
import { Failure, usageFailure } from "./failure.ts";
import { copyKey } from "./key-change.ts";
import { onKeys } from "./keys-work.ts";
import { keyIds, storedKeys, writeEach } from "./open-store.ts";
import { startProgress } from "./progress.ts";
import { print, printJson, say } from "./terminal.ts";
import { pathFrom } from "./user-path.ts";

const HASH = /^[0-9a-f]{64}$/;

export const GRACE_NOTE =
  "A secret that was replaced with grace is not among them: it ends with the move.";

/** `keys export` and `keys import`: records and hashes; plain keys are kept nowhere. */
export function copyCommands(keys: Command): void {
  keys
    .command("export")
    .description("writes every key's record and hash, one JSON line each; no plain key exists")
    .option("--output <file>", "to a file that only you can read, instead of standard output")
    .addHelpText("after", examples(`${PROGRAM} keys export --output keys.jsonl`))
    .action(async (flags: { output?: string }, command: Command) => {
      await onKeys(command, async ({ open, json }) => {
        const lines: string[] = [];
        for await (const ids of keyIds(open)) {
          lines.push(...(await storedKeys(open, ids)).map((key) => JSON.stringify(key)));
        }
        const text = lines.map((line) => `${line}\n`).join("");
        if (flags.output === undefined) {
          process.stdout.write(text);
          return;
        }
        const path = pathFrom(flags.output);
        try {
          replaceAtomically(path, text);
        } catch (error) {
          throw new Failure(`${path} cannot be written (${errorCode(error) ?? "unknown reason"}).`);
        }
        if (json) return printJson({ exported: lines.length, path });
        print(
          `${lines.length} ${lines.length === 1 ? "key was" : "keys were"} written to ${path}.`,
        );
        say(GRACE_NOTE);
      });
    });

  keys
    .command("import")
    .description("writes exported keys back; the same and newer versions in the store stay")
    .argument("<file>", "what `keys export` wrote")
    .addHelpText("after", examples(`${PROGRAM} keys import keys.jsonl`))
    .action(async (given: string, _flags: object, command: Command) => {
      const copies = readCopies(pathFrom(given));
      await onKeys(command, async ({ open, notice, json }) => {
        const imported: string[] = [];
        const progress = startProgress("Keys read", copies.length);
        try {
          await writeEach(
            open,
            copies,
            async (copy) => ({ id: copy.record.id, isNew: await copyKey(open, copy) }),
            (done) => {
              imported.push(...done.flatMap(({ id, isNew }) => (isNew ? [id] : [])));
              progress.step(done.length);
            },
          );
        } finally {
          progress.end();
          await notice.tell(imported);
        }
        const skipped = copies.length - imported.length;
        if (json) return printJson({ imported: imported.length, skipped });
        print(
          `${imported.length} imported, ${skipped} skipped: the store has them as new or newer.`,
        );
      });
    });
}

/** All of the file is read before anything is written. */
function readCopies(path: string): StoredKey[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") throw usageFailure(`There is no file ${path}.`);
    throw usageFailure(`${path} cannot be read (${errorCode(error) ?? "unknown reason"}).`);
  }
  const copies = new Map<string, StoredKey>();
  text.split("\n").forEach((line, index) => {
    if (line.trim() === "") return;
    const copy = parseCopy(line);
    if (copy === null) {
      throw new Failure(`Line ${index + 1} of ${path} is no exported key. Nothing was imported.`);
    }
    const known = copies.get(copy.record.id);
    if (known === undefined || known.record.version < copy.record.version) {
      copies.set(copy.record.id, copy);
    }
  });
  return [...copies.values()];
}

function parseCopy(line: string): StoredKey | null {
  try {
    const copy = parseStoredKey(JSON.parse(line));
    const isWhole = copy !== null && HASH.test(copy.hash);
    return isWhole && copy.record.secret.mark === markOf(copy.hash) ? copy : null;
  } catch {
    return null;
  }
}
