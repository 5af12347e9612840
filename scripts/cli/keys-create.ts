import { appendFileSync, closeSync, openSync } from "node:fs";
import type { Command } from "commander";
import { numberedNames } from "../../src/admin/key-plan.ts";
import { type KeyFields, newKey } from "../../src/keys/new-key.ts";
import { errorCode } from "../host/stop.ts";
import { examples, PROGRAM } from "./command-context.ts";
import { Failure, usageFailure } from "./failure.ts";
import { type Key, shownKey } from "./key.ts";
import { CLEARING, type KeyFlags, newKeyFields, settingFlags } from "./key-flags.ts";
import { called, type KeyWork, onKeys } from "./keys-work.ts";
import { momentText } from "./moment.ts";
import { writeEach } from "./open-store.ts";
import { startProgress } from "./progress.ts";
import { tableLines } from "./table.ts";
import { askText, isInteractive, print, printJson, say } from "./terminal.ts";
import { pathFrom } from "./user-path.ts";

const COUNT_MAX = 10_000;
const FILE_MODE = 0o600;

interface CreateFlags extends KeyFlags {
  count?: string;
  namePrefix?: string;
  output?: string;
}

export type MadeKey = Key & { apiKey: string };

export function createCommand(keys: Command): void {
  const command = keys
    .command("create")
    .description("makes a key, or many, and shows them, this once")
    .option("--name <name>", "whose key it is")
    .option("--count <n>", "makes so many keys, with numbered names")
    .option("--name-prefix <text>", "with --count: what the numbered names begin with")
    .option("--output <file>", "writes the keys to a new file that only you can read");
  settingFlags(command)
    .addHelpText(
      "after",
      CLEARING +
        examples(
          `${PROGRAM} keys create --name alice --expires 30d --daily-cost 5`,
          `${PROGRAM} keys create --count 30 --name-prefix class- --tag course --output keys.tsv`,
          "node scripts/cli.ts keys create --name ci --json | jq -r .apiKey",
        ),
    )
    .action(async (flags: CreateFlags, self: Command) => {
      const names = await namesOf(flags);
      // Before anything is opened: a wrong flag makes nothing.
      const wanted = names.map((name) => newKeyFields({ ...flags, name }));
      const sink = flags.output === undefined ? null : new KeyFile(pathFrom(flags.output));
      await onKeys(self, (work) => create(work, wanted, flags, sink));
    });
}

async function create(
  work: KeyWork,
  wanted: KeyFields[],
  flags: CreateFlags,
  sink: KeyFile | null,
): Promise<void> {
  const made: MadeKey[] = [];
  const progress = startProgress("Keys made", wanted.length);
  let failure: unknown = null;
  try {
    await writeEach(
      work.open,
      wanted,
      async (fields): Promise<MadeKey> => {
        const { plainKey, stored } = await newKey(fields, Date.now());
        await work.open.store.put(stored, null);
        return { ...shownKey(stored.record), apiKey: plainKey };
      },
      (written) => {
        made.push(...written);
        // As they are made: whatever happens next, no key that works is lost.
        sink?.add(written, work.json);
        progress.step(written.length);
      },
    );
  } catch (error) {
    failure = error;
  }
  progress.end();
  sink?.close();
  if (made.length > 0) report(work, made, flags, sink);
  if (failure === null) return;
  if (made.length > 0) say(`Only ${made.length} of ${wanted.length} keys were made.`);
  throw failure;
}

function report(work: KeyWork, made: MadeKey[], flags: CreateFlags, sink: KeyFile | null): void {
  const isBatch = flags.count !== undefined;
  const [first] = made;
  if (work.json) {
    const shown = sink === null ? made : made.map(({ apiKey: _, ...key }) => key);
    printJson(isBatch ? { keys: shown } : shown[0]);
  } else if (sink !== null) {
    const what = made.length === 1 ? "1 key was" : `${made.length} keys were`;
    print(`${what} written to ${sink.path}.`);
  } else if (isBatch || first === undefined) printAll(made);
  else {
    print(`Key ${called(first)} was made. ${expiryText(first)}`);
    printSecret(work, first.apiKey);
  }
}

function printAll(made: readonly MadeKey[]): void {
  print(`${made.length} keys were made. Copy them now, they cannot be shown again.`);
  print();
  const columns = ["NAME", "ID", "API KEY"].map((title) => ({ title }));
  // Without a width: a key that is cut is worth nothing.
  const rows = made.map(({ name, id, apiKey }) => [name, id, apiKey]);
  for (const line of tableLines(columns, rows, undefined)) print(line);
}

/** Shows a new secret, with what a client needs to use it. */
export function printSecret({ address, open }: KeyWork, apiKey: string): void {
  const isElsewhere = open.place.kind === "remote" && !address.isGiven;
  const url = isElsewhere ? "https://<address of the relay>" : address.url;
  print("Copy it now, it cannot be shown again. These lines point Claude Code at the relay:");
  print();
  for (const line of settingLines(url, apiKey)) print(`  ${line}`);
}

export function expiryText({ expiresAt }: Pick<Key, "expiresAt">): string {
  return expiresAt === null ? "It never expires." : `It expires ${momentText(expiresAt)}.`;
}

async function namesOf({ name, count, namePrefix }: CreateFlags): Promise<string[]> {
  if (count === undefined) {
    if (namePrefix !== undefined) throw usageFailure("--name-prefix goes with --count.");
    if (name === undefined && !isInteractive()) throw usageFailure("--name is missing.");
    return [name ?? (await askText("Whose key is it? A name"))];
  }
  if (name !== undefined || namePrefix === undefined) {
    throw usageFailure("With --count, give --name-prefix and no --name.");
  }
  const total = /^\d{1,5}$/.test(count) ? Number(count) : 0;
  if (total < 1 || total > COUNT_MAX) {
    throw usageFailure(`--count must be a number from 1 to ${COUNT_MAX}.`);
  }
  return numberedNames(namePrefix, { from: 1, count: total, digits: count.length });
}

/** How a client is told of the relay, in the words of this machine's shell. */
function settingLines(url: string, key: string): [string, string] {
  const line = (name: string, value: string) =>
    process.platform === "win32" ? `$env:${name} = "${value}"` : `export ${name}=${value}`;
  return [line("ANTHROPIC_BASE_URL", url), line("ANTHROPIC_AUTH_TOKEN", key)];
}

/** A new file of plain keys: name, id and key a line, or a JSON object a line. */
class KeyFile {
  readonly path: string;
  readonly #file: number;

  /** Never over a file that is there: it may hold the only copy of other keys. */
  constructor(path: string) {
    this.path = path;
    try {
      this.#file = openSync(path, "wx", FILE_MODE);
    } catch (error) {
      if (errorCode(error) === "EEXIST") {
        throw usageFailure(`${path} is there already. Give the name of a new file.`);
      }
      throw new Failure(`${path} cannot be written (${errorCode(error) ?? "unknown reason"}).`);
    }
  }

  add(keys: readonly MadeKey[], json: boolean): void {
    const lines = keys.map((key) =>
      json ? JSON.stringify(key) : [key.name, key.id, key.apiKey].join("\t"),
    );
    if (lines.length > 0) appendFileSync(this.#file, `${lines.join("\n")}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}
