import { useState } from "preact/hooks";
import { type AccountWithProxy, updateAccount } from "../../api/accounts.ts";
import type { Failure } from "../../api/client.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { commonWords } from "../../i18n/common.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { Card } from "../../ui/page.tsx";
import { FailureNotice } from "../../ui/states.tsx";
import { say } from "../../ui/toasts.tsx";
import { isProxyGood, proxyDraftOf, proxyOf } from "./proxy-draft.ts";
import { ProxyFields } from "./proxy-fields.tsx";

/** An account's proxy, and a way to change it. */
export function ProxyOfAccount({
  account,
  onSaved,
}: {
  account: AccountWithProxy;
  onSaved: () => void;
}) {
  const t = accountsWords();
  const [isOpen, setOpen] = useState(false);
  const { proxy } = account;
  return (
    <Card title={t.proxy} actions={<Button onClick={() => setOpen(true)}>{t.changeProxy}</Button>}>
      {proxy === null ? (
        <p class="muted">{t.proxyNone}</p>
      ) : (
        <dl class="facts">
          <dt>{t.proxyType}</dt>
          <dd>{proxy.type.toUpperCase()}</dd>
          <dt>{t.host}</dt>
          <dd class="mono">
            {proxy.host}:{proxy.port}
          </dd>
          {proxy.username !== undefined && (
            <>
              <dt>{t.proxyUser}</dt>
              <dd>{proxy.username}</dd>
            </>
          )}
          <dt>{t.via}</dt>
          <dd>{proxy.via ?? t.anyForwardProxy}</dd>
        </dl>
      )}
      {isOpen && (
        <ProxyForm
          of={account}
          onClose={() => setOpen(false)}
          onSaved={() => {
            setOpen(false);
            onSaved();
          }}
        />
      )}
    </Card>
  );
}

function ProxyForm({
  of: account,
  onClose,
  onSaved,
}: {
  of: AccountWithProxy;
  onClose: () => void;
  onSaved: () => void;
}) {
  const t = accountsWords();
  const [draft, setDraft] = useState(() => proxyDraftOf(account.proxy));
  const [isTried, setTried] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setTried(true);
    if (!isProxyGood(draft)) return;
    setBusy(true);
    const saved = await updateAccount(account.id, { proxy: proxyOf(draft) });
    setBusy(false);
    if (!saved.ok) return setFailure(saved.error);
    say(t.saved(account.name));
    onSaved();
  };
  return (
    <Dialog title={`${t.proxy} · ${account.name}`} onClose={onClose}>
      <form noValidate onSubmit={(event) => void submit(event)}>
        <div class="body form">
          <ProxyFields draft={draft} isTried={isTried} onChange={setDraft} />
          {failure !== null && <FailureNotice failure={failure} />}
        </div>
        <footer>
          <Button onClick={onClose}>{commonWords().cancel}</Button>
          <Button type="submit" kind="primary" isBusy={isBusy}>
            {t.saveProxy}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
