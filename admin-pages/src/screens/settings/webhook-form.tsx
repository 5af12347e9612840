import { useState } from "preact/hooks";
import {
  type AlertSettings,
  createWebhook,
  type NewWebhook,
  updateWebhook,
  type Webhook,
} from "../../api/alerts.ts";
import type { Answer, Failure } from "../../api/client.ts";
import { alertsWords } from "../../i18n/alerts.ts";
import { commonWords } from "../../i18n/common.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { SelectField, SwitchField, TextField } from "../../ui/fields.tsx";
import { FailureNotice } from "../../ui/states.tsx";

/** Formats whose receivers check no signature. */
const UNSIGNED = ["slack", "discord"];
const ADDRESS = /^https?:\/\/\S+$/;

/** Adds or changes a webhook: where to, in which shape, and of what it is told. */
export function WebhookForm({
  settings: { kinds: allKinds, formats },
  webhook,
  onClose,
  onSaved,
}: {
  settings: AlertSettings;
  /** The one to change; null: a new one. */
  webhook: Webhook | null;
  onClose: () => void;
  /** @param secret where the relay has made one: it is shown this once */
  onSaved: (saved: { name: string; secret: string | null }) => void;
}) {
  const t = alertsWords();
  const common = commonWords();
  const [name, setName] = useState(webhook?.name ?? "");
  const [format, setFormat] = useState(webhook?.format ?? formats[0] ?? "json");
  const [address, setAddress] = useState("");
  const [secret, setSecret] = useState("");
  const [kinds, setKinds] = useState<readonly string[]>(webhook?.kinds ?? allKinds);
  const [isChecked, setChecked] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const isNamed = name.trim() !== "";
  const isAddress = ADDRESS.test(address.trim()) || (webhook !== null && address === "");

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setChecked(true);
    if (!isNamed || !isAddress || kinds.length === 0) return;
    setBusy(true);
    setFailure(null);
    const saved = await save(webhook, {
      ...{ name: name.trim(), format, address: address.trim(), kinds: [...kinds] },
      ...(secret === "" || UNSIGNED.includes(format) ? {} : { secret }),
    });
    setBusy(false);
    if (saved.ok) onSaved(saved.value);
    else setFailure(saved.error);
  };
  return (
    <Dialog title={webhook === null ? t.add : t.editTitle(webhook.name)} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)} noValidate>
        <div class="body form">
          <div class="form-columns">
            <TextField
              label={t.name}
              value={name}
              onValue={setName}
              error={isChecked && !isNamed ? t.needsName : undefined}
            />
            {webhook === null && (
              <SelectField
                label={t.format}
                value={format}
                options={formats.map((value) => ({ value, label: wordFor(t.formats, value) }))}
                onValue={setFormat}
              />
            )}
          </div>
          <TextField
            label={t.address}
            hint={webhook === null ? t.addressHint : t.keptHint(webhook.host)}
            isOptional={webhook !== null}
            // It holds a secret: whoever knows it may write to the channel.
            type="password"
            autocomplete="off"
            value={address}
            onValue={setAddress}
            error={isChecked && !isAddress ? t.needsAddress : undefined}
          />
          {!UNSIGNED.includes(format) && (
            <TextField
              label={t.secret}
              hint={webhook === null ? t.secretHint : t.keptSecretHint}
              isOptional
              type="password"
              autocomplete="off"
              value={secret}
              onValue={setSecret}
            />
          )}
          <fieldset class="choice stack">
            <legend>{t.kind}</legend>
            {allKinds.map((kind) => (
              <SwitchField
                key={kind}
                label={wordFor(t.kinds, kind)}
                isOn={kinds.includes(kind)}
                onToggle={(isOn) =>
                  setKinds(isOn ? [...kinds, kind] : kinds.filter((other) => other !== kind))
                }
              />
            ))}
            {isChecked && kinds.length === 0 && <p class="error">{t.needsKind}</p>}
          </fieldset>
          {failure !== null && <FailureNotice failure={failure} />}
        </div>
        <footer>
          <Button onClick={onClose}>{common.cancel}</Button>
          <Button type="submit" kind="primary" isBusy={isBusy}>
            {isBusy ? common.saving : common.save}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

/** What a person left empty of a webhook that is there stays as it is. */
async function save(
  webhook: Webhook | null,
  { format, address, ...settings }: NewWebhook,
): Promise<Answer<{ name: string; secret: string | null }>> {
  if (webhook === null) return createWebhook({ format, address, ...settings });
  const patch = { ...settings, ...(address === "" ? {} : { address }) };
  const saved = await updateWebhook(webhook.id, patch);
  return saved.ok ? { ok: true, value: { name: saved.value.name, secret: null } } : saved;
}
