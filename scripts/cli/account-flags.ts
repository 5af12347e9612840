import { type Command, InvalidArgumentError } from "commander";
import { NEVER, readExpiry } from "./moment.ts";

export const WHICH = "name, id, or the beginning of an id";
const MAX_PRIORITY = 100;
const MAX_WEIGHT = 100;
const MAX_CONCURRENCY = 10_000;
/** What takes a bound away: commander would make an empty text of null. */
const NONE = "none";

const readPriority = wholeNumber(MAX_PRIORITY);
const readWeight = wholeNumber(MAX_WEIGHT);

function wholeNumber(most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= 1 && number <= most) return number;
    throw new InvalidArgumentError(`Give a whole number from 1 to ${most}.`);
  };
}

function readConcurrency(text: string): number | typeof NONE {
  return text === NONE ? NONE : wholeNumber(MAX_CONCURRENCY)(text);
}

/** How an account takes part in the pool, as flags: for new accounts and for changes. */
export interface PoolFlags {
  priority?: number | undefined;
  weight?: number | undefined;
  maxConcurrency?: number | typeof NONE | undefined;
  /** ISO 8601, or NEVER. */
  expires?: string | undefined;
  /** False where `--no-schedulable` was given. */
  schedulable?: boolean | undefined;
}

export function poolOptions(command: Command): Command {
  return command
    .option("--priority <number>", "1 to 100; lower ones are used first (default 50)", readPriority)
    .option("--weight <number>", "1 to 100: its share of new sessions (default 1)", readWeight)
    .option("--max-concurrency <n>", 'requests at once; "none" for no bound', readConcurrency)
    .option("--expires <when>", 'serves until then: 2027-01-31, 30d, or "never"', (text) =>
      readExpiry(text),
    )
    .option("--schedulable", "takes new work (so it is by default)")
    .option("--no-schedulable", "takes no new work; sessions that are on it stay");
}

/** The flags in the admin API's shape; what was not given is left out. */
export function poolSettings(flags: PoolFlags): Record<string, unknown> {
  const { priority, weight, maxConcurrency, expires, schedulable } = flags;
  const settings = {
    priority,
    weight,
    maxConcurrency: maxConcurrency === NONE ? null : maxConcurrency,
    expiresAt: expires === NEVER ? null : expires,
    schedulable,
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** Settings that a new account is given, as flags. */
export interface SettingFlags extends PoolFlags {
  name?: string | undefined;
  description?: string | undefined;
  tag?: string[] | undefined;
}

/** The settings of a new account in the admin API's shape, but for its name. */
export function settingsOfNew({ description, tag, ...flags }: SettingFlags) {
  return {
    ...(description === undefined ? {} : { description }),
    ...(tag === undefined ? {} : { tags: tag }),
    ...poolSettings(flags),
  };
}
