import { Failure } from "./failure.ts";
import { consoleAccount, isAccount, type NewAccount, oauthAccount } from "./import-accounts.ts";
import { CONSOLE_SALT, ImportCipher, OAUTH_SALT } from "./import-cipher.ts";
import type { Carried } from "./import-fields.ts";
import { type ImportedKey, importedKey } from "./import-keys.ts";
import type { Fields, ImportSource } from "./import-source.ts";

const KEY = "apikey:";
const OAUTH_ACCOUNT = "claude:account:";
const CONSOLE_ACCOUNT = "claude_console_account:";
const GROUP = "account_group:";
const GROUP_MEMBERS = "account_group_members:";
/** Names below those prefixes that are something else: hash maps, indexes and sets. */
const ID = /^[0-9a-fA-F-]{8,64}$/;

/** All that a claude-relay-service holds, as this relay would take it. */
export interface ImportPlan {
  accounts: Carried<NewAccount>[];
  keys: Carried<ImportedKey>[];
}

export async function planImport(source: ImportSource, encryptionKey: string): Promise<ImportPlan> {
  const groups = await groupsOf(source);
  const groupNames = (accountId: string) =>
    groups.flatMap(({ name, members }) => (members.includes(accountId) ? [name] : []));
  const oauthCipher = new ImportCipher(encryptionKey, OAUTH_SALT);
  const consoleCipher = new ImportCipher(encryptionKey, CONSOLE_SALT);
  const accounts = [
    ...(await entries(source, OAUTH_ACCOUNT)).map(({ id, fields }) =>
      oauthAccount(id, fields, oauthCipher, groupNames(id)),
    ),
    ...(await entries(source, CONSOLE_ACCOUNT)).map(({ id, fields }) =>
      consoleAccount(id, fields, consoleCipher, groupNames(id)),
    ),
  ];
  const isOtherKey =
    oauthCipher.opened + consoleCipher.opened === 0 &&
    oauthCipher.failed + consoleCipher.failed > 0;
  // Keys would be written without the accounts that they are bound to, and could not be recognised.
  if (isOtherKey) {
    throw new Failure(
      "Nothing of what is encrypted there opens with this encryption key: it is not the one that\nclaude-relay-service ran with. Nothing was written.",
    );
  }
  const coming = accounts.filter(({ value }) => value !== null).map(({ id }) => id);
  const found = await entries(source, KEY);
  const usage = await source.hashes(found.map(({ id }) => `usage:${id}`));
  const costs = await source.texts(found.map(({ id }) => `usage:cost:total:${id}`));
  const inGroups = groups.filter(({ members }) => members.some((id) => coming.includes(id)));
  const shared = {
    accounts: new Set(coming),
    groups: new Map(inGroups.map(({ id, name }) => [id, name])),
  };
  const keys = found.map(({ id, fields }, index) =>
    importedKey(id, fields, {
      ...shared,
      usage: usage[index] ?? null,
      cost: costs[index] ?? null,
    }),
  );
  return { accounts, keys };
}

async function entries(
  source: ImportSource,
  prefix: string,
): Promise<{ id: string; fields: Fields }[]> {
  const names = await source.names(`${prefix}*`);
  const ids = names.map((name) => name.slice(prefix.length)).filter((id) => ID.test(id));
  const hashes = await source.hashes(ids.map((id) => prefix + id));
  return ids.flatMap((id, index) => {
    const fields = hashes[index] ?? null;
    return fields !== null && (prefix === KEY || isAccount(fields)) ? [{ id, fields }] : [];
  });
}

async function groupsOf(
  source: ImportSource,
): Promise<{ id: string; name: string; members: string[] }[]> {
  const found = await entries(source, GROUP);
  return Promise.all(
    found.map(async ({ id, fields }) => ({
      id,
      name: fields.name || id,
      members: await source.members(GROUP_MEMBERS + id),
    })),
  );
}
