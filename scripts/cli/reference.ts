import { Failure, usageFailure } from "./failure.ts";
import { plain } from "./text-width.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Shorter beginnings are more often a typo than an id. */
export const MIN_PREFIX_CHARS = 4;
const SHOWN_MATCHES = 5;

export interface Named {
  id: string;
  name: string;
}

export function isWholeId(text: string): boolean {
  return UUID.test(text);
}

/** Enough of an id to tell it from others, for tables. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

/** The one thing that a person means by an exact name, an id, or the beginning of an id. */
export function pick<T extends Named>(
  noun: "account" | "key" | "webhook",
  given: string,
  all: readonly T[],
): T {
  const named = all.filter(({ id, name }) => id === given || name === given);
  const meant =
    named.length > 0
      ? named
      : given.length >= MIN_PREFIX_CHARS
        ? all.filter(({ id }) => id.startsWith(given.toLowerCase()))
        : [];
  const [only] = meant;
  if (only === undefined) {
    throw new Failure(
      `No ${noun} is named "${plain(given)}", and no id begins so.\nSee them all: npm run cli -- ${noun === "webhook" ? "alert" : noun}s list`,
    );
  }
  if (meant.length === 1) return only;
  const shown = meant.slice(0, SHOWN_MATCHES).map(({ id, name }) => `${id} (${plain(name)})`);
  const more = meant.length > SHOWN_MATCHES ? ", …" : "";
  throw usageFailure(
    `"${plain(given)}" may mean ${meant.length} ${noun}s: ${shown.join(", ")}${more}.\nGive the id instead.`,
  );
}
