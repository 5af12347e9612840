import { useMemo, useState } from "preact/hooks";
import { useLocation, useRoute } from "preact-iso";
import { type AccountWithProxy, readAccount } from "../../api/accounts.ts";
import { count } from "../../format/numbers.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { commonWords } from "../../i18n/common.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { BASE } from "../../screens.ts";
import { Tags } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Menu } from "../../ui/menu.tsx";
import { Card, Page } from "../../ui/page.tsx";
import { FailureNotice, Loading, Notice } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { UsageChart } from "../../ui/usage-chart.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { accountActs } from "./account-acts.ts";
import { ProxyOfAccount } from "./account-proxy.tsx";
import { AccountBadge, AccountReasons, needsCredential } from "./account-state.tsx";
import { TestOfAccount } from "./account-test.tsx";
import { AccountWindows } from "./account-windows.tsx";
import { Relogin } from "./relogin.tsx";
import { SettingsForm } from "./settings-form.tsx";

const REFRESH_MS = 15_000;

/** One account: how it stands, what it has left, its way out, and what it has served. */
export default function OneAccount() {
  const t = accountsWords();
  const id = useRoute().params.id ?? "";
  const { route } = useLocation();
  const { value, failure, reload } = useResource((s) => readAccount(id, s), [id], REFRESH_MS);
  const [open, setOpen] = useState<"settings" | "login" | null>(null);
  const filter = useMemo(() => ({ accountId: id }), [id]);
  const back = { href: `${BASE}/accounts`, label: t.backToAccounts };
  if (value === null) {
    return (
      <Page title={t.account} back={back}>
        {failure === null ? (
          <Loading lines={8} />
        ) : (
          <FailureNotice failure={failure} onRetry={() => void reload()} />
        )}
      </Page>
    );
  }
  const done = () => {
    setOpen(null);
    void reload();
  };
  const login = value.kind === "oauth" ? t.relogin : t.replaceCredential;
  return (
    <Page
      title={value.name}
      back={back}
      lead={
        <div class="row">
          <AccountBadge status={value.status} />
          <span>{t.kinds[value.kind]}</span>
          <Tags tags={value.tags} />
        </div>
      }
      actions={
        <>
          <Button onClick={() => setOpen("settings")}>{t.edit}</Button>
          <Menu
            label={commonWords().actionsFor(value.name)}
            items={accountActs(value, {
              onEdit: () => setOpen("settings"),
              onLogin: () => setOpen("login"),
              onChanged: (changed) => (changed === null ? route(back.href) : void reload()),
            })}
          />
        </>
      }
    >
      {needsCredential(value) && (
        <Notice tone="bad">
          <AccountReasons account={value} />
          <Button onClick={() => setOpen("login")}>{login}</Button>
        </Notice>
      )}
      <div class="grid">
        <Card title={t.windows}>
          <AccountWindows account={value} />
        </Card>
        <Card title={t.coolDowns}>
          {value.coolDowns.length === 0 && value.trouble === null ? (
            <p class="muted">{t.coolDownsNone}</p>
          ) : (
            <AccountReasons account={value} />
          )}
        </Card>
        <Facts account={value} />
      </div>
      <UsageChart filter={filter} />
      <div class="grid">
        <TestOfAccount account={value} onTested={() => void reload()} />
        <ProxyOfAccount account={value} onSaved={() => void reload()} />
      </div>
      {open === "settings" && (
        <SettingsForm of={value} onClose={() => setOpen(null)} onSaved={done} />
      )}
      {open === "login" && <Relogin of={value} onClose={() => setOpen(null)} onDone={done} />}
    </Page>
  );
}

function Facts({ account }: { account: AccountWithProxy }) {
  const t = accountsWords();
  const { profile, createdAt, credentialExpiresAt, locationHint } = account;
  const facts: [string, string | null][] = [
    [t.description, account.description || null],
    [t.priority, count(account.priority)],
    [t.weight, count(account.weight)],
    [
      t.maxConcurrency,
      account.maxConcurrency === null ? commonWords().unlimited : count(account.maxConcurrency),
    ],
    [t.profileEmail, profile?.email ?? null],
    [t.organisation, profile?.organisation ?? null],
    [t.region, locationHint === null ? null : wordFor(t.regions, locationHint)],
  ];
  return (
    <Card title={t.facts}>
      <dl class="facts">
        {facts.map(([name, text]) =>
          text === null ? null : (
            <>
              <dt key={`${name}-name`}>{name}</dt>
              <dd key={name}>{text}</dd>
            </>
          ),
        )}
        <dt>{t.added}</dt>
        <dd>
          <Time at={createdAt} />
        </dd>
        {account.expiresAt !== null && (
          <>
            <dt>{t.expiresAt}</dt>
            <dd>
              <Time at={account.expiresAt} />
            </dd>
          </>
        )}
        {credentialExpiresAt !== null && (
          <>
            <dt>{t.tokenEnds}</dt>
            <dd>
              <Time at={credentialExpiresAt} how="relative" />
            </dd>
          </>
        )}
        <dt>{t.id}</dt>
        <dd class="mono">{account.id}</dd>
      </dl>
    </Card>
  );
}
