import { commonWords } from "../i18n/common.ts";
import { Icon } from "./icon.tsx";

/** Searches while it is typed into. @param hint what can be searched for */
export function SearchField({
  hint,
  value,
  onValue,
}: {
  hint: string;
  value: string;
  onValue: (value: string) => void;
}) {
  return (
    <div class="search">
      <Icon name="search" />
      <input
        type="search"
        aria-label={`${commonWords().search}: ${hint}`}
        placeholder={hint}
        spellcheck={false}
        value={value}
        onInput={(event) => onValue(event.currentTarget.value)}
      />
    </div>
  );
}
