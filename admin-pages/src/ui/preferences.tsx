import { LANGUAGE_NAMES, LANGUAGES, language } from "../i18n/language.ts";
import { shellWords } from "../i18n/shell.ts";
import { THEMES, theme } from "../theme.ts";
import { Select } from "./fields.tsx";

/** Language and appearance: also for those who are not signed in. */
export function Preferences() {
  const t = shellWords();
  return (
    <div class="preferences">
      <Select
        aria-label={t.language}
        value={language.value}
        options={LANGUAGES.map((value) => ({ value, label: LANGUAGE_NAMES[value] }))}
        onValue={(value) => {
          language.value = value;
        }}
      />
      <Select
        aria-label={t.theme}
        value={theme.value}
        options={THEMES.map((value) => ({ value, label: t.themes[value] }))}
        onValue={(value) => {
          theme.value = value;
        }}
      />
    </div>
  );
}
