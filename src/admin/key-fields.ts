import * as v from "valibot";
import type { KeyLimits } from "../keys/key-limits.ts";
import { UNLIMITED, WINDOW_MAX_MINUTES } from "../keys/key-limits.ts";
import {
  KEY_DESCRIPTION_MAX_CHARS,
  KEY_NAME_MAX_CHARS,
  type KeyRecord,
  MAX_MODEL_PATTERNS,
  MAX_TAGS,
  policyOf,
  refusalOf,
  TAG_MAX_CHARS,
} from "../keys/key-record.ts";
import type { KeyFields } from "../keys/new-key.ts";

/** The fields of a key as the admin API and the CLI take them: dollars, ISO times, days. */

const NANO_PER_DOLLAR = 1_000_000_000;
/** A million dollars in nano-dollars is well inside a safe integer. */
const COST_MAX_DOLLARS = 1_000_000;
const COUNT_MAX = 1_000_000_000;
const CONCURRENCY_MAX = 10_000;
const HOUR_MS = 3_600_000;
const ACTIVE_MAX_HOURS = 10 * 366 * 24;
/** Of the number in a numbered name: up to 99,999 keys of one kind. */
export const NUMBER_MAX_DIGITS = 5;

export const nameSchema = v.pipe(
  v.string(),
  v.trim(),
  v.nonEmpty("must not be empty"),
  v.maxLength(KEY_NAME_MAX_CHARS),
  v.regex(/^\P{Cc}*$/u, "must not hold control characters"),
);
/** The beginning of a numbered name; a space or a hyphen may stand before the number. */
const nameStartSchema = v.pipe(
  v.string(),
  v.nonEmpty("must not be empty"),
  v.maxLength(KEY_NAME_MAX_CHARS - NUMBER_MAX_DIGITS),
  v.regex(/^(?!\s)\P{Cc}*$/u, "must not hold control characters, or begin with a space"),
);
export const descriptionSchema = v.pipe(
  v.string(),
  v.trim(),
  v.maxLength(KEY_DESCRIPTION_MAX_CHARS),
);
export const tagSchema = v.pipe(
  v.string(),
  v.trim(),
  v.maxLength(TAG_MAX_CHARS),
  v.regex(/^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u, "must be letters, digits, spaces, . _ or -"),
);
export const tagsSchema = v.pipe(
  v.array(tagSchema),
  v.maxLength(MAX_TAGS, `must have at most ${MAX_TAGS} tags`),
  v.transform((tags) => [...new Set(tags)]),
);
/** ISO 8601 with a zone, or null for never; unix milliseconds afterwards. */
const timeSchema = v.nullable(
  v.pipe(
    v.string(),
    v.isoTimestamp("must be a time such as 2027-01-31T00:00:00Z"),
    v.transform((text) => Date.parse(text)),
  ),
);
const countSchema = v.nullable(
  v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(COUNT_MAX)),
);
/** Dollars; nano-dollars afterwards. */
const amountSchema = v.pipe(
  v.number(),
  v.minValue(0),
  v.maxValue(COST_MAX_DOLLARS),
  v.transform((dollars) => Math.round(dollars * NANO_PER_DOLLAR)),
);
const dollarsSchema = v.nullable(amountSchema);
const patternsSchema = v.pipe(
  v.array(
    v.pipe(
      v.string(),
      v.regex(/^[A-Za-z0-9._:@[\]-]{1,200}\*?$/, "must be a model's name, or a prefix and a *"),
    ),
  ),
  v.maxLength(MAX_MODEL_PATTERNS, `must have at most ${MAX_MODEL_PATTERNS} entries`),
);

const limitsSchema = v.strictObject({
  concurrency: v.optional(
    v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(CONCURRENCY_MAX))),
  ),
  window: v.optional(
    v.nullable(
      v.strictObject({
        minutes: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(WINDOW_MAX_MINUTES)),
        requests: v.optional(countSchema, null),
        tokens: v.optional(countSchema, null),
        cost: v.optional(dollarsSchema, null),
      }),
    ),
  ),
  dailyCost: v.optional(dollarsSchema),
  weeklyCost: v.optional(dollarsSchema),
  monthlyCost: v.optional(dollarsSchema),
  totalCost: v.optional(dollarsSchema),
  weeklyFamilyCost: v.optional(
    v.nullable(
      v.strictObject({
        family: v.picklist(["fable", "mythos", "opus", "sonnet", "haiku", "other"]),
        cost: amountSchema,
      }),
    ),
  ),
});

const settings = {
  description: v.optional(descriptionSchema),
  tags: v.optional(tagsSchema),
  enabled: v.optional(v.boolean()),
  expiresAt: v.optional(timeSchema),
  /** Hours from the first request on. */
  activeForHours: v.optional(
    v.nullable(v.pipe(v.number(), v.minValue(0.01), v.maxValue(ACTIVE_MAX_HOURS))),
  ),
  allowedModels: v.optional(v.nullable(patternsSchema)),
  deniedModels: v.optional(patternsSchema),
  accountId: v.optional(v.nullable(v.pipe(v.string(), v.uuid()))),
  accountTag: v.optional(v.nullable(v.pipe(v.string(), v.trim(), v.maxLength(TAG_MAX_CHARS)))),
  limits: v.optional(limitsSchema),
};

export const createKeySchema = v.strictObject({ name: nameSchema, ...settings });
export const updateKeySchema = v.strictObject({ name: v.optional(nameSchema), ...settings });
/** Many keys at once: their names stay, and tags can come and go beside the others. */
export const updateKeysSchema = v.strictObject({
  ...settings,
  addTags: v.optional(tagsSchema),
  removeTags: v.optional(tagsSchema),
});
/** Many new keys, with numbered names: what those begin with, and any setting. */
export const createKeysSchema = v.strictObject({ namePrefix: nameStartSchema, ...settings });

type KeyUpdate = v.InferOutput<typeof updateKeySchema> &
  Pick<v.InferOutput<typeof updateKeysSchema>, "addTags" | "removeTags">;

/**
 * What a body changes of a record; what it does not name stays.
 *
 * @param before the record that is changed, or null for a new key
 */
export function changesOf(body: KeyUpdate, before: KeyRecord | null): Partial<KeyFields> {
  const { name, description, enabled, expiresAt, activeForHours } = body;
  const tags = tagsWith(body, before?.tags ?? []);
  const { allowedModels, deniedModels, accountId, accountTag, limits } = body;
  const models = before?.models ?? { allowed: null, denied: [] };
  return {
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    ...(tags === undefined ? {} : { tags }),
    ...(enabled === undefined ? {} : { enabled }),
    ...(expiresAt === undefined ? {} : { expiresAtMs: expiresAt }),
    ...(activeForHours === undefined
      ? {}
      : { activeForMs: activeForHours === null ? null : Math.round(activeForHours * HOUR_MS) }),
    ...(allowedModels === undefined && deniedModels === undefined
      ? {}
      : {
          models: {
            allowed: allowedModels === undefined ? models.allowed : allowedModels,
            denied: deniedModels ?? models.denied,
          },
        }),
    ...(accountId === undefined && accountTag === undefined
      ? {}
      : { boundTo: bindingOf(accountId, accountTag, before?.boundTo ?? null) }),
    ...(limits === undefined ? {} : { limits: limitsWith(before?.limits ?? UNLIMITED, limits) }),
  };
}

/** The tags after a change; undefined where it says nothing of them. */
function tagsWith({ tags, addTags, removeTags }: KeyUpdate, before: string[]) {
  if (addTags === undefined && removeTags === undefined) return tags;
  const kept = (tags ?? before).filter((tag) => !removeTags?.includes(tag));
  return [...new Set([...kept, ...(addTags ?? [])])];
}

/** A key is bound one way at the most; taking one way away leaves the other as it was. */
function bindingOf(
  accountId: string | null | undefined,
  tag: string | null | undefined,
  before: KeyRecord["boundTo"],
): KeyRecord["boundTo"] {
  if (accountId) return { kind: "account", value: accountId };
  if (tag) return { kind: "tag", value: tag };
  if (before?.kind === "account" && accountId === undefined) return before;
  return before?.kind === "tag" && tag === undefined ? before : null;
}

function limitsWith(before: KeyLimits, given: v.InferOutput<typeof limitsSchema>): KeyLimits {
  const or = <T>(value: T | undefined, old: T): T => (value === undefined ? old : value);
  return {
    concurrency: or(given.concurrency, before.concurrency),
    window: or(given.window, before.window),
    costPerDay: or(given.dailyCost, before.costPerDay),
    costPerWeek: or(given.weeklyCost, before.costPerWeek),
    costPerMonth: or(given.monthlyCost, before.costPerMonth),
    costTotal: or(given.totalCost, before.costTotal),
    familyCostPerWeek: or(given.weeklyFamilyCost, before.familyCostPerWeek),
  };
}

/** The settings of a key as they are shown: the same names as they are given by. */
export function shownSettings(record: KeyRecord) {
  const usd = (nano: number | null) => (nano === null ? null : nano / NANO_PER_DOLLAR);
  const { limits, boundTo } = record;
  return {
    tags: record.tags,
    enabled: record.enabled,
    expiresAt: record.expiresAtMs === null ? null : new Date(record.expiresAtMs).toISOString(),
    activeForHours: record.activeForMs === null ? null : record.activeForMs / HOUR_MS,
    allowedModels: record.models.allowed,
    deniedModels: record.models.denied,
    accountId: boundTo?.kind === "account" ? boundTo.value : null,
    accountTag: boundTo?.kind === "tag" ? boundTo.value : null,
    limits: {
      concurrency: limits.concurrency,
      window: limits.window === null ? null : { ...limits.window, cost: usd(limits.window.cost) },
      dailyCost: usd(limits.costPerDay),
      weeklyCost: usd(limits.costPerWeek),
      monthlyCost: usd(limits.costPerMonth),
      totalCost: usd(limits.costTotal),
      weeklyFamilyCost:
        limits.familyCostPerWeek === null
          ? null
          : {
              family: limits.familyCostPerWeek.family,
              cost: limits.familyCostPerWeek.cost / NANO_PER_DOLLAR,
            },
    },
  };
}

/**
 * A key as people see it.
 *
 * @param activatedAtMs when it was first used, where that is known
 */
export function shownKey(record: KeyRecord, activatedAtMs: number | null) {
  const iso = (atMs: number | null) => (atMs === null ? null : new Date(atMs).toISOString());
  const use = { mark: null, model: null, activatedAtMs };
  const refusal =
    refusalOf(policyOf(record), use, Date.now())?.kind.replace("key_", "") ?? "active";
  return {
    id: record.id,
    name: record.name,
    description: record.description,
    hint: record.hint,
    /** "active", or why the key is refused. */
    status: record.deletedAtMs === null ? refusal : "deleted",
    ...shownSettings(record),
    createdAt: iso(record.createdAtMs),
    activatedAt: iso(activatedAtMs),
    revokedAt: iso(record.revokedAtMs),
    deletedAt: iso(record.deletedAtMs),
  };
}
