import { RecentMap } from "../recent-map.ts";

/** Real ids stay far below; what is longer is cut before anything looks at it. */
const maxModelChars = 200;
/** Clients may invent names without end. */
const maxKnownModels = 500;

/** The suffixes and prefixes that a model id may wear, in the order in which they come off. */
const trimmings: readonly RegExp[] = [
  /\[1m\]$/, // Claude Code's mark for the 1M context window
  /^(?:[a-z-]{2,8}\.)?anthropic\./, // Bedrock, with or without a region: us.anthropic.…
  /-v\d{1,2}(?::[0-9a-z]{1,5})*$/, // Bedrock's version: -v1:0
  /@(?:\d{8}|latest|default)$/, // Vertex
  /-latest$/,
  /-20\d{6}$/, // dated snapshot: -20250929
];

/** Aliases that Anthropic documents for ids that carry no minor version. */
const aliases: ReadonlyMap<string, string> = new Map([
  ["claude-opus-4-0", "claude-opus-4"],
  ["claude-sonnet-4-0", "claude-sonnet-4"],
]);

export type ModelFamily = "fable" | "mythos" | "opus" | "sonnet" | "haiku" | "other";

/**
 * The bare model id that prices and limits are listed by: lower case, without date, context mark,
 * `-latest`, Vertex or Bedrock dress. `us.anthropic.claude-sonnet-4-5-20250929-v1:0` gives
 * `claude-sonnet-4-5`. An id that it does not know comes back as it is, never as a similar one.
 */
export function canonicalModel(id: string): string {
  const known = canonical.get(id);
  if (known !== undefined) return known;
  const name = trimmed(id);
  canonical.set(id, name);
  return name;
}

function trimmed(id: string): string {
  let name = id.slice(0, maxModelChars).trim().toLowerCase();
  for (const trimming of trimmings) name = name.replace(trimming, "");
  return aliases.get(name) ?? name;
}

/** Each request asks several times, for one of a few models: a look-up instead of a row of patterns. */
const canonical = new RecentMap<string, string>(maxKnownModels);

/** The family that upstream limits together, `other` for a name that holds none as a whole word. */
export function modelFamily(id: string): ModelFamily {
  const known = families.get(id);
  if (known !== undefined) return known;
  const family = familyOf(id);
  families.set(id, family);
  return family;
}

const families = new RecentMap<string, ModelFamily>(maxKnownModels);

function familyOf(id: string): ModelFamily {
  for (const word of canonicalModel(id).split(/[^a-z]+/)) {
    switch (word) {
      case "fable":
      case "mythos":
      case "opus":
      case "sonnet":
      case "haiku":
        return word;
    }
  }
  return "other";
}
