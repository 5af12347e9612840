import { useState } from "preact/hooks";
import type { Failure } from "../../api/client.ts";
import { createKey, type NewKey } from "../../api/keys.ts";
import { count } from "../../format/numbers.ts";
import { keysWords } from "../../i18n/keys.ts";
import { startWords } from "../../i18n/start.ts";
import { Button } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy-button.tsx";
import { TextField } from "../../ui/fields.tsx";
import { FailureNotice } from "../../ui/states.tsx";

/** The second step: a key for a client. Its plain text stays in the page's memory. */
export function KeyStep({
  made,
  keyCount,
  onMade,
}: {
  made: NewKey | null;
  keyCount: number;
  onMade: (key: NewKey) => void;
}) {
  const t = startWords();
  return (
    <li class={made !== null || keyCount > 0 ? "done" : undefined}>
      <h2>{t.stepKey}</h2>
      {made === null ? (
        <>
          <p class="muted">{keyCount > 0 ? t.keysThere(count(keyCount)) : t.stepKeyText}</p>
          <KeyName onMade={onMade} />
        </>
      ) : (
        <>
          <p>{t.keyReady(made.name)}</p>
          <div class="copyable">
            <pre>{made.apiKey}</pre>
            <CopyButton text={made.apiKey} what={made.name} />
          </div>
        </>
      )}
    </li>
  );
}

function KeyName({ onMade }: { onMade: (key: NewKey) => void }) {
  const t = startWords();
  const [name, setName] = useState("");
  const [isTried, setTried] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const isEmpty = name.trim() === "";
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setTried(true);
    if (isEmpty) return;
    setBusy(true);
    const key = await createKey({ name: name.trim() });
    setBusy(false);
    if (key.ok) onMade(key.value);
    else setFailure(key.error);
  };
  return (
    <form class="stack narrow" noValidate onSubmit={(event) => void submit(event)}>
      <TextField
        label={t.keyName}
        placeholder={t.keyPlaceholder}
        maxLength={100}
        error={isTried && isEmpty ? keysWords().needName : undefined}
        value={name}
        onValue={setName}
      />
      {failure !== null && <FailureNotice failure={failure} />}
      <div>
        <Button type="submit" kind="primary" isBusy={isBusy}>
          {t.makeKey}
        </Button>
      </div>
    </form>
  );
}
