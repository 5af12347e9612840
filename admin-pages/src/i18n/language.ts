import { computed } from "@preact/signals";
import { preference } from "../preference.ts";

export const LANGUAGES = ["en", "zh"] as const;
export type Language = (typeof LANGUAGES)[number];

/** What a language calls itself. */
export const LANGUAGE_NAMES: Record<Language, string> = { en: "English", zh: "简体中文" };
const LOCALES: Record<Language, string> = { en: "en", zh: "zh-CN" };

const isLanguage = (text: string): text is Language =>
  (LANGUAGES as readonly string[]).includes(text);

/** The first of the browser's languages that the panel speaks. */
export function languageOf(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const language = tag.toLowerCase().split("-", 1)[0] ?? "";
    if (isLanguage(language)) return language;
  }
  return "en";
}

const browserTags = globalThis.navigator?.languages ?? [];

export const language = preference<Language>("language", languageOf(browserTags), isLanguage);

/**
 * For numbers and times: the browser's own tag where it is one of the chosen language, so that an
 * English reader in Britain gets British dates.
 */
export const locale = computed(
  () =>
    browserTags.find((tag) => tag.toLowerCase().split("-", 1)[0] === language.value) ??
    LOCALES[language.value],
);

export function followLanguage(): () => void {
  return language.subscribe((value) => {
    document.documentElement.lang = LOCALES[value];
  });
}
