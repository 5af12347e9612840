import { useState } from "preact/hooks";
import type { Failure } from "../../api/client.ts";
import { type NewKey, type RelayKey, rotateKey } from "../../api/keys.ts";
import { commonWords } from "../../i18n/common.ts";
import { keysWords } from "../../i18n/keys.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { SelectField } from "../../ui/fields.tsx";
import { FailureNotice } from "../../ui/states.tsx";

/** A new secret for a key, and how long the old one goes on beside it. */
export function RotateKey({
  of: key,
  onClose,
  onRotated,
}: {
  of: RelayKey;
  onClose: () => void;
  onRotated: (key: NewKey) => void;
}) {
  const t = keysWords();
  const [grace, setGrace] = useState("24");
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const rotate = async () => {
    setBusy(true);
    const rotated = await rotateKey(key.id, Number(grace));
    setBusy(false);
    if (rotated.ok) onRotated(rotated.value);
    else setFailure(rotated.error);
  };
  return (
    <Dialog title={t.rotateTitle(key.name)} size="small" onClose={onClose}>
      <div class="body">
        <p>{t.rotateText}</p>
        <SelectField
          label={t.grace}
          value={grace}
          options={Object.entries(t.graceOptions).map(([value, label]) => ({ value, label }))}
          onValue={setGrace}
        />
        {failure !== null && <FailureNotice failure={failure} />}
      </div>
      <footer>
        <Button onClick={onClose}>{commonWords().cancel}</Button>
        <Button kind="primary" isBusy={isBusy} onClick={() => void rotate()}>
          {t.rotateSubmit}
        </Button>
      </footer>
    </Dialog>
  );
}
