import { type Language, language } from "./language.ts";

type Phrase = string | ((...values: never[]) => string) | { readonly [name: string]: string };

type Translated<T> = {
  [K in keyof T]: T[K] extends string
    ? string
    : T[K] extends (...values: infer V) => string
      ? (...values: V) => string
      : { readonly [N in keyof T[K]]: string };
};

/** The words of one area; reading them follows the language. */
export interface Words<T> {
  (): Translated<T>;
  /** Every language, for tests. */
  readonly all: Record<Language, Translated<T>>;
}

/**
 * The words of one area in every language. A phrase is a text, a function of what it names, or a
 * table of texts for the values of a field. A phrase that a language lacks does not compile.
 */
export function dictionary<T extends Record<string, Phrase>>(
  en: T,
  zh: Translated<NoInfer<T>>,
): Words<T> {
  const all = { en: en as unknown as Translated<T>, zh };
  return Object.assign(() => all[language.value], { all });
}

/** A table's text for a value that a newer relay may have and this panel does not know yet. */
export function wordFor(table: Readonly<Record<string, string>>, value: string): string {
  return Object.hasOwn(table, value) ? (table[value] ?? value) : value.replaceAll("_", " ");
}
