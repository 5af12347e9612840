import { useState } from "preact/hooks";
import { type Account, updateAccount } from "../../api/accounts.ts";
import type { Failure } from "../../api/client.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { commonWords } from "../../i18n/common.ts";
import { keysWords } from "../../i18n/keys.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { FailureNotice } from "../../ui/states.tsx";
import { say } from "../../ui/toasts.tsx";
import { accountSettingsOf, settingsDraftOf, settingsMistakes } from "./settings-draft.ts";
import { NameFields, WorkFields } from "./settings-fields.tsx";

/** Changes what may be set of an account. */
export function SettingsForm({
  of: account,
  onClose,
  onSaved,
}: {
  of: Account;
  onClose: () => void;
  onSaved: () => void;
}) {
  const [draft, setDraft] = useState(() => settingsDraftOf(account));
  const [isTried, setTried] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const mistakes = settingsMistakes(draft);
  const shown = isTried ? mistakes : {};
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(mistakes).length > 0) return;
    setBusy(true);
    const saved = await updateAccount(account.id, accountSettingsOf(draft));
    setBusy(false);
    if (!saved.ok) return setFailure(saved.error);
    say(accountsWords().saved(saved.value.name));
    onSaved();
  };
  return (
    <Dialog title={keysWords().formEdit(account.name)} onClose={onClose}>
      <form noValidate onSubmit={(event) => void submit(event)}>
        <div class="body form">
          <NameFields draft={draft} mistakes={shown} onChange={setDraft} />
          <WorkFields draft={draft} mistakes={shown} onChange={setDraft} />
          {failure !== null && <FailureNotice failure={failure} />}
        </div>
        <footer>
          <Button onClick={onClose}>{commonWords().cancel}</Button>
          <Button type="submit" kind="primary" isBusy={isBusy}>
            {commonWords().save}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
