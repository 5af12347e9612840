import { useState } from "preact/hooks";
import { listAccounts } from "../../api/accounts.ts";
import type { Failure } from "../../api/client.ts";
import { createKeys, type NewKey } from "../../api/keys.ts";
import { count } from "../../format/numbers.ts";
import { commonWords } from "../../i18n/common.ts";
import { keysWords } from "../../i18n/keys.ts";
import { Button } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { TextField } from "../../ui/fields.tsx";
import { FailureNotice } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { draftOf, mistakesOf, settingsOf } from "./key-draft.ts";
import { KeyFields } from "./key-fields.tsx";

/** What the relay makes in one call, and at the most of one kind. */
const CALL_MAX = 50;
const MOST = 5_000;

/** Many keys with numbered names and the same settings. */
export function BatchForm({
  onClose,
  onCreated,
}: {
  onClose: () => void;
  onCreated: (keys: NewKey[], missing: string[]) => void;
}) {
  const t = keysWords();
  const [draft, setDraft] = useState(() => draftOf(null));
  const [howMany, setHowMany] = useState("10");
  const [from, setFrom] = useState("1");
  const [isTried, setTried] = useState(false);
  const [made, setMade] = useState<number | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const accounts = useResource(listAccounts, []).value?.accounts ?? [];
  const { name: nameMistake, ...others } = mistakesOf(draft);
  const isCount = (text: string, most: number) => /^[1-9]\d*$/.test(text) && Number(text) <= most;
  const isGood =
    nameMistake === undefined &&
    Object.keys(others).length === 0 &&
    isCount(howMany, MOST) &&
    isCount(from, 99_999);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setTried(true);
    if (!isGood) return;
    setFailure(null);
    const { name: _, ...settings } = settingsOf(draft);
    const [all, first] = [Number(howMany), Number(from)];
    const digits = String(first + all - 1).length;
    const keys: NewKey[] = [];
    const missing: string[] = [];
    for (let done = 0; done < all; done += CALL_MAX) {
      setMade(done);
      const part = await createKeys({
        ...settings,
        namePrefix: draft.name,
        count: Math.min(CALL_MAX, all - done),
        from: first + done,
        digits,
      });
      if (!part.ok) {
        setMade(null);
        // Those that were made are not lost with the rest.
        if (keys.length > 0) onCreated(keys, [`${draft.name}${first + done} …`]);
        return setFailure(part.error);
      }
      keys.push(...part.value.keys);
      missing.push(...part.value.missing);
    }
    onCreated(keys, missing);
  };
  return (
    <Dialog title={t.formMany} mayClose={made === null} onClose={onClose}>
      <form class="form-shell" noValidate onSubmit={(event) => void submit(event)}>
        <div class="body form">
          <div class="form-columns">
            <TextField
              label={t.prefix}
              required
              hint={t.prefixHint}
              error={isTried && nameMistake !== undefined ? t[nameMistake] : undefined}
              value={draft.name}
              onValue={(name) => setDraft({ ...draft, name })}
            />
            <TextField
              label={t.howMany}
              inputMode="numeric"
              hint={t.manyHint}
              error={isTried && !isCount(howMany, MOST) ? t.badWhole : undefined}
              value={howMany}
              onValue={setHowMany}
            />
            <TextField
              label={t.from}
              inputMode="numeric"
              error={isTried && !isCount(from, 99_999) ? t.badWhole : undefined}
              value={from}
              onValue={setFrom}
            />
            <TextField
              label={t.tags}
              isOptional
              hint={t.tagsHint}
              value={draft.tags}
              onValue={(tags) => setDraft({ ...draft, tags })}
            />
          </div>
          <KeyFields
            draft={draft}
            mistakes={isTried ? others : {}}
            accounts={accounts}
            onChange={(change) => setDraft((before) => ({ ...before, ...change }))}
          />
          {failure !== null && <FailureNotice failure={failure} />}
          {made !== null && (
            <div class="stack" role="status">
              <progress value={made} max={Number(howMany)} aria-label={t.formMany} />
              <p class="muted">{t.making(count(made), count(Number(howMany)))}</p>
            </div>
          )}
        </div>
        <footer>
          <Button disabled={made !== null} onClick={onClose}>
            {commonWords().cancel}
          </Button>
          <Button type="submit" kind="primary" isBusy={made !== null}>
            {t.createManySubmit(howMany)}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
