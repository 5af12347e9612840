import * as v from "valibot";

/** One entry of Anthropic's model list. Fields that are not named here are passed on as they came. */
export interface ModelEntry {
  type: string;
  id: string;
  display_name: string;
  created_at: string;
}

const listSchema = v.object({
  data: v.array(
    v.looseObject({
      type: v.string(),
      id: v.string(),
      display_name: v.string(),
      created_at: v.string(),
    }),
  ),
});

/** @returns the entries of an answer to `GET /v1/models`, or null where it is no such list */
export function readModelList(body: unknown): ModelEntry[] | null {
  const parsed = v.safeParse(listSchema, body);
  return parsed.success ? parsed.output.data : null;
}

/** What Anthropic's documentation names for a release date that is not known. */
const UNKNOWN_DATE = "1970-01-01T00:00:00Z";

/** Served only while upstream cannot be asked. As of 2026-11. */
export const builtInModels: readonly ModelEntry[] = [
  ["claude-opus-5-5", "Claude Opus 5.5"],
  ["claude-opus-5", "Claude Opus 5"],
  ["claude-opus-4-8", "Claude Opus 4.8"],
  ["claude-sonnet-5-5", "Claude Sonnet 5.5"],
  ["claude-sonnet-5", "Claude Sonnet 5"],
  ["claude-sonnet-4-6", "Claude Sonnet 4.6"],
  ["claude-haiku-5-5", "Claude Haiku 5.5"],
  ["claude-haiku-4-5", "Claude Haiku 4.5"],
].map(([id = "", display_name = ""]) => ({
  type: "model",
  id,
  display_name,
  created_at: UNKNOWN_DATE,
}));
