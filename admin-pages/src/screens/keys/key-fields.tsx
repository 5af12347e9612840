import type { Account } from "../../api/accounts.ts";
import { FAMILIES } from "../../api/keys.ts";
import { keysWords } from "../../i18n/keys.ts";
import { Choice, SelectField, TextAreaField, TextField } from "../../ui/fields.tsx";
import type { KeyDraft, Mistakes } from "./key-draft.ts";

interface Props {
  draft: KeyDraft;
  mistakes: Mistakes;
  accounts: readonly Account[];
  onChange: (change: Partial<KeyDraft>) => void;
}

/** All settings of a key but its name: the limits in sight, the rest below a fold. */
export function KeyFields(props: Props) {
  const t = keysWords();
  const { draft, onChange } = props;
  return (
    <>
      <fieldset class="stack">
        <legend>
          <h3>{t.limits}</h3>
        </legend>
        <p class="hint">{t.limitsLead}</p>
        <div class="form-columns">
          <NumberOf {...props} field="dailyCost" label={t.dailyCost} unit="USD" />
          <NumberOf {...props} field="weeklyCost" label={t.weeklyCost} unit="USD" />
          <NumberOf {...props} field="monthlyCost" label={t.monthlyCost} unit="USD" />
          <NumberOf {...props} field="totalCost" label={t.totalCost} unit="USD" />
          <NumberOf {...props} field="concurrency" label={t.concurrency} />
        </div>
      </fieldset>
      <details>
        <summary>{t.window}</summary>
        <div class="form-columns">
          <NumberOf
            {...props}
            field="windowMinutes"
            label={t.windowMinutes}
            hint={t.windowHint}
            unit="min"
          />
          <NumberOf {...props} field="windowRequests" label={t.windowRequests} />
          <NumberOf {...props} field="windowTokens" label={t.windowTokens} />
          <NumberOf {...props} field="windowCost" label={t.windowCost} unit="USD" />
        </div>
      </details>
      <details>
        <summary>{t.familyLimit}</summary>
        <div class="form-columns">
          <SelectField
            label={t.family}
            value={draft.family}
            options={[
              { value: "", label: t.noFamily },
              ...FAMILIES.map((value) => ({ value, label: value })),
            ]}
            onValue={(family) => onChange({ family })}
          />
          <NumberOf {...props} field="familyCost" label={t.familyCost} unit="USD" />
        </div>
      </details>
      <details>
        <summary>{t.models}</summary>
        <div class="form-columns">
          <TextAreaField
            label={t.allowedModels}
            hint={t.allowedHint}
            spellcheck={false}
            value={draft.allowedModels}
            onValue={(allowedModels) => onChange({ allowedModels })}
          />
          <TextAreaField
            label={t.deniedModels}
            hint={t.deniedHint}
            spellcheck={false}
            value={draft.deniedModels}
            onValue={(deniedModels) => onChange({ deniedModels })}
          />
        </div>
      </details>
      <details>
        <summary>{t.serving}</summary>
        <Binding {...props} />
      </details>
      <details>
        <summary>{t.validity}</summary>
        <div class="form-columns">
          <TextField
            label={t.expiresAt}
            type="datetime-local"
            value={draft.expiresAt}
            onValue={(expiresAt) => onChange({ expiresAt })}
          />
          <NumberOf
            {...props}
            field="activeForHours"
            label={t.activeForHours}
            hint={t.activeHint}
            unit="h"
          />
        </div>
      </details>
    </>
  );
}

function Binding({ draft, accounts, onChange }: Props) {
  const t = keysWords();
  const kinds = ["any", "account", "tag"] as const;
  return (
    <div class="stack">
      <Choice
        label={t.binding}
        isLabelHidden
        value={draft.binding}
        options={kinds.map((value) => ({ value, label: t.bindings[value] }))}
        onValue={(binding) => onChange({ binding })}
      />
      {draft.binding === "account" && (
        <SelectField
          label={t.account}
          value={draft.accountId}
          options={[
            { value: "", label: "—" },
            ...accounts.map(({ id, name }) => ({ value: id, label: name })),
          ]}
          onValue={(accountId) => onChange({ accountId })}
        />
      )}
      {draft.binding === "tag" && (
        <TextField
          label={t.accountTag}
          value={draft.accountTag}
          onValue={(accountTag) => onChange({ accountTag })}
        />
      )}
    </div>
  );
}

type NumberName = {
  [K in keyof KeyDraft]: K extends
    | `${string}${"Cost" | "Minutes" | "Requests" | "Tokens" | "Hours"}`
    | "concurrency"
    ? K
    : never;
}[keyof KeyDraft];

function NumberOf({
  draft,
  mistakes,
  onChange,
  field,
  label,
  hint,
  unit,
}: Props & { field: NumberName; label: string; hint?: string; unit?: string }) {
  const mistake = mistakes[field];
  return (
    <TextField
      label={label}
      inputMode="decimal"
      {...(hint === undefined ? {} : { hint })}
      {...(unit === undefined ? {} : { unit })}
      error={mistake === undefined ? undefined : keysWords()[mistake]}
      value={draft[field]}
      onValue={(value) => onChange({ [field]: value })}
    />
  );
}
