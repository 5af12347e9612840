import { KEY_DESCRIPTION_MAX_CHARS, KEY_NAME_MAX_CHARS } from "../../src/keys/key-record.ts";
import type { ImportCipher } from "./import-cipher.ts";
import { type Carried, fitted, isTrue, json, positive, tagsOf, timeMs } from "./import-fields.ts";
import type { Fields } from "./import-source.ts";

/** What `POST /admin/claude-accounts` takes. */
export type NewAccount = Record<string, unknown> & { id: string; name: string };

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ANTHROPIC_HOST = "api.anthropic.com";
const PRIORITY_MAX = 100;
const PRIORITY_DEFAULT = 50;
const UNREADABLE =
  "its credential cannot be decrypted: the encryption key is another one, or the value is damaged";

/** @param groups the names of the account groups that it is a member of */
export function oauthAccount(
  id: string,
  fields: Fields,
  cipher: ImportCipher,
  groups: readonly string[],
): Carried<NewAccount> {
  const notes: string[] = [];
  const name = fitted(fields.name ?? "", KEY_NAME_MAX_CHARS, "name", notes) || `imported ${id}`;
  const none = (note: string) => ({ id, name, notes: [note], value: null });
  if (!UUID.test(id)) return none("its id is no UUID");
  const login = loginOf(fields, cipher);
  if (login === null) return none(UNREADABLE);
  if (login.accessToken === "") return none("it holds no access token: it was never logged in");
  if (fields.accountType === "group") {
    notes.push("keys that are bound to nothing may use it here too, not only its group's");
  }
  // Dedicated there: it serves the keys that are bound to it and takes no other work.
  const isDedicated = fields.accountType === "dedicated";
  const schedulable = fields.schedulable !== "false" && !isDedicated;
  const value = {
    ...settingsOf(id, name, fields, groups, notes),
    schedulable,
    claudeAiOauth: login,
  };
  return { id, name, notes, value };
}

/** @param groups as for an account with a login */
export function consoleAccount(
  id: string,
  fields: Fields,
  cipher: ImportCipher,
  groups: readonly string[],
): Carried<NewAccount> {
  const notes: string[] = [];
  const name = fitted(fields.name ?? "", KEY_NAME_MAX_CHARS, "name", notes) || `imported ${id}`;
  const none = (note: string) => ({ id, name, notes: [note], value: null });
  if (!UUID.test(id)) return none("its id is no UUID");
  const host = URL.parse(fields.apiUrl ?? "")?.hostname;
  if (fields.apiUrl && host !== ANTHROPIC_HOST) {
    return none(
      `it is not Anthropic's but ${host ?? "another"}'s, and this relay asks only Anthropic`,
    );
  }
  const apiKey = cipher.open(fields.apiKey);
  if (apiKey === null) return none(UNREADABLE);
  if (apiKey === "") return none("it holds no API key");
  if (positive(fields.dailyQuota) !== null) {
    notes.push("its daily quota stays behind: limit the keys instead");
  }
  const models = json(fields.supportedModels);
  if (models !== null && typeof models === "object" && Object.keys(models).length > 0) {
    notes.push("its list of models stays behind: limit the models of the keys instead");
  }
  const most = positive(fields.maxConcurrentTasks);
  const value = {
    ...settingsOf(id, name, fields, groups, notes),
    schedulable: fields.schedulable !== "false" && fields.accountType !== "dedicated",
    ...(most === null ? {} : { maxConcurrency: Math.floor(most) }),
    apiKey,
  };
  return { id, name, notes, value };
}

function settingsOf(
  id: string,
  name: string,
  fields: Fields,
  groups: readonly string[],
  notes: string[],
) {
  const description = fitted(
    fields.description ?? "",
    KEY_DESCRIPTION_MAX_CHARS,
    "description",
    notes,
  );
  const priority = Math.round(positive(fields.priority) ?? PRIORITY_DEFAULT);
  const proxy = proxyOf(fields.proxy);
  if (proxy === "mistaken")
    notes.push("it is off here until its proxy is set: it was not readable");
  return {
    id,
    name,
    description,
    tags: tagsOf(groups, notes),
    // Without the proxy that it had it would go out from another address.
    enabled: fields.isActive !== "false" && proxy !== "mistaken",
    priority: Math.min(PRIORITY_MAX, priority),
    ...(proxy === null || proxy === "mistaken" ? {} : { proxy }),
  };
}

/** The login as it was last stored: all of it, or token by token. */
function loginOf(fields: Fields, cipher: ImportCipher) {
  const whole = cipher.open(fields.claudeAiOauth);
  if (whole === null) return null;
  const stored = whole === "" ? null : (json(whole) as Record<string, unknown> | null);
  if (whole !== "" && (typeof stored !== "object" || stored === null)) return null;
  const access = cipher.open(fields.accessToken);
  const refresh = cipher.open(fields.refreshToken);
  if (access === null || refresh === null) return null;
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  // The single tokens are what its refresh writes; the whole is from the login and may lag behind.
  const accessToken = access || text(stored?.accessToken);
  const refreshToken = refresh || text(stored?.refreshToken);
  const given = typeof stored?.expiresAt === "number" ? stored.expiresAt : null;
  const expiresAt = timeMs(fields.expiresAt) ?? given;
  const scopes = (fields.scopes ?? "").split(" ").filter((scope) => scope !== "");
  const stored2 = Array.isArray(stored?.scopes) ? stored.scopes.filter((each) => text(each)) : [];
  return {
    accessToken,
    ...(refreshToken === "" ? {} : { refreshToken }),
    ...(expiresAt === null ? {} : { expiresAt }),
    scopes: scopes.length > 0 ? scopes : stored2,
  };
}

function proxyOf(text: string | undefined): Record<string, unknown> | "mistaken" | null {
  if (!text || text === "null" || text === "{}") return null;
  const given = json(text);
  if (typeof given !== "object" || given === null) return "mistaken";
  const { type, host, port, username, password } = given as Record<string, unknown>;
  if (!host && !type) return null;
  const kind = type === "socks" ? "socks5" : type;
  const number = Number(port);
  const isKnown = kind === "socks5" || kind === "http" || kind === "https";
  const isWhole = typeof host === "string" && /^[A-Za-z0-9.:[\]-]{1,253}$/.test(host.trim());
  if (!isKnown || !isWhole || !Number.isInteger(number) || number < 1 || number > 65_535) {
    return "mistaken";
  }
  return {
    type: kind,
    host: host.trim(),
    port: number,
    ...(username ? { username: String(username) } : {}),
    ...(password ? { password: String(password) } : {}),
  };
}

/** Whether an account is wanted at all; deleted ones leave no hash there. */
export function isAccount(fields: Fields): boolean {
  return !isTrue(fields.isDeleted) && Object.keys(fields).length > 0;
}
