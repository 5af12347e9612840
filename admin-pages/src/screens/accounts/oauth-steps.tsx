import { useState } from "preact/hooks";
import {
  type AccountProxy,
  exchangeCode,
  type FinishedLogin,
  type LoginLink,
  makeLoginLink,
} from "../../api/accounts.ts";
import type { Failure } from "../../api/client.ts";
import { nowMs, useTicking } from "../../format/clock.ts";
import { duration } from "../../format/times.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { Button, LinkButton } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy-button.tsx";
import { TextAreaField } from "../../ui/fields.tsx";
import { FailureNotice, Notice } from "../../ui/states.tsx";

/**
 * A login over the browser: the terms, the link, the page elsewhere, and what it shows pasted back. A
 * wrong paste can be tried again for as long as the link lasts.
 *
 * @param accountId an account that exists and logs in again
 * @param proxy that of a new account; undefined where it is not filled in rightly yet
 */
export function OAuthSteps({
  accountId,
  proxy = null,
  onMistake,
  onFinished,
}: {
  accountId?: string;
  proxy?: AccountProxy | null | "incomplete";
  /** The link was asked for while the proxy is incomplete. */
  onMistake?: () => void;
  onFinished: (login: FinishedLogin) => void;
}) {
  const t = accountsWords();
  const [isAgreed, setAgreed] = useState(false);
  const [link, setLink] = useState<LoginLink | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);

  const make = async () => {
    if (proxy === "incomplete") return onMistake?.();
    setBusy(true);
    setFailure(null);
    const made = await makeLoginLink(accountId === undefined ? { proxy } : { accountId });
    setBusy(false);
    if (made.ok) setLink(made.value);
    else setFailure(made.error);
  };
  return (
    <div class="stack">
      {link === null && (
        <>
          <Notice tone="warn">
            <strong>{t.termsTitle}</strong>
            <p>{t.terms}</p>
            <label class="row">
              <input
                type="checkbox"
                checked={isAgreed}
                onChange={(event) => setAgreed(event.currentTarget.checked)}
              />
              {t.termsAgree}
            </label>
          </Notice>
          <div>
            <Button
              kind="primary"
              icon="link"
              disabled={!isAgreed}
              isBusy={isBusy}
              onClick={() => void make()}
            >
              {t.makeLink}
            </Button>
          </div>
        </>
      )}
      {link !== null && (
        <LinkInUse key={link.authUrl} link={link} onNewLink={make} onFinished={onFinished} />
      )}
      {failure !== null && <FailureNotice failure={failure} />}
    </div>
  );
}

function LinkInUse({
  link,
  onNewLink,
  onFinished,
}: {
  link: LoginLink;
  onNewLink: () => Promise<void>;
  onFinished: (login: FinishedLogin) => void;
}) {
  const t = accountsWords();
  const [paste, setPaste] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  useTicking();
  const leftMs = new Date(link.expiresAt).getTime() - nowMs.value;
  const isOver = leftMs <= 0 || failure?.code === "login_ended";

  const check = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setFailure(null);
    const finished = await exchangeCode(link.sessionId, paste.trim());
    setBusy(false);
    if (finished.ok) onFinished(finished.value);
    else setFailure(finished.error);
  };
  return (
    <ol class="steps">
      <li>
        <h3>{t.stepLink}</h3>
        <div class="row">
          <LinkButton
            kind="primary"
            icon="external"
            href={link.authUrl}
            target="_blank"
            rel="noreferrer noopener"
          >
            {t.openLink}
          </LinkButton>
          <CopyButton text={link.authUrl} what={t.copyLink} />
        </div>
        <p class="hint">{isOver ? t.linkEnded : t.linkEnds(duration(leftMs))}</p>
      </li>
      <li>
        <h3>{t.stepPaste}</h3>
        <form class="stack" onSubmit={(event) => void check(event)}>
          <TextAreaField
            label={t.paste}
            hint={t.pasteHint}
            required
            spellcheck={false}
            rows={2}
            value={paste}
            onValue={setPaste}
          />
          {failure !== null && <FailureNotice failure={failure} />}
          <div class="row">
            <Button type="submit" kind="primary" isBusy={isBusy} disabled={isOver}>
              {t.check}
            </Button>
            <Button onClick={() => void onNewLink()}>{t.newLink}</Button>
          </div>
        </form>
      </li>
    </ol>
  );
}
