import type { Account } from "../../api/accounts.ts";
import { percent } from "../../format/numbers.ts";
import { accountStanding } from "../../i18n/account-standing.ts";
import { commonWords } from "../../i18n/common.ts";
import { dashboardWords } from "../../i18n/dashboard.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { locale } from "../../i18n/language.ts";
import { BASE } from "../../screens.ts";
import { Badge, type Tone } from "../../ui/badge.tsx";
import { Meter } from "../../ui/meter.tsx";
import { Card } from "../../ui/page.tsx";
import { Empty, FailureNotice, Loading } from "../../ui/states.tsx";
import { Countdown } from "../../ui/time.tsx";
import type { Resource } from "../../ui/use-resource.ts";
import { windowName } from "./window-name.ts";

const TONES: Record<string, Tone> = {
  ready: "good",
  disabled: "plain",
  expired: "plain",
  cooling_down: "warn",
};

/** Of a subscription. An API key has windows of a minute besides, which are empty most of the time. */
const SPANS = /^\d+[hd]/;

/** Each account with how full its windows are, and when they begin anew. */
export function AccountsAtAGlance({
  accounts: { value, failure, reload },
}: {
  accounts: Resource<{ accounts: Account[] }>;
}) {
  const t = dashboardWords();
  return (
    <Card title={t.accounts} actions={<a href={`${BASE}/accounts`}>{t.allAccounts}</a>}>
      {failure !== null && <FailureNotice failure={failure} onRetry={() => void reload()} />}
      {value === null ? (
        failure === null && <Loading />
      ) : value.accounts.length === 0 ? (
        <Empty icon="accounts" title={t.accountsEmpty}>
          <a href={`${BASE}/start`}>{t.toStart}</a>
        </Empty>
      ) : (
        <ul class="glance">
          {value.accounts.toSorted(byName).map((account) => (
            <AtAGlance key={account.id} account={account} />
          ))}
        </ul>
      )}
    </Card>
  );
}

function byName(a: Account, b: Account): number {
  return a.name.localeCompare(b.name, locale.value);
}

function AtAGlance({ account: { id, name, status, windows } }: { account: Account }) {
  const t = dashboardWords();
  const told = Object.entries(windows).filter(([, { utilisation }]) => utilisation !== null);
  const inUse = told.filter(([window, { utilisation }]) => SPANS.test(window) || utilisation);
  return (
    <li>
      <div class="row spread">
        <a class="plain-link" href={`${BASE}/accounts/${id}`}>
          {name}
        </a>
        <Badge tone={TONES[status] ?? "bad"}>{wordFor(accountStanding().standings, status)}</Badge>
      </div>
      {inUse.length === 0 ? (
        <p class="muted small">{told.length === 0 ? t.noWindows : t.windowsFree}</p>
      ) : (
        inUse.map(([window, { utilisation, reset }]) => (
          <Meter
            key={window}
            label={windowName(window)}
            fraction={utilisation}
            value={percent(utilisation ?? 0)}
            {...(reset === null
              ? {}
              : { note: <Countdown until={reset} words={commonWords().resetsIn} /> })}
          />
        ))
      )}
    </li>
  );
}
