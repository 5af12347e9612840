import type { Account, AccountSettings } from "../../api/accounts.ts";
import { list, toLocalInput } from "../keys/key-draft.ts";

/** What may be set of an account, as it stands in the form. */
export interface SettingsDraft {
  name: string;
  description: string;
  tags: string;
  enabled: boolean;
  schedulable: boolean;
  priority: string;
  weight: string;
  maxConcurrency: string;
  expiresAt: string;
}

export type SettingsMistakes = Partial<
  Record<keyof SettingsDraft, "required" | "badRange" | "badConcurrency">
>;

const RANGE_MAX = 100;
const CONCURRENCY_MAX = 10_000;

export function settingsDraftOf(account: Account | null): SettingsDraft {
  return {
    name: account?.name ?? "",
    description: account?.description ?? "",
    tags: account?.tags.join(", ") ?? "",
    enabled: account?.enabled ?? true,
    schedulable: account?.schedulable ?? true,
    priority: String(account?.priority ?? 50),
    weight: String(account?.weight ?? 1),
    maxConcurrency: account?.maxConcurrency == null ? "" : String(account.maxConcurrency),
    expiresAt: account?.expiresAt == null ? "" : toLocalInput(account.expiresAt),
  };
}

export function settingsMistakes(draft: SettingsDraft): SettingsMistakes {
  const found: SettingsMistakes = {};
  if (draft.name.trim() === "") found.name = "required";
  if (!isWhole(draft.priority, RANGE_MAX)) found.priority = "badRange";
  if (!isWhole(draft.weight, RANGE_MAX)) found.weight = "badRange";
  if (draft.maxConcurrency.trim() !== "" && !isWhole(draft.maxConcurrency, CONCURRENCY_MAX)) {
    found.maxConcurrency = "badConcurrency";
  }
  return found;
}

/** The settings as the relay takes them. Call it on a draft without mistakes. */
export function accountSettingsOf(draft: SettingsDraft): AccountSettings {
  const { maxConcurrency, expiresAt } = draft;
  return {
    name: draft.name.trim(),
    description: draft.description.trim(),
    tags: list(draft.tags),
    enabled: draft.enabled,
    schedulable: draft.schedulable,
    priority: Number(draft.priority),
    weight: Number(draft.weight),
    maxConcurrency: maxConcurrency.trim() === "" ? null : Number(maxConcurrency),
    expiresAt: expiresAt === "" ? null : new Date(expiresAt).toISOString(),
  };
}

function isWhole(text: string, most: number): boolean {
  const value = Number(text);
  return text.trim() !== "" && Number.isInteger(value) && value >= 1 && value <= most;
}
