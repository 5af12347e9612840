import { useState } from "preact/hooks";
import { type Account, type AccountTest, testAccount } from "../../api/accounts.ts";
import type { Failure } from "../../api/client.ts";
import { count } from "../../format/numbers.ts";
import { took } from "../../format/times.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Card } from "../../ui/page.tsx";
import { FailureNotice, Notice } from "../../ui/states.tsx";

/** Proves an account's credential and its way, leg by leg. */
export function TestOfAccount({
  account,
  onTested,
}: {
  account: Account;
  /** A refused credential has consequences. */
  onTested: () => void;
}) {
  const t = accountsWords();
  const [isBusy, setBusy] = useState(false);
  const [result, setResult] = useState<AccountTest | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const run = async () => {
    setBusy(true);
    setFailure(null);
    setResult(null);
    const tested = await testAccount(account.id);
    setBusy(false);
    if (tested.ok) setResult(tested.value);
    else setFailure(tested.error);
    onTested();
  };
  return (
    <Card
      title={t.testTitle}
      actions={
        <Button isBusy={isBusy} onClick={() => void run()}>
          {isBusy ? t.testing : t.testRun}
        </Button>
      }
    >
      <div class="stack" aria-live="polite">
        {result === null && failure === null && <p class="muted">{t.testLead}</p>}
        {failure !== null && <FailureNotice failure={failure} />}
        {result !== null && <Outcome result={result} />}
      </div>
    </Card>
  );
}

function Outcome({ result }: { result: AccountTest }) {
  const t = accountsWords();
  const { ok, status, durationMs, message, way } = result;
  return (
    <>
      <Notice tone={ok ? "good" : "bad"}>
        <strong>{ok ? t.testOk : t.testBad}</strong>
        <p>{message}</p>
      </Notice>
      <p class="muted">{way.forwardProxy === null ? t.direct : t.through(way.forwardProxy)}</p>
      {(way.legs.length > 0 || way.fault !== null) && (
        <ol class="legs">
          {way.legs.map(({ name, ms }) => (
            <li key={name}>
              <Icon name="check" />
              <span>{wordFor(t.legs, name)}</span>
              <span class="number muted">{took(ms)}</span>
            </li>
          ))}
          {way.fault !== null && (
            <li class="bad">
              <Icon name="error" />
              <span>
                {t.brokeHere} <code>{way.fault}</code>
              </span>
            </li>
          )}
        </ol>
      )}
      <dl class="facts">
        {way.exitAddress !== null && (
          <>
            <dt>{t.exitAddress}</dt>
            <dd class="mono">{way.exitAddress}</dd>
          </>
        )}
        {status !== null && (
          <>
            <dt>{t.answered}</dt>
            <dd>{count(status)}</dd>
          </>
        )}
        <dt>{t.took}</dt>
        <dd>{took(durationMs)}</dd>
      </dl>
    </>
  );
}
