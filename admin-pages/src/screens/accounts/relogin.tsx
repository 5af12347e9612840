import { useState } from "preact/hooks";
import { type Account, updateAccount } from "../../api/accounts.ts";
import type { Failure } from "../../api/client.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { commonWords } from "../../i18n/common.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { Choice } from "../../ui/fields.tsx";
import { FailureNotice, Notice } from "../../ui/states.tsx";
import { say } from "../../ui/toasts.tsx";
import { credentialFrom, type SecretWay } from "./credential.ts";
import { OAuthSteps } from "./oauth-steps.tsx";
import { SecretField } from "./secret-field.tsx";

interface Props {
  of: Account;
  onClose: () => void;
  onDone: () => void;
}

/** A new login, key or token for an account that exists: whatever proves it. */
export function Relogin({ of: account, onClose, onDone }: Props) {
  const t = accountsWords();
  if (account.kind !== "oauth") return <NewCredential {...{ of: account, onClose, onDone }} />;
  return (
    <Dialog title={t.reloginTitle(account.name)} onClose={onClose}>
      <div class="body">
        <OAuthSteps
          accountId={account.id}
          onFinished={() => {
            say(t.renewedDone(account.name));
            onDone();
          }}
        />
      </div>
    </Dialog>
  );
}

const WAYS = ["apiKey", "setupToken", "pasted"] as const;

function NewCredential({ of: account, onClose, onDone }: Props) {
  const t = accountsWords();
  const [way, setWay] = useState<SecretWay>(
    account.kind === "setup_token" ? "setupToken" : "apiKey",
  );
  const [secret, setSecret] = useState("");
  const [isTried, setTried] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setTried(true);
    const credential = credentialFrom(way, secret);
    if (credential === null) return;
    setBusy(true);
    const saved = await updateAccount(account.id, credential);
    setBusy(false);
    if (!saved.ok) return setFailure(saved.error);
    say(t.saved(account.name));
    onDone();
  };
  return (
    <Dialog title={t.tokenTitle(account.name)} onClose={onClose}>
      <form noValidate onSubmit={(event) => void submit(event)}>
        <div class="body form">
          <Notice>{t.replaceHappens}</Notice>
          <Choice
            label={t.how}
            value={way}
            options={WAYS.map((value) => ({ value, label: t.ways[value] }))}
            onValue={setWay}
          />
          <SecretField way={way} value={secret} isTried={isTried} onValue={setSecret} />
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
