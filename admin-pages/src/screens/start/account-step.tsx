import { useState } from "preact/hooks";
import type { Account } from "../../api/accounts.ts";
import { startWords } from "../../i18n/start.ts";
import { Button } from "../../ui/button.tsx";
import { AddAccount } from "../accounts/add-account.tsx";

/** The first step: an account that can serve. */
export function AccountStep({
  accounts,
  onAdded,
}: {
  accounts: readonly Account[];
  onAdded: () => void;
}) {
  const t = startWords();
  const [isAdding, setAdding] = useState(false);
  const isDone = accounts.length > 0;
  return (
    <li class={isDone ? "done" : undefined}>
      <h2>{t.stepAccount}</h2>
      {isDone ? (
        <div class="row">
          <span>{t.accountReady(accounts.map(({ name }) => name).join(", "))}</span>
          {!isAdding && (
            <Button kind="quiet" onClick={() => setAdding(true)}>
              {t.addAnother}
            </Button>
          )}
        </div>
      ) : (
        <p class="muted">{t.stepAccountText}</p>
      )}
      {(!isDone || isAdding) && (
        <AddAccount
          onAdded={() => {
            setAdding(false);
            onAdded();
          }}
        />
      )}
    </li>
  );
}
