import { useState } from "preact/hooks";
import { listAccounts } from "../../api/accounts.ts";
import type { Failure } from "../../api/client.ts";
import { createKey, type NewKey, type RelayKey, updateKey } from "../../api/keys.ts";
import { commonWords } from "../../i18n/common.ts";
import { keysWords } from "../../i18n/keys.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { TextField } from "../../ui/fields.tsx";
import { FailureNotice } from "../../ui/states.tsx";
import { say } from "../../ui/toasts.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { draftOf, mistakesOf, settingsOf } from "./key-draft.ts";
import { KeyFields } from "./key-fields.tsx";

interface KeyFormProps {
  /** Null for a new key. */
  of: RelayKey | null;
  onClose: () => void;
  onCreated: (key: NewKey) => void;
  onSaved: (key: RelayKey) => void;
}

/** Makes a key, or changes one. */
export function KeyForm({ of: key, onClose, onCreated, onSaved }: KeyFormProps) {
  const t = keysWords();
  const [draft, setDraft] = useState(() => draftOf(key));
  const [isTried, setTried] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const accounts = useResource(listAccounts, []).value?.accounts ?? [];
  const mistakes = mistakesOf(draft);
  const shown = isTried ? mistakes : {};

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(mistakes).length > 0) return;
    setBusy(true);
    setFailure(null);
    const settings = settingsOf(draft);
    if (key === null) {
      const made = await createKey(settings);
      setBusy(false);
      return made.ok ? onCreated(made.value) : setFailure(made.error);
    }
    const saved = await updateKey(key.id, settings);
    setBusy(false);
    if (!saved.ok) return setFailure(saved.error);
    say(t.saved(saved.value.name));
    onSaved(saved.value);
  };
  return (
    <Dialog title={key === null ? t.formCreate : t.formEdit(key.name)} onClose={onClose}>
      <form class="form-shell" noValidate onSubmit={(event) => void submit(event)}>
        <div class="body form">
          <TextField
            label={t.name}
            required
            maxLength={100}
            error={shown.name === undefined ? undefined : t[shown.name]}
            value={draft.name}
            onValue={(name) => setDraft({ ...draft, name })}
          />
          <div class="form-columns">
            <TextField
              label={t.description}
              isOptional
              value={draft.description}
              onValue={(description) => setDraft({ ...draft, description })}
            />
            <TextField
              label={t.tags}
              isOptional
              hint={t.tagsHint}
              value={draft.tags}
              onValue={(tags) => setDraft({ ...draft, tags })}
            />
          </div>
          <KeyFields
            draft={draft}
            mistakes={shown}
            accounts={accounts}
            onChange={(change) => setDraft((before) => ({ ...before, ...change }))}
          />
          {failure !== null && <FailureNotice failure={failure} />}
        </div>
        <footer>
          <Button onClick={onClose}>{commonWords().cancel}</Button>
          <Button type="submit" kind="primary" isBusy={isBusy}>
            {key === null ? t.createSubmit : commonWords().save}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
