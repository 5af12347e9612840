import { signOut } from "../../api/session.ts";
import { wholeTime } from "../../format/times.ts";
import { settingsWords } from "../../i18n/settings.ts";
import { shellWords } from "../../i18n/shell.ts";
import { session, signedOut } from "../../session.ts";
import { Button } from "../../ui/button.tsx";
import { Card } from "../../ui/page.tsx";
import { Countdown } from "../../ui/time.tsx";
import { say, sayFailed } from "../../ui/toasts.tsx";

/** Who is signed in here, until when, and the way out. */
export function SessionCard() {
  const t = settingsWords();
  const state = session.value;
  if (state.kind !== "signed_in") return null;
  const { username, expiresAt } = state.session;

  const leave = async () => {
    const left = await signOut();
    if (!left.ok && left.error.code !== "not_signed_in") return sayFailed(left.error);
    signedOut();
    say(shellWords().signedOut);
  };
  return (
    <Card
      title={t.session}
      actions={
        <Button icon="signOut" onClick={() => void leave()}>
          {t.signOut}
        </Button>
      }
    >
      <div class="stack">
        <dl class="facts">
          <dt>{t.signedInAs}</dt>
          <dd>{username}</dd>
          <dt>{t.endsAt}</dt>
          <dd>
            {wholeTime(expiresAt)} (<Countdown until={expiresAt} />)
          </dd>
        </dl>
        <p class="muted">{t.sessionLead}</p>
        <p class="muted">{t.everywhere}</p>
      </div>
    </Card>
  );
}
