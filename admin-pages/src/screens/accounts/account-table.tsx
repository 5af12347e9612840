import type { ComponentChildren } from "preact";
import type { Account } from "../../api/accounts.ts";
import type { Failure } from "../../api/client.ts";
import { count } from "../../format/numbers.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { commonWords } from "../../i18n/common.ts";
import { BASE } from "../../screens.ts";
import { Tags } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { DataTable } from "../../ui/data-table.tsx";
import { Menu } from "../../ui/menu.tsx";
import { accountActs } from "./account-acts.ts";
import { AccountBadge, AccountReasons, needsCredential } from "./account-state.tsx";
import { AccountWindows } from "./account-windows.tsx";

/** More do not fit into a line; the account's own screen has all. */
const WINDOWS_SHOWN = 3;

/** Those that need a person first, then in the order in which they are used. */
export function AccountTable({
  accounts,
  failure,
  onRetry,
  onEdit,
  onLogin,
  onChanged,
  empty,
}: {
  accounts: readonly Account[] | null;
  failure: Failure | null;
  onRetry: () => void;
  onEdit: (account: Account) => void;
  onLogin: (account: Account) => void;
  onChanged: (account: Account | null) => void;
  empty: ComponentChildren;
}) {
  const t = accountsWords();
  const rows =
    accounts === null
      ? null
      : [...accounts].sort(
          (a, b) =>
            Number(needsCredential(b)) - Number(needsCredential(a)) ||
            a.priority - b.priority ||
            a.name.localeCompare(b.name),
        );
  return (
    <DataTable
      caption={t.title}
      rows={rows}
      keyOf={({ id }) => id}
      failure={failure}
      onRetry={onRetry}
      empty={empty}
      columns={[
        {
          id: "name",
          head: t.name,
          isMain: true,
          cell: (account) => (
            <>
              <a href={`${BASE}/accounts/${account.id}`}>{account.name}</a>{" "}
              <Tags tags={account.tags} />
              <span class="cell-note">
                {[t.kinds[account.kind], account.profile?.email].filter(Boolean).join(" · ")}
              </span>
            </>
          ),
        },
        {
          id: "state",
          head: t.state,
          isBlock: true,
          cell: (account) => (
            <div class="state">
              <AccountBadge status={account.status} />
              {needsCredential(account) && (
                <Button isSmall onClick={() => onLogin(account)}>
                  {account.kind === "oauth" ? t.relogin : t.replaceCredential}
                </Button>
              )}
              <AccountReasons account={account} />
            </div>
          ),
        },
        {
          id: "windows",
          head: t.windows,
          isBlock: true,
          cell: (account) => <AccountWindows account={account} most={WINDOWS_SHOWN} />,
        },
        {
          id: "priority",
          head: t.priority,
          isNumber: true,
          isExtra: true,
          cell: ({ priority }) => count(priority),
        },
        {
          id: "weight",
          head: t.weight,
          isNumber: true,
          isExtra: true,
          cell: ({ weight }) => count(weight),
        },
        {
          id: "actions",
          head: t.actions,
          isHeadHidden: true,
          isCorner: true,
          cell: (account) => (
            <Menu
              label={commonWords().actionsFor(account.name)}
              items={accountActs(account, {
                onEdit: () => onEdit(account),
                onLogin: () => onLogin(account),
                onChanged,
              })}
            />
          ),
        },
      ]}
    />
  );
}
