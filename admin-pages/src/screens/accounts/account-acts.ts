import {
  type Account,
  deleteAccount,
  refreshAccount,
  resetAccount,
  updateAccount,
} from "../../api/accounts.ts";
import type { Answer } from "../../api/client.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { confirm } from "../../ui/confirm.tsx";
import type { MenuItem } from "../../ui/menu.tsx";
import { say, sayFailed } from "../../ui/toasts.tsx";

interface Acts {
  onEdit: () => void;
  onLogin: () => void;
  /** Null: it is gone. */
  onChanged: (account: Account | null) => void;
}

/** What can be done with an account. */
export function accountActs(account: Account, { onEdit, onLogin, onChanged }: Acts): MenuItem[] {
  const t = accountsWords();
  const { id, name, enabled, kind } = account;
  const act = async (work: Promise<Answer<Account>>, said: string) => {
    const done = await work;
    if (!done.ok) return sayFailed(done.error);
    onChanged(done.value);
    say(said);
  };
  const disable = async () => {
    const consequences = [t.disableHappens, t.disableUndo];
    const isSure = await confirm({ title: t.askDisable(name), consequences, action: t.disable });
    if (isSure) await act(updateAccount(id, { enabled: false }), t.disabled(name));
  };
  const reset = async () => {
    const isSure = await confirm({
      title: t.askReset(name),
      consequences: [t.resetHappens, t.resetUndo],
      action: t.reset.replace(/\s*…$/, ""),
      isDestructive: false,
    });
    if (isSure) await act(resetAccount(id), t.wasReset(name));
  };
  const remove = async () => {
    const isSure = await confirm({
      title: t.askRemove(name),
      consequences: [t.removeHappens, t.removeUndo],
      action: t.remove.replace(/\s*…$/, ""),
    });
    if (!isSure) return;
    const gone = await deleteAccount(id);
    if (!gone.ok) return sayFailed(gone.error);
    onChanged(null);
    say(t.removed(name));
  };
  const enable = () => void act(updateAccount(id, { enabled: true }), t.enabled(name));
  const refresh = () => void act(refreshAccount(id), t.refreshed(name));
  return [
    { label: t.edit, onSelect: onEdit },
    { label: kind === "oauth" ? t.relogin : t.replaceCredential, onSelect: onLogin },
    ...(kind === "oauth" ? [{ label: t.refresh, onSelect: refresh }] : []),
    { label: t.reset, onSelect: () => void reset() },
    enabled
      ? { label: t.disable, onSelect: () => void disable() }
      : { label: t.enable, onSelect: enable },
    { label: t.remove, onSelect: () => void remove(), isDanger: true },
  ];
}
