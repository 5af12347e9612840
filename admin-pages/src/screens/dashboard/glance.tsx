import type { Account } from "../../api/accounts.ts";
import { dashboardWords } from "../../i18n/dashboard.ts";
import { locale } from "../../i18n/language.ts";
import { BASE } from "../../screens.ts";
import { Card } from "../../ui/page.tsx";
import { FailureNotice, Loading } from "../../ui/states.tsx";
import type { Resource } from "../../ui/use-resource.ts";
import { AccountBadge } from "../accounts/account-state.tsx";
import { AccountWindows } from "../accounts/account-windows.tsx";

/** The windows of a subscription; an API key has more, which are empty most of the time. */
const WINDOWS_MAX = 3;

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

function AtAGlance({ account }: { account: Account }) {
  const { id, name, status } = account;
  return (
    <li>
      <div class="row spread">
        <a class="plain-link" href={`${BASE}/accounts/${id}`}>
          {name}
        </a>
        <AccountBadge status={status} />
      </div>
      <AccountWindows account={account} most={WINDOWS_MAX} />
    </li>
  );
}
