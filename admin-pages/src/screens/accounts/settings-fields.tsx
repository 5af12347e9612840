import { accountsWords } from "../../i18n/accounts.ts";
import { SwitchField, TextField } from "../../ui/fields.tsx";
import type { SettingsDraft, SettingsMistakes } from "./settings-draft.ts";

interface Props {
  draft: SettingsDraft;
  mistakes: SettingsMistakes;
  onChange: (draft: SettingsDraft) => void;
}

/** What an account is called. */
export function NameFields({ draft, mistakes, onChange }: Props) {
  const t = accountsWords();
  const set = (change: Partial<SettingsDraft>) => onChange({ ...draft, ...change });
  return (
    <div class="form-columns">
      <TextField
        label={t.name}
        required
        maxLength={100}
        error={wordsOf(mistakes.name)}
        value={draft.name}
        onValue={(name) => set({ name })}
      />
      <TextField
        label={t.description}
        isOptional
        value={draft.description}
        onValue={(description) => set({ description })}
      />
      <TextField
        label={t.tags}
        isOptional
        hint={t.tagsHint}
        value={draft.tags}
        onValue={(tags) => set({ tags })}
      />
    </div>
  );
}

/** What decides about an account's share of the work. */
export function WorkFields({ draft, mistakes, onChange }: Props) {
  const t = accountsWords();
  const set = (change: Partial<SettingsDraft>) => onChange({ ...draft, ...change });
  return (
    <>
      <div class="form-columns">
        <TextField
          label={t.priority}
          inputMode="numeric"
          hint={t.priorityHint}
          error={wordsOf(mistakes.priority)}
          value={draft.priority}
          onValue={(priority) => set({ priority })}
        />
        <TextField
          label={t.weight}
          inputMode="numeric"
          hint={t.weightHint}
          error={wordsOf(mistakes.weight)}
          value={draft.weight}
          onValue={(weight) => set({ weight })}
        />
        <TextField
          label={t.maxConcurrency}
          isOptional
          inputMode="numeric"
          hint={t.maxConcurrencyHint}
          error={wordsOf(mistakes.maxConcurrency)}
          value={draft.maxConcurrency}
          onValue={(maxConcurrency) => set({ maxConcurrency })}
        />
        <TextField
          label={t.expiresAt}
          isOptional
          type="datetime-local"
          value={draft.expiresAt}
          onValue={(expiresAt) => set({ expiresAt })}
        />
      </div>
      <SwitchField
        label={t.schedulable}
        hint={t.schedulableHint}
        isOn={draft.schedulable}
        onToggle={(schedulable) => set({ schedulable })}
      />
    </>
  );
}

function wordsOf(mistake: SettingsMistakes[keyof SettingsDraft]): string | undefined {
  return mistake === undefined ? undefined : accountsWords()[mistake];
}
