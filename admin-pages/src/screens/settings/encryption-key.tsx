import { useState } from "preact/hooks";
import {
  type EncryptionKeys,
  type Resealed,
  readEncryptionKeys,
  reseal,
} from "../../api/encryption-key.ts";
import { count } from "../../format/numbers.ts";
import { settingsWords } from "../../i18n/settings.ts";
import { Button } from "../../ui/button.tsx";
import { Card } from "../../ui/page.tsx";
import { FailureNotice, Loading, Notice } from "../../ui/states.tsx";
import { say, sayFailed } from "../../ui/toasts.tsx";
import { useResource } from "../../ui/use-resource.ts";

/** Which encryption keys are in use, and the way of all accounts to the present one. */
export function EncryptionKey() {
  const t = settingsWords();
  const { value, failure, reload } = useResource(readEncryptionKeys, []);
  return (
    <Card title={t.encryption}>
      {value !== null ? (
        <Keys keys={value} onChanged={reload} />
      ) : failure === null ? (
        <Loading lines={3} />
      ) : (
        <FailureNotice failure={failure} onRetry={() => void reload()} />
      )}
    </Card>
  );
}

function Keys({
  keys: { current, previous, accounts },
  onChanged,
}: {
  keys: EncryptionKeys;
  onChanged: () => Promise<void>;
}) {
  const t = settingsWords();
  const [doneSoFar, setDoneSoFar] = useState<number | null>(null);
  const [failed, setFailed] = useState<Resealed["failed"]>([]);
  const { total, sealedUnder } = accounts;
  const sealed = sealedUnder[current] ?? 0;

  const sealAll = async () => {
    setDoneSoFar(0);
    const failures: Resealed["failed"] = [];
    let resealed = 0;
    let done = 0;
    let cursor: string | null = null;
    do {
      const page = await reseal(cursor);
      if (!page.ok) {
        sayFailed(page.error);
        break;
      }
      failures.push(...page.value.failed);
      resealed += page.value.resealed;
      done += page.value.sealed;
      setDoneSoFar(done);
      cursor = page.value.cursor;
      if (cursor === null && failures.length === 0) say(t.resealed(count(resealed)));
    } while (cursor !== null);
    setFailed(failures);
    setDoneSoFar(null);
    await onChanged();
  };
  return (
    <div class="stack">
      <p class="muted">{t.encryptionLead}</p>
      <dl class="facts">
        <dt>{t.current}</dt>
        <dd class="mono">{current}</dd>
        {previous.length > 0 && (
          <>
            <dt>{t.previous}</dt>
            <dd class="mono">{previous.join(", ")}</dd>
          </>
        )}
        <dt>{t.sealed}</dt>
        <dd>{t.sealedOf(count(sealed), count(total))}</dd>
      </dl>
      {sealed < total && (
        <>
          <Notice tone="warn">{t.toReseal}</Notice>
          <Button isBusy={doneSoFar !== null} onClick={() => void sealAll()}>
            {doneSoFar === null ? t.reseal : t.resealing(count(doneSoFar), count(total))}
          </Button>
        </>
      )}
      {failed.length > 0 && (
        <Notice tone="bad">
          <p>{t.resealFailed}</p>
          <ul>
            {failed.map(({ id, name, message }) => (
              <li key={id}>
                <strong>{name}</strong>: {message}
              </li>
            ))}
          </ul>
        </Notice>
      )}
    </div>
  );
}
