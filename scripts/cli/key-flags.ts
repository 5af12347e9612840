import type { Command } from "commander";
import * as v from "valibot";
import {
  changesOf,
  createKeySchema,
  shownSettings,
  updateKeySchema,
  updateKeysSchema,
} from "../../src/admin/key-fields.ts";
import { type KeyPlan, planOf } from "../../src/admin/key-plan.ts";
import type { KeyRecord } from "../../src/keys/key-record.ts";
import type { KeyFields } from "../../src/keys/new-key.ts";
import { usageFailure } from "./failure.ts";
import { NEVER, readExpiry, spanMs } from "./moment.ts";

/** What clears a setting. */
const NONE = "none";
const HOUR_MS = 3_600_000;
const MAX_NAMED_PROBLEMS = 3;
const EXPIRES = "30d, 12h, 2027-01-31 (its first moment in UTC), a whole ISO time, or never";

/** A key's settings as flags, before they are checked. */
export interface KeyFlags {
  name?: string;
  description?: string;
  tag?: string[];
  addTag?: string[];
  removeTag?: string[];
  /** ISO 8601, or NEVER. */
  expires?: string;
  activeFor?: string;
  allowModel?: string[];
  denyModel?: string[];
  account?: string;
  accountTag?: string;
  concurrency?: string;
  windowMinutes?: string;
  windowRequests?: string;
  windowTokens?: string;
  windowCost?: string;
  dailyCost?: string;
  weeklyCost?: string;
  monthlyCost?: string;
  totalCost?: string;
  familyCost?: string;
}

/** The flag of each field of the admin API, for messages. */
const FLAG_OF: Record<string, string> = {
  name: "--name",
  description: "--description",
  tags: "--tag",
  addTags: "--add-tag",
  removeTags: "--remove-tag",
  expiresAt: "--expires",
  activeForHours: "--active-for",
  allowedModels: "--allow-model",
  deniedModels: "--deny-model",
  accountId: "--account",
  accountTag: "--account-tag",
  "limits.concurrency": "--concurrency",
  "limits.window.minutes": "--window-minutes",
  "limits.window.requests": "--window-requests",
  "limits.window.tokens": "--window-tokens",
  "limits.window.cost": "--window-cost",
  "limits.dailyCost": "--daily-cost",
  "limits.weeklyCost": "--weekly-cost",
  "limits.monthlyCost": "--monthly-cost",
  "limits.totalCost": "--total-cost",
  "limits.weeklyFamilyCost": "--family-cost",
};

/** Gives a command the flags of every setting; `none` clears one. */
export function settingFlags(command: Command): Command {
  return command
    .option("--description <text>", "a note for people")
    .option("--tag <tags...>", "tags, to find and change keys by")
    .option("--expires <when>", EXPIRES, (text) => (text === NONE ? NEVER : readExpiry(text)))
    .option("--active-for <span>", "works for so long from its first request on: 30d, 12h")
    .option("--allow-model <patterns...>", "only these models; a pattern may end in *")
    .option("--deny-model <patterns...>", "not these models")
    .option("--account <id>", "only this account serves the key")
    .option("--account-tag <tag>", "only accounts with this tag serve the key")
    .option("--concurrency <n>", "requests at once")
    .option("--window-minutes <n>", "how long the sliding window is")
    .option("--window-requests <n>", "requests in the window")
    .option("--window-tokens <n>", "tokens in the window")
    .option("--window-cost <usd>", "US dollars in the window")
    .option("--daily-cost <usd>", "US dollars a day (UTC)")
    .option("--weekly-cost <usd>", "US dollars a week (from Monday)")
    .option("--monthly-cost <usd>", "US dollars a month")
    .option("--total-cost <usd>", "US dollars in all")
    .option("--family-cost <family=usd>", "US dollars a week for one family, such as opus=5");
}

export const CLEARING = '\n"none" takes a setting away: --tag none, --daily-cost none.\n';

/** What the flags of a new key say. @throws Failure that names the flag, never the value */
export function newKeyFields(flags: KeyFlags): KeyFields {
  const body = checked(createKeySchema, bodyOf(flags, null));
  return { ...changesOf(body, null), name: body.name };
}

const changeSchema = v.strictObject({ ...updateKeySchema.entries, ...updateKeysSchema.entries });

/** What the flags make of a key. @throws Failure that names the flag, never the value */
export function keyPlan(flags: KeyFlags, before: KeyRecord): KeyPlan {
  return planOf(checked(changeSchema, bodyOf(flags, before)), before);
}

/** Whether the flags say anything at all. */
export function hasSettings(flags: KeyFlags): boolean {
  return Object.keys(bodyOf(flags, null, true)).length > 0;
}

/** The flags that change tags beside those that a key has. */
export function tagFlags(command: Command): Command {
  return command
    .option("--add-tag <tags...>", "tags that come to those it has")
    .option("--remove-tag <tags...>", "tags that it has no more");
}

/** The flags in the shape of the admin API. */
function bodyOf(
  flags: KeyFlags,
  before: KeyRecord | null,
  isUnchecked = false,
): Record<string, unknown> {
  const { name, description, tag, expires, activeFor, allowModel, denyModel } = flags;
  const { account, accountTag } = flags;
  if (isGiven(account) && isGiven(accountTag)) {
    throw usageFailure("Give only one of --account and --account-tag.");
  }
  const limits = given({
    concurrency: amount("--concurrency", flags.concurrency),
    window: windowOf(flags, before, isUnchecked),
    dailyCost: amount("--daily-cost", flags.dailyCost),
    weeklyCost: amount("--weekly-cost", flags.weeklyCost),
    monthlyCost: amount("--monthly-cost", flags.monthlyCost),
    totalCost: amount("--total-cost", flags.totalCost),
    weeklyFamilyCost: familyCost(flags.familyCost),
  });
  return given({
    name,
    description: description === NONE ? "" : description,
    tags: list(tag, []),
    addTags: flags.addTag,
    removeTags: flags.removeTag,
    expiresAt: expires === NEVER ? null : expires,
    activeForHours: hours(activeFor),
    allowedModels: list(allowModel, null),
    deniedModels: list(denyModel, []),
    // Another binding replaces the one before, whatever its kind.
    accountId: account === NONE || isGiven(accountTag) ? null : account,
    accountTag: accountTag === NONE ? null : accountTag,
    limits: Object.keys(limits).length === 0 ? undefined : limits,
  });
}

/** The API takes a window as a whole: what the flags leave open stays as it was. */
function windowOf(flags: KeyFlags, before: KeyRecord | null, isUnchecked: boolean) {
  const { windowMinutes, windowRequests, windowTokens, windowCost } = flags;
  if (windowMinutes === NONE) return null;
  const changes = given({
    minutes: amount("--window-minutes", windowMinutes),
    requests: amount("--window-requests", windowRequests),
    tokens: amount("--window-tokens", windowTokens),
    cost: amount("--window-cost", windowCost),
  });
  if (Object.keys(changes).length === 0) return undefined;
  const old = before === null ? null : shownSettings(before).limits.window;
  if (old === null && windowMinutes === undefined && !isUnchecked) {
    throw usageFailure("--window-minutes is missing: a window needs its length.");
  }
  return old === null ? changes : { ...old, ...changes };
}

function checked<Schema extends v.GenericSchema>(
  schema: Schema,
  body: Record<string, unknown>,
): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, body);
  if (parsed.success) return parsed.output;
  const problems = parsed.issues.slice(0, MAX_NAMED_PROBLEMS).map(problemText);
  throw usageFailure(`${problems.join("; ")}.`);
}

function problemText(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue) ?? "";
  const field = Object.keys(FLAG_OF).find((name) => path === name || path.startsWith(`${name}.`));
  const flag = FLAG_OF[field ?? ""] ?? path;
  if (issue.type === "strict_object" && issue.received === "undefined") return `${flag} is missing`;
  // The library's own messages quote what was received.
  if (!issue.message.startsWith("Invalid")) return `${flag} ${issue.message}`;
  const bound = issue.requirement instanceof RegExp ? undefined : issue.requirement;
  switch (issue.type) {
    case "max_length":
      return `${flag} must have at most ${bound} characters`;
    case "min_value":
      return `${flag} must be at least ${bound}`;
    case "max_value":
      return `${flag} must be at most ${bound}`;
    case "integer":
      return `${flag} must be a whole number`;
    case "picklist":
      return `${flag} must be one of ${issue.expected ?? "a few names"}`;
    case "uuid":
      return `${flag} must be a whole id, as \`accounts show\` tells it`;
    default:
      return `${flag} must be ${issue.expected ?? `a valid ${issue.type.replaceAll("_", " ")}`}`;
  }
}

function given(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function isGiven(text: string | undefined): boolean {
  return text !== undefined && text !== NONE;
}

function list<Empty>(texts: string[] | undefined, empty: Empty): string[] | Empty | undefined {
  return texts?.length === 1 && texts[0] === NONE ? empty : texts;
}

function amount(flag: string, text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined;
  if (text === NONE) return null;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) {
    throw usageFailure(`${flag} must be a number, or none.`);
  }
  return value;
}

function familyCost(text: string | undefined) {
  if (text === undefined) return undefined;
  if (text === NONE) return null;
  const [, family, cost] = /^([a-z]+)=(.+)$/.exec(text) ?? [];
  if (family === undefined) throw usageFailure("--family-cost must look like opus=5, or none.");
  return { family, cost: amount("--family-cost", cost) };
}

function hours(text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined;
  if (text === NONE || text === NEVER) return null;
  const ms = spanMs(text);
  if (ms === null) throw usageFailure("--active-for must be a span such as 30d or 12h, or none.");
  return ms / HOUR_MS;
}
