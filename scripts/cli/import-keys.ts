import { UNLIMITED, WINDOW_MAX_MINUTES } from "../../src/keys/key-limits.ts";
import {
  KEY_DESCRIPTION_MAX_CHARS,
  KEY_NAME_MAX_CHARS,
  type KeyRecord,
  MAX_MODEL_PATTERNS,
  markOf,
} from "../../src/keys/key-record.ts";
import {
  type Carried,
  fitted,
  isTrue,
  json,
  positive,
  tagOf,
  tagsOf,
  texts,
  timeMs,
} from "./import-fields.ts";
import type { Fields } from "./import-source.ts";

/** What `POST /admin/api-keys/import` takes. */
export interface ImportedKey {
  hash: string;
  record: KeyRecord;
  activatedAtMs: number | null;
  usage: ({ model: string } & Record<string, number | string>)[];
}

const NANO_PER_DOLLAR = 1_000_000_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const HASH = /^[0-9a-f]{64}$/;
const MODEL = /^[A-Za-z0-9._:@[\]-]{1,200}$/;
const GROUP = "group:";
/** The plain key is not known, so none of its characters can be shown. */
const HINT = "imported";
/** What was used there is not told by model. */
export const PAST_MODEL = "imported";

export interface KeyContext {
  /** Ids of the accounts that come along. */
  accounts: ReadonlySet<string>;
  /** Names of the account groups by id. */
  groups: ReadonlyMap<string, string>;
  usage: Fields | null;
  /** Dollars, as a decimal text. */
  cost: string | null;
}

export function importedKey(id: string, fields: Fields, context: KeyContext): Carried<ImportedKey> {
  const notes: string[] = [];
  const name = fitted(fields.name ?? "", KEY_NAME_MAX_CHARS, "name", notes) || `imported ${id}`;
  const none = (note: string) => ({ id, name, notes: [note], value: null });
  const hash = fields.apiKey ?? "";
  if (!HASH.test(hash)) return none("it has no hash that a key could be recognised by");
  const permissions = permissionsOf(fields.permissions);
  if (!permissions.includes("claude") && !permissions.includes("all")) {
    return none(`it is for ${permissions.join(", ")} only, which this relay does not serve`);
  }
  const { boundTo, isLost } = bindingOf(fields, context, notes);
  const { expiresAtMs, activeForMs, activatedAtMs } = validityOf(fields);
  const record: KeyRecord = {
    schema: 1,
    id,
    name,
    description: fitted(fields.description ?? "", KEY_DESCRIPTION_MAX_CHARS, "description", notes),
    hint: HINT,
    tags: tagsOf(texts(fields.tags), notes),
    // A key that lost the account it was kept to would spend from all the others.
    enabled: fields.isActive !== "false" && !isLost,
    createdAtMs: timeMs(fields.createdAt) ?? 0,
    expiresAtMs,
    activeForMs,
    revokedAtMs: null,
    deletedAtMs: isTrue(fields.isDeleted) ? (timeMs(fields.deletedAt) ?? 0) : null,
    models: { allowed: null, denied: deniedOf(fields, notes) },
    boundTo,
    limits: limitsOf(fields, notes),
    secret: { mark: markOf(hash), previous: null },
    version: 1,
  };
  return { id, name, notes, value: { hash, record, activatedAtMs, usage: pastUse(context) } };
}

function permissionsOf(text: string | undefined): string[] {
  const listed = texts(text);
  if (listed.length > 0) return listed;
  // Empty means everything; older versions wrote one bare word.
  return text && json(text) === null ? [text] : ["all"];
}

function bindingOf(
  { claudeAccountId = "", claudeConsoleAccountId = "" }: Fields,
  { accounts, groups }: KeyContext,
  notes: string[],
): { boundTo: KeyRecord["boundTo"]; isLost: boolean } {
  const wanted = claudeAccountId || claudeConsoleAccountId;
  if (wanted === "") return { boundTo: null, isLost: false };
  if (claudeAccountId !== "" && claudeConsoleAccountId !== "") {
    notes.push("of its two accounts it is bound to the one with a login");
  }
  if (wanted.startsWith(GROUP)) {
    const tag = tagOf(groups.get(wanted.slice(GROUP.length)) ?? "");
    if (tag !== "") return { boundTo: { kind: "tag", value: tag }, isLost: false };
  } else if (accounts.has(wanted)) {
    return { boundTo: { kind: "account", value: wanted }, isLost: false };
  }
  notes.push("it is off here: the account or group that it was bound to does not come along");
  return { boundTo: null, isLost: true };
}

function validityOf(fields: Fields) {
  const activatedAtMs = isTrue(fields.isActivated) ? timeMs(fields.activatedAt) : null;
  const unitMs = fields.activationUnit === "hours" ? HOUR_MS : DAY_MS;
  const length = positive(fields.activationDays);
  const expiresAtMs = timeMs(fields.expiresAt);
  // Once it is activated there, its end stands in expiresAt.
  const counts = fields.expirationMode === "activation" && length !== null && expiresAtMs === null;
  return {
    expiresAtMs,
    activeForMs: counts ? Math.round(length * unitMs) : null,
    activatedAtMs,
  };
}

function deniedOf(fields: Fields, notes: string[]): string[] {
  if (!isTrue(fields.enableModelRestriction)) return [];
  const listed = texts(fields.restrictedModels);
  const denied = [...new Set(listed.filter((model) => MODEL.test(model)))];
  if (denied.length < listed.length || denied.length > MAX_MODEL_PATTERNS) {
    notes.push("not every model that it may not use could be taken over");
  }
  return denied.slice(0, MAX_MODEL_PATTERNS);
}

function limitsOf(fields: Fields, notes: string[]): KeyRecord["limits"] {
  const nano = (text: string | undefined) => {
    const dollars = positive(text);
    return dollars === null ? null : Math.round(dollars * NANO_PER_DOLLAR);
  };
  const count = (text: string | undefined) => {
    const value = positive(text);
    return value === null ? null : Math.floor(value);
  };
  const opus = nano(fields.weeklyOpusCostLimit);
  const resetsElsewhere =
    (positive(fields.weeklyResetDay) ?? 1) !== 1 || positive(fields.weeklyResetHour) !== null;
  if (opus !== null && resetsElsewhere) notes.push("its week begins on Monday, 00:00 UTC, here");
  return {
    ...UNLIMITED,
    concurrency: count(fields.concurrencyLimit),
    window: windowOf(fields, notes, count, nano),
    costPerDay: nano(fields.dailyCostLimit),
    costTotal: nano(fields.totalCostLimit),
    familyCostPerWeek: opus === null ? null : { family: "opus", cost: opus },
  };
}

function windowOf(
  fields: Fields,
  notes: string[],
  count: (text: string | undefined) => number | null,
  nano: (text: string | undefined) => number | null,
): KeyRecord["limits"]["window"] {
  const requests = count(fields.rateLimitRequests);
  const tokens = count(fields.tokenLimit);
  const cost = nano(fields.rateLimitCost);
  if (requests === null && tokens === null && cost === null) return null;
  const minutes = count(fields.rateLimitWindow);
  if (minutes === null) {
    notes.push("its limits of a window stay behind: it has no window there either");
    return null;
  }
  if (minutes > WINDOW_MAX_MINUTES) {
    notes.push(`its window of ${minutes} minutes is a day here, so its limits are wider`);
  }
  return { minutes: Math.min(minutes, WINDOW_MAX_MINUTES), requests, tokens, cost };
}

function pastUse({ usage, cost }: KeyContext): ImportedKey["usage"] {
  const count = (text: string | undefined) => Math.floor(positive(text) ?? 0);
  const sums = {
    requests: count(usage?.totalRequests),
    inputTokens: count(usage?.totalInputTokens),
    outputTokens: count(usage?.totalOutputTokens),
    // Which of the two lifetimes a cache had is not kept there: the usual one.
    cacheCreate5mTokens: count(usage?.totalCacheCreateTokens),
    cacheReadTokens: count(usage?.totalCacheReadTokens),
    cost: positive(cost ?? "") ?? 0,
  };
  const isEmpty = Object.values(sums).every((sum) => sum === 0);
  return isEmpty ? [] : [{ model: PAST_MODEL, ...sums }];
}
