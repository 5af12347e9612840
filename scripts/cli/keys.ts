import type { Command } from "commander";
import type { KeyRecord } from "../../src/keys/key-record.ts";
import { examples, PROGRAM } from "./command-context.ts";
import { usageFailure } from "./failure.ts";
import { keyDetails, keyTable, shownKey } from "./key.ts";
import { changeKey, refuseDeleted, refuseRevoked, replaceSecret } from "./key-change.ts";
import { findStoredKey } from "./key-find.ts";
import { copyCommands } from "./keys-copy.ts";
import { createCommand, expiryText, printSecret } from "./keys-create.ts";
import { migrateCommand } from "./keys-migrate.ts";
import { updateCommand } from "./keys-update.ts";
import { called, onKeys, WHICH } from "./keys-work.ts";
import { momentText, spanMs } from "./moment.ts";
import { confirmed, print, printJson, say } from "./terminal.ts";

const PAGE_DEFAULT = 50;
const PAGE_MAX = 1_000;
/** As the admin API allows it. */
const GRACE_MAX_DAYS = 30;
const DAY_MS = 24 * 60 * 60_000;

const ABOUT = `
These commands work on the store that holds the keys: Workers KV on this machine, with a relay
running on it or not; with --remote the deployed namespace, through your own wrangler login; or
Upstash Redis where KEY_STORE is upstash. No admin password is needed: whoever may deploy may
manage keys. A running relay is told of a change where a session or ADMIN_PASSWORD is at hand;
otherwise the change holds within 30 seconds.

--remote calls \`wrangler kv\` and takes a few seconds a step. It was tried with wrangler's local
store in Cloudflare's place, not yet against Cloudflare itself.
`;

/** `keys …`: the relay keys that clients hold. */
export function keyCommands(program: Command): void {
  const keys = program
    .command("keys")
    .description("the relay keys that clients hold")
    .option("--remote", "those of the deployed relay, through wrangler")
    .addHelpText(
      "after",
      ABOUT +
        examples(
          `${PROGRAM} keys create --name alice`,
          `${PROGRAM} keys list`,
          `${PROGRAM} keys list --remote`,
        ),
    );
  listCommand(keys);
  showCommand(keys);
  createCommand(keys);
  updateCommand(keys);
  switchCommand(keys, "enable", true);
  switchCommand(keys, "disable", false);
  rotateCommand(keys);
  revokeCommand(keys);
  deleteCommand(keys);
  restoreCommand(keys);
  copyCommands(keys);
  migrateCommand(keys);
}

interface ListFlags {
  name?: string;
  tag?: string;
  limit?: string;
  cursor?: string;
  all?: boolean;
}

function listCommand(keys: Command): void {
  keys
    .command("list")
    .description("the keys, a page at a time")
    .option("--name <prefix>", "only keys whose name begins so")
    .option("--tag <tag>", "only keys with this tag")
    .option("--limit <n>", `keys on a page, up to ${PAGE_MAX} (default ${PAGE_DEFAULT})`)
    .option("--cursor <text>", "the page after the one that told this cursor")
    .option("--all", "all pages")
    .addHelpText(
      "after",
      examples(`${PROGRAM} keys list --tag course`, `${PROGRAM} keys list --all --json`),
    )
    .action(async (flags: ListFlags, command: Command) => {
      if (flags.name !== undefined && flags.tag !== undefined) {
        throw usageFailure("Give only one of --name and --tag.");
      }
      const limit = flags.all ? PAGE_MAX : Number(flags.limit ?? PAGE_DEFAULT);
      if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_MAX) {
        throw usageFailure(`--limit must be a number from 1 to ${PAGE_MAX}.`);
      }
      const { records, cursor, json } = await onKeys(command, async ({ open, json }) => {
        const found: KeyRecord[] = [];
        let next = flags.cursor ?? null;
        do {
          const page = await open.store.list({
            cursor: next,
            limit,
            namePrefix: flags.name,
            tag: flags.tag,
          });
          found.push(...page.keys);
          next = page.cursor;
        } while (flags.all && next !== null);
        return { records: found, cursor: next, json };
      });
      const shown = records.map(shownKey);
      if (json) return printJson({ keys: shown, cursor });
      const isAll = flags.name === undefined && flags.tag === undefined && cursor === null;
      if (shown.length > 0) for (const line of keyTable(shown)) print(line);
      else if (isAll) say(`No key yet. Make one: ${PROGRAM} keys create`);
      else say("No such key here.");
      if (cursor !== null) say(`There are more: --cursor ${cursor}, or --all.`);
    });
}

function showCommand(keys: Command): void {
  keys
    .command("show")
    .description("one key, and where a relay can be asked what was used with it")
    .argument("<key>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} keys show alice`))
    .action(async (given: string, _flags: object, command: Command) => {
      await onKeys(command, async ({ open, notice, json }) => {
        const { record } = await findStoredKey(open, given);
        const looked = await notice.look(record.id);
        // What the relay shows is the newest, and knows when the key was first used.
        const key = "key" in looked ? looked.key : shownKey(record);
        if (json) printJson(key);
        else for (const line of keyDetails(key)) print(line);
        if ("reason" in looked) say(`What was used is not shown: ${looked.reason}`);
      });
    });
}

function switchCommand(keys: Command, verb: "enable" | "disable", enabled: boolean): void {
  keys
    .command(verb)
    .description(enabled ? "lets a disabled key work again" : "refuses a key until it is enabled")
    .argument("<key>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} keys ${verb} alice`))
    .action(async (given: string, _flags: object, command: Command) => {
      await onKeys(command, async ({ open, notice, json }) => {
        const stored = await findStoredKey(open, given);
        refuseDeleted(stored.record);
        if (enabled) refuseRevoked(stored.record);
        const key = shownKey(await changeKey(open, stored, { enabled }));
        await open.commit();
        await notice.tell([key.id]);
        if (json) return printJson(key);
        const blocked =
          enabled && key.status !== "active" ? ` It is still refused: ${key.status}.` : "";
        print(`Key ${called(key)} is ${verb}d.${blocked}`);
      });
    });
}

function rotateCommand(keys: Command): void {
  keys
    .command("rotate")
    .description("gives a key a new secret and shows it, this once; limits and history stay")
    .argument("<key>", WHICH)
    .option("--grace <span>", "how long the old secret works on: 24h, 7d (default: not at all)")
    .addHelpText("after", examples(`${PROGRAM} keys rotate alice --grace 24h`))
    .action(async (given: string, flags: { grace?: string }, command: Command) => {
      const graceMs = flags.grace === undefined || flags.grace === "0" ? 0 : spanMs(flags.grace);
      if (graceMs === null || graceMs > GRACE_MAX_DAYS * DAY_MS) {
        throw usageFailure(
          `--grace must be a span such as 24h, of at most ${GRACE_MAX_DAYS} days.`,
        );
      }
      await onKeys(command, async (work) => {
        const { open, notice, json } = work;
        const stored = await findStoredKey(open, given);
        refuseDeleted(stored.record);
        refuseRevoked(stored.record);
        const { plainKey, record } = await replaceSecret(open, stored, graceMs);
        await open.commit();
        await notice.tell([record.id]);
        const key = shownKey(record);
        if (json) return printJson({ ...key, apiKey: plainKey });
        const { previous } = record.secret;
        const until = previous && momentText(new Date(previous.validUntilMs).toISOString());
        const old = until ? `The old secret works until ${until}.` : "The old secret has ended.";
        print(`Key ${called(key)} has a new secret. ${old} ${expiryText(key)}`);
        printSecret(work, plainKey);
      });
    });
}

function revokeCommand(keys: Command): void {
  keys
    .command("revoke")
    .description("ends a key for good; its usage stays on record")
    .argument("<key>", WHICH)
    .option("--yes", "do not ask")
    .addHelpText("after", examples(`${PROGRAM} keys revoke alice`))
    .action(async (given: string, flags: { yes?: boolean }, command: Command) => {
      await onKeys(command, async ({ open, notice, json }) => {
        const stored = await findStoredKey(open, given);
        await confirmed(`Revoke key ${called(stored.record)} for good?`, flags.yes);
        const isDone = stored.record.revokedAtMs !== null;
        const record = isDone
          ? stored.record
          : await changeKey(open, stored, { revokedAtMs: Date.now() });
        await open.commit();
        await notice.tell([record.id]);
        if (json) return printJson(shownKey(record));
        print(`Key ${called(record)} ${isDone ? "was revoked already" : "is revoked"}.`);
      });
    });
}

function deleteCommand(keys: Command): void {
  keys
    .command("delete")
    .description("refuses a key and marks it as deleted; it can be restored")
    .argument("<key>", WHICH)
    .option("--permanent", "removes it for good instead")
    .option("--yes", "do not ask")
    .addHelpText(
      "after",
      examples(`${PROGRAM} keys delete alice`, `${PROGRAM} keys delete alice --permanent`),
    )
    .action(
      async (given: string, flags: { permanent?: boolean; yes?: boolean }, command: Command) => {
        await onKeys(command, async ({ open, notice, json }) => {
          const stored = await findStoredKey(open, given, flags.permanent);
          const { id, deletedAtMs } = stored.record;
          if (flags.permanent) {
            await confirmed(`Remove key ${called(stored.record)} for good?`, flags.yes);
          }
          // Also on the way to a removal: a relay can only be told of what is still in the store.
          const record =
            deletedAtMs === null
              ? await changeKey(open, stored, { deletedAtMs: Date.now() })
              : stored.record;
          await open.commit();
          await notice.tell([id]);
          if (flags.permanent) {
            await open.store.remove({ hash: stored.hash, record });
            await open.commit();
            if (json) return printJson({ id, deleted: true, permanent: true });
            return print(`Key ${called(record)} was removed for good.`);
          }
          if (json) return printJson(shownKey(record));
          print(`Key ${called(record)} is deleted. To have it back: ${PROGRAM} keys restore ${id}`);
        });
      },
    );
}

function restoreCommand(keys: Command): void {
  keys
    .command("restore")
    .description("takes a deletion back")
    .argument("<key>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} keys restore alice`))
    .action(async (given: string, _flags: object, command: Command) => {
      await onKeys(command, async ({ open, notice, json }) => {
        const stored = await findStoredKey(open, given, true);
        const record =
          stored.record.deletedAtMs === null
            ? stored.record
            : await changeKey(open, stored, { deletedAtMs: null });
        await open.commit();
        await notice.tell([record.id]);
        const key = shownKey(record);
        if (json) return printJson(key);
        const state = key.status === "active" ? "" : ` It is still refused: ${key.status}.`;
        print(`Key ${called(key)} is restored.${state}`);
      });
    });
}
