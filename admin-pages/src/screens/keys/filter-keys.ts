import type { KeyStatus, RelayKey } from "../../api/keys.ts";
import type { Use } from "../../api/usage.ts";
import type { Sorting } from "../../ui/sorting.ts";

/** `present`: all that are not deleted. */
export type StatusFilter = KeyStatus | "present" | "everything";

export interface KeyFilter {
  text: string;
  status: StatusFilter;
  tag: string;
}

/** Those that fit: each word has to stand somewhere in name, note, tags, hint or id. */
export function keysThatFit(keys: readonly RelayKey[], { text, status, tag }: KeyFilter) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return keys.filter((key) => {
    if (status === "present" ? key.status === "deleted" : isOther(key, status)) return false;
    if (tag !== "" && !key.tags.includes(tag)) return false;
    if (words.length === 0) return true;
    const { name, description, tags, hint, id } = key;
    const haystack = [name, description, ...tags, hint, id].join("\n").toLowerCase();
    return words.every((word) => haystack.includes(word));
  });
}

function isOther(key: RelayKey, status: StatusFilter): boolean {
  return status !== "everything" && key.status !== status;
}

/** @param use what each key has used, by its id */
export function sortedKeys(
  keys: readonly RelayKey[],
  { by, isDescending }: Sorting,
  use: ReadonlyMap<string, Use>,
  locale: string,
): RelayKey[] {
  // "key 9" before "key 10".
  const { compare } = new Intl.Collator(locale, { numeric: true, sensitivity: "base" });
  const orders: Record<string, (a: RelayKey, b: RelayKey) => number> = {
    name: (a, b) => compare(a.name, b.name),
    state: (a, b) => compare(a.status, b.status),
    created: (a, b) => a.createdAt.localeCompare(b.createdAt),
    spent: (a, b) => (use.get(a.id)?.cost ?? 0) - (use.get(b.id)?.cost ?? 0),
    requests: (a, b) => (use.get(a.id)?.requests ?? 0) - (use.get(b.id)?.requests ?? 0),
  };
  const order = orders[by] ?? (() => 0);
  const direction = isDescending ? -1 : 1;
  return [...keys].sort((a, b) => direction * order(a, b) || compare(a.name, b.name));
}
