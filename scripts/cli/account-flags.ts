import { InvalidArgumentError } from "commander";

export const WHICH = "name, id, or the beginning of an id";
const MAX_PRIORITY = 100;

export function readPriority(text: string): number {
  const priority = Number(text);
  if (!/^\d+$/.test(text) || priority < 1 || priority > MAX_PRIORITY) {
    throw new InvalidArgumentError(`Give a whole number from 1 to ${MAX_PRIORITY}.`);
  }
  return priority;
}

/** Settings that a new account is given, as flags. */
export interface SettingFlags {
  name?: string | undefined;
  description?: string | undefined;
  tag?: string[] | undefined;
  priority?: number | undefined;
}

/** The settings of a new account in the admin API's shape, but for its name. */
export function settingsOfNew({ description, tag, priority }: SettingFlags) {
  return {
    ...(description === undefined ? {} : { description }),
    ...(tag === undefined ? {} : { tags: tag }),
    ...(priority === undefined ? {} : { priority }),
  };
}
