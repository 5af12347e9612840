import type { Command } from "commander";
import type { StoredKey } from "../../src/keys/key-store.ts";
import { examples, PROGRAM } from "./command-context.ts";
import { exitCodes, usageFailure } from "./failure.ts";
import { copyKey } from "./key-change.ts";
import { placeText, type StoreKind } from "./key-store-place.ts";
import { GRACE_NOTE } from "./keys-copy.ts";
import { keysPlace } from "./keys-work.ts";
import { keyIds, type OpenStore, storedKeys, withStore, writeEach } from "./open-store.ts";
import { startProgress } from "./progress.ts";
import { print, printJson, say } from "./terminal.ts";

const SHOWN_DIFFERENCES = 20;

interface Difference {
  id: string;
  problem: string;
}

/** `keys migrate`: from one kind of store to the other, and the proof that it is whole. */
export function migrateCommand(keys: Command): void {
  keys
    .command("migrate")
    .description("copies every key to the other store, and compares both; may be run again")
    .requiredOption("--from <store>", "kv or upstash")
    .requiredOption("--to <store>", "kv or upstash")
    .addHelpText(
      "after",
      `
The old store is left as it is. With --remote, kv is the deployed namespace. Set KEY_STORE to the
new store afterwards, and change no key in between. Exit code 1 where the stores differ at the end.
${examples(`${PROGRAM} keys migrate --from kv --to upstash`)}`,
    )
    .action(async (flags: { from: string; to: string }, command: Command) => {
      const [from, to] = [kindOf("--from", flags.from), kindOf("--to", flags.to)];
      if (from === to) throw usageFailure("--from and --to are the same store.");
      const places = [await keysPlace(command, from), await keysPlace(command, to)] as const;
      const { json } = command.optsWithGlobals<{ json?: boolean }>();
      const outcome = await withStore(places[0], (source) =>
        withStore(places[1], (target) => migrate(source, target)),
      );
      const { copied, skipped, differences } = outcome;
      if (differences.length > 0) process.exitCode = exitCodes.failed;
      if (json) return printJson(outcome);
      print(`${copied} copied, ${skipped} were there already in ${placeText(places[1])}.`);
      if (differences.length === 0) {
        print("Both stores hold the same keys: every hash and record was compared, both ways.");
        return say(GRACE_NOTE);
      }
      say(`The stores differ in ${differences.length} keys:`);
      for (const { id, problem } of differences.slice(0, SHOWN_DIFFERENCES)) {
        say(`  ${id}: ${problem}`);
      }
    });
}

async function migrate(source: OpenStore, target: OpenStore) {
  let copied = 0;
  let skipped = 0;
  const ids = await allIds(source);
  const progress = startProgress("Keys copied", ids.length);
  for (let at = 0; at < ids.length; at += target.atOnce) {
    const chunk = await storedKeys(source, ids.slice(at, at + target.atOnce));
    await target.prepare({ ids: chunk.map(({ record }) => record.id) });
    await writeEach(
      target,
      chunk,
      (key) => copyKey(target, key),
      (done) => {
        copied += done.filter((isNew) => isNew).length;
        skipped += done.filter((isNew) => !isNew).length;
        progress.step(done.length);
      },
    );
  }
  progress.end();
  return { copied, skipped, differences: await compare(source, target) };
}

/** Every key of both stores: its record, its hash, and what the hash alone leads to. */
async function compare(source: OpenStore, target: OpenStore): Promise<Difference[]> {
  const [has, got] = [await allKeys(source), await allKeys(target)];
  const differences: Difference[] = [];
  for (const id of new Set([...has.keys(), ...got.keys()])) {
    const [old, copy] = [has.get(id), got.get(id)];
    const problem =
      copy === undefined
        ? "is missing in the new store"
        : old === undefined
          ? "is in the new store only"
          : old !== copy
            ? "is not the same in both"
            : null;
    if (problem !== null) differences.push({ id, problem });
  }
  return differences;
}

/** A key's hash and record as one text, with what its hash leads to. */
async function allKeys(open: OpenStore): Promise<Map<string, string>> {
  const keys = await storedKeys(open, await allIds(open));
  const texts = new Map<string, string>();
  for (let at = 0; at < keys.length; at += open.atOnce) {
    const chunk = keys.slice(at, at + open.atOnce);
    await open.prepare({ hashes: chunk.map(({ hash }) => hash) });
    const byHash = await Promise.all(chunk.map(({ hash }) => open.store.findByHash(hash)));
    chunk.forEach((key, index) => {
      texts.set(key.record.id, textOf(key, byHash[index]));
    });
  }
  return texts;
}

/** Records are parsed when they are read, field by field: the same content is the same text. */
function textOf(key: StoredKey, byHash: unknown): string {
  return JSON.stringify([key.hash, key.record, byHash ?? null]);
}

async function allIds(open: OpenStore): Promise<string[]> {
  const ids: string[] = [];
  for await (const page of keyIds(open)) ids.push(...page);
  return ids;
}

function kindOf(flag: string, text: string): StoreKind {
  if (text === "kv" || text === "upstash") return text;
  throw usageFailure(`${flag} must be kv or upstash.`);
}
