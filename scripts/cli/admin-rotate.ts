import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { randomSecret } from "../host/secrets-file.ts";
import type { AdminClient } from "./admin-client.ts";
import { type CommandContext, contextOf, examples, PROGRAM } from "./command-context.ts";
import {
  deployedKeys,
  type EncryptionKeys,
  type KeyHolder,
  keyOnThisMachine,
  kidOf,
  localKeys,
} from "./encryption-keys.ts";
import { exitCodes, Failure, usageFailure } from "./failure.ts";
import { startProgress } from "./progress.ts";
import { fieldLines } from "./table.ts";
import { print, printJson, say, secretInput } from "./terminal.ts";
import { plain } from "./text-width.ts";

const KEY_PATH = "/admin/encryption-key";
const AGAIN = `${PROGRAM} admin rotate-encryption-key`;
const SHOWN_FAILURES = 20;
/** Cloudflare brings new secrets to its places within seconds, as a rule. */
const TAKEN_LIMIT_MS = 90_000;
const TAKEN_POLL_MS = 2_000;

const STEPS = `
1. A new key is written down beside the old one, which goes on opening what it sealed. A relay on
   this machine takes them at its next start: this command says so, and ends.
2. The same command again seals every account anew, and says so when all of them are. It may be
   interrupted and repeated: at every moment each account can be read under one key or the other.
3. With --drop-previous it checks every account once more, and forgets the old key.

Keys never appear: both are told by their names. With --remote the keys of the deployed relay are
meant: give its --url too. They go to it through wrangler, over standard input, and are kept in
deployed.env of the state folder, as a secret cannot be read back.
`;

interface RotateFlags {
  remote?: boolean;
  status?: boolean;
  dropPrevious?: boolean;
}

/** What the relay says of its keys: their names, and how many accounts are sealed under each. */
interface RelayKeys {
  current: string;
  previous: string[];
  accounts: { total: number; sealedUnder: Record<string, number> };
}

interface ResealPage {
  total: number;
  sealed: number;
  resealed: number;
  failed: { id: string; name: string; reason: string; message: string }[];
  cursor: string | null;
}

export interface Rotation extends CommandContext {
  holder: KeyHolder;
}

/** `admin rotate-encryption-key`: another ENCRYPTION_KEY, in steps that may each be repeated. */
export function rotateKeyCommand(admin: Command): void {
  admin
    .command("rotate-encryption-key")
    .description("changes ENCRYPTION_KEY, and seals every account under the new one")
    .option("--status", "only say how far it is")
    .option("--drop-previous", "the last step: forget the old key, where no account needs it")
    .option("--remote", "that of the deployed relay, through wrangler")
    .addHelpText("after", STEPS + examples(AGAIN, `${AGAIN} --status`, `${AGAIN} --drop-previous`))
    .action(async (flags: RotateFlags, command: Command) => {
      const context = contextOf(command);
      if (flags.status && flags.dropPrevious) {
        throw usageFailure("Give either --status or --drop-previous.");
      }
      if (flags.remote && !context.address.isGiven) {
        throw usageFailure("With --remote say which relay it is: --url https://…");
      }
      const holder = flags.remote ? deployedKeys() : localKeys(context.address);
      await rotate({ ...context, holder }, flags);
    });
}

/** Does the next step, or says how far it is. */
export async function rotate(
  work: Rotation,
  flags: Pick<RotateFlags, "status" | "dropPrevious">,
): Promise<void> {
  const keys = work.holder.read();
  if (flags.status) return showStatus(work, keys);
  const isUnderWay = keys !== null && keys.previous.length > 0;
  if (!isUnderWay) {
    if (flags.dropPrevious) {
      if (work.json) return printJson({ step: "none", dropped: false });
      return print(`${work.holder.place} holds no previous key: there is nothing to drop.`);
    }
    const begun = await begin(work, keys);
    // A relay on this machine has to be started anew by a person.
    if (work.holder.restart() !== null) return;
    return seal(work, begun, false);
  }
  await seal(work, keys, flags.dropPrevious === true);
}

/** Step 1: both keys are written down, and given to a relay that takes them by itself. */
async function begin(work: Rotation, known: EncryptionKeys | null): Promise<EncryptionKeys> {
  const { holder, json } = work;
  const old = holder.restart() === null ? await presentKey(work, known) : known?.current;
  if (old === undefined) throw new Failure("No ENCRYPTION_KEY is written down.");
  const keys = { current: randomSecret(), previous: [old] };
  holder.write(keys);
  const names = { current: await kidOf(keys.current), previous: [await kidOf(old)] };
  const restart = holder.restart();
  if (restart === null) {
    say(`Step 1 of 3: a new key, ${names.current}, is written down in ${holder.place}.`);
    await handOver(work, keys);
  } else if (json) {
    printJson({ step: "begun", ...names, next: "restart" });
  } else {
    print(`Step 1 of 3 is done: a new key, ${names.current}, is written down in ${holder.place},
and the old one, ${names.previous}, beside it.`);
    say(`Next: ${restart}
Then: ${AGAIN}`);
  }
  return keys;
}

/** Steps 2 and 3. */
async function seal(work: Rotation, keys: EncryptionKeys, isLast: boolean): Promise<void> {
  const { api, holder, json } = work;
  const current = await kidOf(keys.current);
  await ensureTaken(work, keys, current);
  const { total, resealed, failed } = await sealAll(api);
  const { accounts } = await relayKeys(api);
  const others = accounts.total - (accounts.sealedUnder[current] ?? 0);
  const isDone = failed.length === 0 && others === 0;
  if (isDone && isLast) {
    holder.write({ current: keys.current, previous: [] });
    await holder.handOver({ current: keys.current, previous: [] });
  }
  if (!isDone) process.exitCode = exitCodes.failed;
  if (json) {
    const step = !isDone ? "incomplete" : isLast ? "dropped" : "sealed";
    return printJson({ step, current, accounts: { total, resealed, failed, others } });
  }
  if (!isDone) return sayWhatIsLeft(failed, others);
  print(
    `All ${total} accounts are sealed under ${current}; ${resealed} were sealed anew just now.`,
  );
  const restart = holder.restart();
  if (!isLast) {
    say(`Step 2 of 3 is done. The old key still opens what is sealed under it, as in a backup of
the accounts alone. To forget it: ${AGAIN} --drop-previous`);
  } else {
    const until =
      restart === null ? "" : " The relay that runs now forgets it with its next start.";
    print(`Step 3 of 3 is done: the old key is no longer in ${holder.place}.${until}`);
  }
}

function sayWhatIsLeft(failed: ResealPage["failed"], others: number): void {
  for (const { name, id, message } of failed.slice(0, SHOWN_FAILURES)) {
    say(`  ${plain(name)} (${id}): ${plain(message)}`);
  }
  const count = Math.max(failed.length, others);
  say(`${count} ${count === 1 ? "account is" : "accounts are"} not sealed under the new key yet. The old key stays, and nothing
is lost. Mend or remove what is named above, and run this again: ${AGAIN}`);
}

/** Every account, page by page; those that are done already cost a look. */
async function sealAll(api: AdminClient): Promise<Omit<ResealPage, "sealed" | "cursor">> {
  const sum: Omit<ResealPage, "sealed" | "cursor"> = { total: 0, resealed: 0, failed: [] };
  let cursor: string | null = null;
  let progress: ReturnType<typeof startProgress> | null = null;
  try {
    do {
      const page: ResealPage = await api.call("POST", `${KEY_PATH}/reseal`, { cursor });
      progress ??= startProgress("Accounts sealed", page.total);
      progress.step(page.sealed);
      sum.total = page.total;
      sum.resealed += page.resealed;
      sum.failed.push(...page.failed);
      cursor = page.cursor;
    } while (cursor !== null);
  } finally {
    progress?.end();
  }
  return sum;
}

/** Only a relay that runs with the new key, and knows the old one, can seal anew. */
async function ensureTaken(work: Rotation, keys: EncryptionKeys, current: string): Promise<void> {
  const { api, holder, address } = work;
  const restart = holder.restart();
  let relay: RelayKeys;
  try {
    relay = await relayKeys(api);
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode !== exitCodes.unreachable) throw error;
    const next = restart === null ? "" : `\nStep 1 of 3 is done. Next: ${restart}\nThen: ${AGAIN}`;
    throw new Failure(error.message.split("\n", 1)[0] + next, exitCodes.unreachable);
  }
  const previous = await Promise.all(keys.previous.map(kidOf));
  if (relay.current !== current && previous.includes(relay.current)) {
    if (restart !== null) {
      throw new Failure(
        `The relay at ${address.url} still seals under the old key, ${relay.current}.\nNext: ${restart}\nThen: ${AGAIN}`,
      );
    }
    // Cut off before it was handed over, or while it was.
    relay = await handOver(work, keys);
  }
  if (relay.current !== current) {
    throw new Failure(
      `The relay at ${address.url} seals under ${relay.current}; neither key in ${holder.place} is that one.\nIt is another relay, or it is given another ENCRYPTION_KEY. Nothing was changed.`,
    );
  }
  const unknown = previous.filter((kid) => !relay.previous.includes(kid));
  if (unknown.length > 0) {
    throw new Failure(
      `The relay at ${address.url} was not given the old key, ${unknown.join(", ")}, as ENCRYPTION_KEY_PREVIOUS.\nNothing was changed.`,
    );
  }
}

/** Gives a deployed relay its keys, and waits until it uses them. */
async function handOver(work: Rotation, keys: EncryptionKeys): Promise<RelayKeys> {
  await work.holder.handOver(keys);
  say("The deployed relay was given the new key; waiting until it uses it.");
  const current = await kidOf(keys.current);
  const until = Date.now() + TAKEN_LIMIT_MS;
  for (;;) {
    const relay = await relayKeys(work.api);
    if (relay.current === current) return relay;
    if (Date.now() >= until) {
      throw new Failure(
        `${work.address.url} does not use the new key yet. Nothing is lost: run this again in a minute.`,
      );
    }
    await sleep(TAKEN_POLL_MS);
  }
}

/** The key that the deployed relay seals under now: written down here, or given by a person. */
async function presentKey(work: Rotation, known: EncryptionKeys | null): Promise<string> {
  const { current } = await relayKeys(work.api);
  for (const key of [known?.current ?? null, keyOnThisMachine()]) {
    if (key !== null && (await kidOf(key)) === current) return key;
  }
  say(`The deployed relay seals under ${current}. That key is not written down here, and without it
the accounts could not be read during the change.`);
  const key = await secretInput("present ENCRYPTION_KEY");
  if ((await kidOf(key)) === current) return key;
  throw new Failure("That is not the key that the relay seals under. Nothing was changed.");
}

async function showStatus({ api, holder, json }: Rotation, keys: EncryptionKeys | null) {
  const written = keys && {
    current: await kidOf(keys.current),
    previous: await Promise.all(keys.previous.map(kidOf)),
  };
  let relay: RelayKeys | null = null;
  try {
    relay = await relayKeys(api);
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode !== exitCodes.unreachable) throw error;
  }
  if (json) return printJson({ place: holder.place, written, relay });
  const isUnderWay = written !== null && written.previous.length > 0;
  const list = (kids: readonly string[]) => kids.join(", ") || "none";
  const counts = Object.entries(relay?.accounts.sealedUnder ?? {});
  const lines = fieldLines([
    ["Written in", holder.place],
    [isUnderWay ? "New key" : "Key", written?.current ?? "none is written down"],
    ["Old key", isUnderWay ? list(written.previous) : null],
    ["Relay uses", relay?.current ?? "no relay answers"],
    ["It also opens", relay && list(relay.previous)],
    ["Accounts", counts.map(([kid, count]) => `${count} under ${kid}`).join(", ")],
  ]);
  for (const line of lines) print(line);
  print(isUnderWay ? `A change is under way: ${AGAIN}` : "No change is under way.");
}

function relayKeys(api: AdminClient): Promise<RelayKeys> {
  return api.call("GET", KEY_PATH);
}
