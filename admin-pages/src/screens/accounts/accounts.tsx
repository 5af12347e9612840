import { useState } from "preact/hooks";
import { type Account, listAccounts } from "../../api/accounts.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { BASE } from "../../screens.ts";
import { LinkButton } from "../../ui/button.tsx";
import { Page } from "../../ui/page.tsx";
import { Empty } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { AccountTable } from "./account-table.tsx";
import { Relogin } from "./relogin.tsx";
import { SettingsForm } from "./settings-form.tsx";

const REFRESH_MS = 15_000;

type Open = { kind: "settings" | "login"; account: Account };

/** All accounts, with what each has left, and what needs a person. */
export default function Accounts() {
  const t = accountsWords();
  const { value, failure, reload } = useResource(listAccounts, [], REFRESH_MS);
  const [open, setOpen] = useState<Open | null>(null);
  const done = () => {
    setOpen(null);
    void reload();
  };
  return (
    <Page
      title={t.title}
      actions={
        <LinkButton kind="primary" icon="plus" href={`${BASE}/accounts/new`}>
          {t.add}
        </LinkButton>
      }
    >
      <section class="card flush" aria-label={t.title}>
        <AccountTable
          accounts={value?.accounts ?? null}
          failure={failure}
          onRetry={() => void reload()}
          onEdit={(account) => setOpen({ kind: "settings", account })}
          onLogin={(account) => setOpen({ kind: "login", account })}
          onChanged={() => void reload()}
          empty={
            <Empty icon="accounts" title={t.emptyTitle}>
              <p>{t.emptyText}</p>
              <LinkButton kind="primary" href={`${BASE}/accounts/new`}>
                {t.addFirst}
              </LinkButton>
            </Empty>
          }
        />
      </section>
      {open?.kind === "settings" && (
        <SettingsForm of={open.account} onClose={() => setOpen(null)} onSaved={done} />
      )}
      {open?.kind === "login" && (
        <Relogin of={open.account} onClose={() => setOpen(null)} onDone={done} />
      )}
    </Page>
  );
}
