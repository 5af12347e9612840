import { accountsWords } from "../../i18n/accounts.ts";
import { SwitchField, TextField } from "../../ui/fields.tsx";
import type { SettingsDraft, SettingsMistakes } from "./settings-draft.ts";

/** What may be set of an account, when it is added and later. */
export function SettingsFields({
  draft,
  mistakes,
  onChange,
}: {
  draft: SettingsDraft;
  mistakes: SettingsMistakes;
  onChange: (draft: SettingsDraft) => void;
}) {
  const t = accountsWords();
  const set = (change: Partial<SettingsDraft>) => onChange({ ...draft, ...change });
  const wrong = (field: keyof SettingsDraft) => {
    const mistake = mistakes[field];
    return mistake === undefined ? undefined : t[mistake];
  };
  return (
    <>
      <div class="form-columns">
        <TextField
          label={t.name}
          required
          maxLength={100}
          error={wrong("name")}
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
      <div class="form-columns">
        <TextField
          label={t.priority}
          inputMode="numeric"
          hint={t.priorityHint}
          error={wrong("priority")}
          value={draft.priority}
          onValue={(priority) => set({ priority })}
        />
        <TextField
          label={t.weight}
          inputMode="numeric"
          hint={t.weightHint}
          error={wrong("weight")}
          value={draft.weight}
          onValue={(weight) => set({ weight })}
        />
        <TextField
          label={t.maxConcurrency}
          isOptional
          inputMode="numeric"
          hint={t.maxConcurrencyHint}
          error={wrong("maxConcurrency")}
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
