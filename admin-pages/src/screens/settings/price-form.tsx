import { useId, useState } from "preact/hooks";
import type { Failure } from "../../api/client.ts";
import { type NewPrice, type Price, setPrice } from "../../api/prices.ts";
import { commonWords } from "../../i18n/common.ts";
import { failureWords } from "../../i18n/errors.ts";
import { settingsWords } from "../../i18n/settings.ts";
import { Button } from "../../ui/button.tsx";
import { confirm } from "../../ui/confirm.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { SwitchField, TextField } from "../../ui/fields.tsx";
import { FailureNotice } from "../../ui/states.tsx";
import { say } from "../../ui/toasts.tsx";
import {
  AMOUNTS,
  draftLike,
  emptyDraft,
  isAmount,
  isThreshold,
  type PriceDraft,
  priceIn,
} from "./price-draft.ts";

/** What the relay says of a price that is far from the built-in one, and wants to be asked for again. */
const OFF_SCALE = /set force/;

/** Sets the price of a model from a day on. */
export function PriceForm({
  listed,
  onClose,
  onSaved,
}: {
  listed: readonly Price[];
  onClose: () => void;
  onSaved: () => void;
}) {
  const t = settingsWords();
  const common = commonWords();
  const modelsId = useId();
  const [draft, setDraft] = useState(emptyDraft);
  const [isChecked, setChecked] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const change = (part: Partial<PriceDraft>) => setDraft({ ...draft, ...part });
  const known = listed.findLast(({ model }) => model === draft.model.trim());

  const save = async (price: NewPrice) => {
    setBusy(true);
    setFailure(null);
    const saved = await setPrice(price);
    setBusy(false);
    if (saved.ok) {
      say(t.priceSaved(saved.value.model));
      onSaved();
      return;
    }
    const { code, message } = saved.error;
    if (code !== "bad_request" || price.force || !OFF_SCALE.test(message)) {
      setFailure(saved.error);
      return;
    }
    const { summary, detail } = failureWords(saved.error);
    const isMeant = await confirm({
      title: t.forceTitle,
      consequences: [detail || summary, t.forceHappens],
      action: t.forceAction,
    });
    if (isMeant) await save({ ...price, force: true });
  };
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    setChecked(true);
    const price = priceIn(draft);
    if (price !== null) void save(price);
  };
  return (
    <Dialog title={t.addPrice} onClose={onClose}>
      <form onSubmit={submit} noValidate>
        <div class="body form">
          <div class="form-columns">
            <TextField
              label={t.model}
              hint={t.modelHint}
              list={modelsId}
              spellcheck={false}
              autocapitalize="none"
              value={draft.model}
              onValue={(model) => change({ model })}
              error={isChecked && draft.model.trim() === "" ? t.needsModel : undefined}
            />
            <TextField
              label={t.day}
              hint={t.dayHint}
              // A day as every browser shows it, without its calendar's own order of day and month.
              placeholder="2027-01-31"
              value={draft.effectiveFrom}
              onValue={(effectiveFrom) => change({ effectiveFrom })}
            />
          </div>
          <datalist id={modelsId}>
            {[...new Set(listed.map(({ model }) => model))].map((model) => (
              <option key={model} value={model} />
            ))}
          </datalist>
          <div class="row spread">
            <p class="muted small">{t.perMillion}</p>
            {known !== undefined && (
              <Button onClick={() => setDraft(draftLike(draft, known))}>{t.takeBuiltIn}</Button>
            )}
          </div>
          <AmountFields
            texts={draft.amounts}
            isChecked={isChecked}
            onTexts={(amounts) => change({ amounts })}
          />
          <SwitchField
            label={t.withLongPrompt}
            hint={t.longPromptHint}
            isOn={draft.hasLongPrompt}
            onToggle={(hasLongPrompt) => change({ hasLongPrompt })}
          />
          {draft.hasLongPrompt && (
            <>
              <TextField
                label={t.threshold}
                inputMode="numeric"
                value={draft.thresholdTokens}
                onValue={(thresholdTokens) => change({ thresholdTokens })}
                error={isChecked && !isThreshold(draft.thresholdTokens) ? t.needsNumber : undefined}
              />
              <AmountFields
                texts={draft.longPrompt}
                isChecked={isChecked}
                onTexts={(longPrompt) => change({ longPrompt })}
              />
            </>
          )}
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

function AmountFields({
  texts,
  isChecked,
  onTexts,
}: {
  texts: PriceDraft["amounts"];
  isChecked: boolean;
  onTexts: (texts: PriceDraft["amounts"]) => void;
}) {
  const t = settingsWords();
  return (
    <div class="form-columns">
      {AMOUNTS.map((name) => (
        <TextField
          key={name}
          label={t[name]}
          unit="USD"
          inputMode="decimal"
          value={texts[name]}
          onValue={(text) => onTexts({ ...texts, [name]: text })}
          error={isChecked && !isAmount(texts[name]) ? t.needsNumber : undefined}
        />
      ))}
    </div>
  );
}
