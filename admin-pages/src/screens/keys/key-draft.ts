import {
  FAMILIES,
  type Family,
  type KeyLimits,
  type KeySettings,
  type RelayKey,
} from "../../api/keys.ts";

/** A key's settings as they stand in the form: texts, as they were typed. */
export interface KeyDraft {
  name: string;
  description: string;
  tags: string;
  enabled: boolean;
  /** In the browser's time, as the input has it. */
  expiresAt: string;
  activeForHours: string;
  allowedModels: string;
  deniedModels: string;
  binding: "any" | "account" | "tag";
  accountId: string;
  accountTag: string;
  concurrency: string;
  dailyCost: string;
  weeklyCost: string;
  monthlyCost: string;
  totalCost: string;
  windowMinutes: string;
  windowRequests: string;
  windowTokens: string;
  windowCost: string;
  family: Family | "";
  familyCost: string;
}

/** A mistake in a field, by what is wrong with it. */
export type Mistakes = Partial<
  Record<keyof KeyDraft, "badNumber" | "badWhole" | "needWindow" | "needName">
>;

export function draftOf(key: RelayKey | null): KeyDraft {
  const limits = key?.limits;
  return {
    name: key?.name ?? "",
    description: key?.description ?? "",
    tags: key?.tags.join(", ") ?? "",
    enabled: key?.enabled ?? true,
    expiresAt: key?.expiresAt == null ? "" : toLocalInput(key.expiresAt),
    activeForHours: text(key?.activeForHours),
    allowedModels: key?.allowedModels?.join("\n") ?? "",
    deniedModels: key?.deniedModels.join("\n") ?? "",
    binding: key?.accountId ? "account" : key?.accountTag ? "tag" : "any",
    accountId: key?.accountId ?? "",
    accountTag: key?.accountTag ?? "",
    concurrency: text(limits?.concurrency),
    dailyCost: text(limits?.dailyCost),
    weeklyCost: text(limits?.weeklyCost),
    monthlyCost: text(limits?.monthlyCost),
    totalCost: text(limits?.totalCost),
    windowMinutes: text(limits?.window?.minutes),
    windowRequests: text(limits?.window?.requests),
    windowTokens: text(limits?.window?.tokens),
    windowCost: text(limits?.window?.cost),
    family: limits?.weeklyFamilyCost?.family ?? "",
    familyCost: text(limits?.weeklyFamilyCost?.cost),
  };
}

const AMOUNTS = [
  "activeForHours",
  "dailyCost",
  "weeklyCost",
  "monthlyCost",
  "totalCost",
  "windowCost",
  "familyCost",
] as const;
const WHOLE = ["concurrency", "windowMinutes", "windowRequests", "windowTokens"] as const;

/** What is wrong with a draft; empty where it can be sent. The relay checks it all again. */
export function mistakesOf(draft: KeyDraft): Mistakes {
  const found: Mistakes = {};
  if (draft.name.trim() === "") found.name = "needName";
  for (const field of AMOUNTS) if (!isAmount(draft[field])) found[field] = "badNumber";
  for (const field of WHOLE) {
    if (!isAmount(draft[field])) found[field] = "badNumber";
    else if (!Number.isInteger(Number(draft[field]))) found[field] = "badWhole";
  }
  const inWindow = [draft.windowRequests, draft.windowTokens, draft.windowCost];
  if (draft.windowMinutes === "" && inWindow.some((value) => value !== "")) {
    found.windowMinutes = "needWindow";
  }
  return found;
}

/** The settings as the relay takes them. Call it on a draft without mistakes. */
export function settingsOf(draft: KeyDraft): { name: string } & KeySettings {
  const { binding, family, windowMinutes } = draft;
  const allowed = lines(draft.allowedModels);
  const limits: KeyLimits = {
    concurrency: number(draft.concurrency),
    dailyCost: number(draft.dailyCost),
    weeklyCost: number(draft.weeklyCost),
    monthlyCost: number(draft.monthlyCost),
    totalCost: number(draft.totalCost),
    window:
      windowMinutes === ""
        ? null
        : {
            minutes: Number(windowMinutes),
            requests: number(draft.windowRequests),
            tokens: number(draft.windowTokens),
            cost: number(draft.windowCost),
          },
    weeklyFamilyCost:
      family === "" || draft.familyCost === "" ? null : { family, cost: Number(draft.familyCost) },
  };
  return {
    name: draft.name.trim(),
    description: draft.description.trim(),
    tags: list(draft.tags),
    enabled: draft.enabled,
    expiresAt: draft.expiresAt === "" ? null : new Date(draft.expiresAt).toISOString(),
    activeForHours: number(draft.activeForHours),
    allowedModels: allowed.length === 0 ? null : allowed,
    deniedModels: lines(draft.deniedModels),
    accountId: binding === "account" && draft.accountId !== "" ? draft.accountId : null,
    accountTag:
      binding === "tag" && draft.accountTag.trim() !== "" ? draft.accountTag.trim() : null,
    limits,
  };
}

export function isFamily(value: string): value is Family {
  return (FAMILIES as readonly string[]).includes(value);
}

/** Tags as they are typed, with commas of either script in between. */
export function list(typed: string): string[] {
  return [...new Set(typed.split(/[,，、]/).map((tag) => tag.trim()))].filter(Boolean);
}

function lines(typed: string): string[] {
  return typed
    .split(/[\n,]/)
    .map((line) => line.trim())
    .filter(Boolean);
}

function isAmount(typed: string): boolean {
  const value = Number(typed);
  return Number.isFinite(value) && value >= 0;
}

function number(typed: string): number | null {
  return typed.trim() === "" ? null : Number(typed);
}

function text(value: number | null | undefined): string {
  return value == null ? "" : String(value);
}

/** `2026-11-24T21:43`, in the browser's time. */
export function toLocalInput(iso: string): string {
  const at = new Date(iso);
  const pad = (part: number) => String(part).padStart(2, "0");
  const day = [at.getFullYear(), pad(at.getMonth() + 1), pad(at.getDate())].join("-");
  return `${day}T${pad(at.getHours())}:${pad(at.getMinutes())}`;
}
