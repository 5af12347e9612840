import type { Command } from "commander";
import type { KeyRecord } from "../../src/keys/key-record.ts";
import type { StoredKey } from "../../src/keys/key-store.ts";
import { examples, PROGRAM } from "./command-context.ts";
import { Failure, usageFailure } from "./failure.ts";
import { shownKey } from "./key.ts";
import { changeKey, patchOf } from "./key-change.ts";
import { findStoredKey } from "./key-find.ts";
import {
  CLEARING,
  hasSettings,
  type KeyFlags,
  keyPlan,
  settingFlags,
  tagFlags,
} from "./key-flags.ts";
import { expiryText } from "./keys-create.ts";
import { called, type KeyWork, onKeys, WHICH } from "./keys-work.ts";
import { keyIds, storedKeys, writeEach } from "./open-store.ts";
import { startProgress } from "./progress.ts";
import { print, printJson, say } from "./terminal.ts";

interface UpdateFlags extends KeyFlags {
  whereTag?: string;
}

export function updateCommand(keys: Command): void {
  const command = keys
    .command("update")
    .description("changes the settings of a key, or of all keys with a tag")
    .argument("[key]", WHICH)
    .option("--where-tag <tag>", "changes every key with this tag; deleted ones stay as they are")
    .option("--name <name>", "a new name");
  tagFlags(settingFlags(command))
    .addHelpText(
      "after",
      CLEARING +
        examples(
          `${PROGRAM} keys update alice --expires never`,
          `${PROGRAM} keys update --where-tag course --daily-cost 2`,
          `${PROGRAM} keys update --where-tag course --add-tag over`,
        ),
    )
    .action(async (given: string | undefined, flags: UpdateFlags, self: Command) => {
      if (!hasSettings(flags)) {
        throw usageFailure("Nothing to change: give --name, --expires or another setting.");
      }
      if ((given === undefined) === (flags.whereTag === undefined)) {
        throw usageFailure("Give either a key or --where-tag.");
      }
      if (flags.whereTag !== undefined && flags.name !== undefined) {
        throw usageFailure("--name goes with one key, not with --where-tag.");
      }
      await onKeys(self, (work) =>
        flags.whereTag === undefined
          ? updateOne(work, given ?? "", flags)
          : updateTagged(work, flags.whereTag, flags),
      );
    });
}

async function updateOne(work: KeyWork, given: string, flags: KeyFlags): Promise<void> {
  const { open, notice, json } = work;
  const stored = await findStoredKey(open, given);
  const patch = patchOf(keyPlan(flags, stored.record), stored.record);
  const record = patch === null ? stored.record : await changeKey(open, stored, patch);
  await open.commit();
  await notice.tell([record.id]);
  const key = shownKey(record);
  if (json) return printJson(key);
  print(`Key ${called(key)} was changed. ${expiryText(key)}`);
}

async function updateTagged(work: KeyWork, tag: string, flags: KeyFlags): Promise<void> {
  const { open, notice, json } = work;
  const ids: string[] = [];
  for await (const page of keyIds(open, { tag })) ids.push(...page);
  const found = (await storedKeys(open, ids)).filter(({ record }) => record.deletedAtMs === null);
  if (found.length === 0) throw new Failure(`No key has the tag "${tag}".`);
  // All of them are checked before the first is changed.
  const changes = found.flatMap((stored): [StoredKey, Partial<KeyRecord>][] => {
    const patch = patchOf(keyPlan(flags, stored.record), stored.record);
    return patch === null ? [] : [[stored, patch]];
  });
  const progress = startProgress("Keys changed", changes.length);
  const changed: KeyRecord[] = [];
  try {
    await writeEach(
      open,
      changes,
      ([stored, patch]) => changeKey(open, stored, patch),
      (written) => {
        changed.push(...written);
        progress.step(written.length);
      },
    );
  } catch (error) {
    say(
      `${changed.length} of ${changes.length} keys were changed; the same command does the rest.`,
    );
    throw error;
  } finally {
    progress.end();
    await notice.tell(changed.map(({ id }) => id));
  }
  if (json) return printJson({ keys: changed.map(shownKey) });
  const same = found.length - changed.length;
  const others = same === 0 ? "" : ` ${same} had these settings already.`;
  print(`${changed.length} ${changed.length === 1 ? "key was" : "keys were"} changed.${others}`);
}
