import { MAX_TAGS, TAG_MAX_CHARS } from "../../src/keys/key-record.ts";
import { plain } from "./text-width.ts";

/** How claude-relay-service writes values down: everything is a text, and what is not set is empty. */

/** One account or key of the source: what would be written, and what is lost on the way. */
export interface Carried<T> {
  id: string;
  name: string;
  /** What does not come along, in words. */
  notes: string[];
  /** Null: it cannot be carried over; `notes` say why. */
  value: T | null;
}

const CONTROL = /\p{Cc}+/gu;
const NO_TAG_CHARACTER = /[^\p{L}\p{N} ._-]+/gu;

export function isTrue(text: string | undefined): boolean {
  return text === "true" || text === "1";
}

/** A number above zero; null where it is 0, which means unlimited there, or not set. */
export function positive(text: string | undefined): number | null {
  const value = Number(text ?? "");
  return Number.isFinite(value) && value > 0 ? value : null;
}

/** Unix milliseconds of an ISO time or of milliseconds as digits; null where there is none. */
export function timeMs(text: string | undefined): number | null {
  if (text === undefined || text === "") return null;
  const ms = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isFinite(ms) && ms >= 0 ? Math.round(ms) : null;
}

export function json(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return null;
  }
}

export function texts(text: string | undefined): string[] {
  const value = json(text);
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
}

/** A text as a field here takes it; what is cut off is noted. */
export function fitted(text: string, maxChars: number, what: string, notes: string[]): string {
  const clean = text.replace(CONTROL, " ").trim();
  if (clean.length <= maxChars) return clean;
  notes.push(`its ${what} is cut to ${maxChars} characters`);
  return clean.slice(0, maxChars).trim();
}

/** A tag as it is allowed here, or "" where nothing of it is. */
export function tagOf(text: string): string {
  return text
    .replace(NO_TAG_CHARACTER, "-")
    .replace(/^[ ._-]+/u, "")
    .slice(0, TAG_MAX_CHARS)
    .trim();
}

export function tagsOf(given: readonly string[], notes: string[]): string[] {
  const tags = new Set<string>();
  for (const text of given) {
    const tag = tagOf(text);
    if (tag !== text) notes.push(`its tag "${plain(text)}" is "${tag}" here`);
    if (tag !== "") tags.add(tag);
  }
  if (tags.size > MAX_TAGS) notes.push(`of its ${tags.size} tags the first ${MAX_TAGS} are kept`);
  return [...tags].slice(0, MAX_TAGS);
}
