import type { Answer } from "../../api/client.ts";
import {
  deleteKey,
  deleteKeyForGood,
  type RelayKey,
  restoreKey,
  revokeKey,
  updateKey,
} from "../../api/keys.ts";
import { keysWords } from "../../i18n/keys.ts";
import { confirm } from "../../ui/confirm.tsx";
import type { MenuItem } from "../../ui/menu.tsx";
import { say, sayFailed } from "../../ui/toasts.tsx";
import { keyIsGone, keysChanged } from "./all-keys.ts";

interface Acts {
  onEdit: (key: RelayKey) => void;
  onRotate: (key: RelayKey) => void;
  /** After an act has changed it; null: it is gone. */
  onChanged?: (key: RelayKey | null) => void;
}

/** What can be done with a key in its state. */
export function keyActs(key: RelayKey, { onEdit, onRotate, onChanged }: Acts): MenuItem[] {
  const t = keysWords();
  const act = async (work: Promise<Answer<RelayKey>>, said: string) => {
    const done = await work;
    if (!done.ok) return sayFailed(done.error);
    keysChanged(done.value);
    onChanged?.(done.value);
    say(said);
  };
  const sure = (title: string, consequences: string[], action: string) =>
    confirm({ title, consequences, action });
  const { id, name, status, enabled } = key;

  const disable = async () => {
    const isSure = await sure(t.askDisable(name), [t.disableHappens, t.disableUndo], t.disable);
    if (isSure) await act(updateKey(id, { enabled: false }), t.disabled(name));
  };
  const revoke = async () => {
    const isSure = await sure(t.askRevoke(name), [t.revokeHappens, t.revokeUndo], verb(t.revoke));
    if (isSure) await act(revokeKey(id), t.revoked(name));
  };
  const remove = async () => {
    const isSure = await sure(t.askDelete(name), [t.deleteHappens, t.deleteUndo], verb(t.remove));
    if (isSure) await act(deleteKey(id), t.deleted(name));
  };
  const removeForGood = async () => {
    const consequences = [t.forGoodHappens, t.forGoodUndo];
    if (!(await sure(t.askForGood(name), consequences, verb(t.removeForGood)))) return;
    const gone = await deleteKeyForGood(id);
    if (!gone.ok) return sayFailed(gone.error);
    keyIsGone(id);
    onChanged?.(null);
    say(t.goneForGood(name));
  };

  const forGood = { label: t.removeForGood, onSelect: () => void removeForGood(), isDanger: true };
  if (status === "deleted") {
    const restore = () => void act(restoreKey(id), t.restored(name));
    return [{ label: t.restore, onSelect: restore }, forGood];
  }
  const removal = { label: t.remove, onSelect: () => void remove(), isDanger: true };
  if (status === "revoked") {
    return [{ label: t.edit, onSelect: () => onEdit(key) }, removal];
  }
  const enable = () => void act(updateKey(id, { enabled: true }), t.enabled(name));
  return [
    { label: t.edit, onSelect: () => onEdit(key) },
    { label: t.rotate, onSelect: () => onRotate(key) },
    enabled
      ? { label: t.disable, onSelect: () => void disable() }
      : { label: t.enable, onSelect: enable },
    { label: t.revoke, onSelect: () => void revoke(), isDanger: true },
    removal,
  ];
}

/** A menu's label ends in an ellipsis where a question follows; the answer to it does not. */
function verb(label: string): string {
  return label.replace(/\s*…$/, "");
}
