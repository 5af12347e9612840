import type { Command } from "commander";
import { contextOf, examples, PROGRAM } from "./command-context.ts";
import { usageFailure } from "./failure.ts";
import { findKey, type Key, keyDetails, keyPath, keysPath, keyTable, listKeys } from "./key.ts";
import { momentText, NEVER, readExpiry } from "./moment.ts";
import { shortId } from "./reference.ts";
import { askText, confirmed, isInteractive, print, printJson, say } from "./terminal.ts";
import { plain } from "./text-width.ts";

const WHICH = "name, id, or the beginning of an id";
const EXPIRES = "30d, 12h, 2027-01-31 (its first moment in UTC), a whole ISO time, or never";

interface KeyFlags {
  name?: string;
  description?: string;
  /** ISO 8601, or NEVER. */
  expires?: string;
}

/** `keys …`: the relay keys that clients hold. */
export function keyCommands(program: Command): void {
  const keys = program
    .command("keys")
    .description("the relay keys that clients hold")
    .addHelpText("after", examples(`${PROGRAM} keys create --name alice`, `${PROGRAM} keys list`));

  keys
    .command("list")
    .description("all keys")
    .addHelpText("after", examples(`${PROGRAM} keys list --json`))
    .action(async (_flags: object, command: Command) => {
      const { api, json } = contextOf(command);
      const data = await listKeys(api);
      if (json) return printJson(data);
      if (data.keys.length === 0) return say(`No key yet. Make one: ${PROGRAM} keys create`);
      for (const line of keyTable(data.keys)) print(line);
    });

  keys
    .command("show")
    .description("one key and what was used with it")
    .argument("<key>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} keys show alice`))
    .action(async (given: string, _flags: object, command: Command) => {
      const { api, json } = contextOf(command);
      const { id } = await findKey(api, given);
      const key = await api.call<Key>("GET", keyPath(id));
      if (json) return printJson(key);
      for (const line of keyDetails(key)) print(line);
    });

  keys
    .command("create")
    .description("makes a key and shows it, this once")
    .option("--name <name>", "whose key it is")
    .option("--description <text>", "a note for people")
    .option("--expires <when>", EXPIRES, (text) => readExpiry(text))
    .addHelpText(
      "after",
      examples(
        `${PROGRAM} keys create --name alice --expires 30d`,
        "node scripts/cli.ts keys create --name ci --json | jq -r .apiKey",
      ),
    )
    .action(async (flags: KeyFlags, command: Command) => {
      const { api, address, json } = contextOf(command);
      if (flags.name === undefined && !isInteractive()) throw usageFailure("--name is missing.");
      await api.ensureSignedIn();
      const name = flags.name ?? (await askText("Whose key is it? A name"));
      const made = await api.call<Key & { apiKey: string }>("POST", keysPath, {
        name,
        ...bodyOf(flags),
      });
      if (json) return printJson(made);
      const [url, key] = settingLines(address.url, made.apiKey);
      print(`Key ${called(made)} was made. ${expiryText(made)}`);
      print("Copy it now, it cannot be shown again. These lines point Claude Code at the relay:");
      print();
      print(`  ${url}`);
      print(`  ${key}`);
    });

  keys
    .command("update")
    .description("changes a key's name, note or expiry")
    .argument("<key>", WHICH)
    .option("--name <name>", "a new name")
    .option("--description <text>", "a new note")
    .option("--expires <when>", EXPIRES, (text) => readExpiry(text))
    .addHelpText("after", examples(`${PROGRAM} keys update alice --expires never`))
    .action(async (given: string, flags: KeyFlags, command: Command) => {
      const patch = { ...(flags.name === undefined ? {} : { name: flags.name }), ...bodyOf(flags) };
      if (Object.keys(patch).length === 0) {
        throw usageFailure("Nothing to change: give --name, --description or --expires.");
      }
      const { api, json } = contextOf(command);
      const { id } = await findKey(api, given);
      const key = await api.call<Key>("PUT", keyPath(id), patch);
      if (json) return printJson(key);
      print(`Key ${called(key)} was changed. ${expiryText(key)}`);
    });

  switchCommand(keys, "enable", true);
  switchCommand(keys, "disable", false);

  keys
    .command("revoke")
    .description("ends a key for good; its usage stays on record")
    .argument("<key>", WHICH)
    .option("--yes", "do not ask")
    .addHelpText("after", examples(`${PROGRAM} keys revoke alice`))
    .action(async (given: string, flags: { yes?: boolean }, command: Command) => {
      const { api, json } = contextOf(command);
      const key = await findKey(api, given);
      await confirmed(`Revoke key ${called(key)} for good?`, flags.yes);
      const data = await api.call<Key>("POST", keyPath(key.id, "/revoke"));
      if (json) return printJson(data);
      print(`Key ${called(key)} is revoked: it is refused from now on.`);
    });

  keys
    .command("delete")
    .description("removes a key, for good")
    .argument("<key>", WHICH)
    .option("--yes", "do not ask")
    .addHelpText("after", examples(`${PROGRAM} keys delete alice`))
    .action(async (given: string, flags: { yes?: boolean }, command: Command) => {
      const { api, json } = contextOf(command);
      const key = await findKey(api, given);
      await confirmed(`Delete key ${called(key)} for good?`, flags.yes);
      const data = await api.call("DELETE", keyPath(key.id));
      if (json) return printJson(data);
      print(`Key ${called(key)} was deleted: it is refused from now on.`);
    });
}

function switchCommand(keys: Command, verb: "enable" | "disable", enabled: boolean): void {
  keys
    .command(verb)
    .description(enabled ? "lets a disabled key work again" : "refuses a key until it is enabled")
    .argument("<key>", WHICH)
    .addHelpText("after", examples(`${PROGRAM} keys ${verb} alice`))
    .action(async (given: string, _flags: object, command: Command) => {
      const { api, json } = contextOf(command);
      const { id } = await findKey(api, given);
      const key = await api.call<Key>("PUT", keyPath(id), { enabled });
      if (json) return printJson(key);
      const blocked =
        enabled && key.status !== "active" ? ` It is still refused: ${key.status}.` : "";
      print(`Key ${called(key)} is ${verb}d.${blocked}`);
    });
}

function bodyOf({ description, expires }: KeyFlags): Record<string, unknown> {
  return {
    ...(description === undefined ? {} : { description }),
    ...(expires === undefined ? {} : { expiresAt: expires === NEVER ? null : expires }),
  };
}

/** How a client is told of the relay, in the words of this machine's shell. */
function settingLines(url: string, key: string): [string, string] {
  const line = (name: string, value: string) =>
    process.platform === "win32" ? `$env:${name} = "${value}"` : `export ${name}=${value}`;
  return [line("ANTHROPIC_BASE_URL", url), line("ANTHROPIC_AUTH_TOKEN", key)];
}

function expiryText({ expiresAt }: Key): string {
  return expiresAt === null ? "It never expires." : `It expires ${momentText(expiresAt)}.`;
}

function called({ name, id }: Key): string {
  return `"${plain(name)}" (${shortId(id)})`;
}
