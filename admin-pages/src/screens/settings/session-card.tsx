import { wholeTime } from "../../format/times.ts";
import { settingsWords } from "../../i18n/settings.ts";
import { session } from "../../session.ts";
import { Button } from "../../ui/button.tsx";
import { leave } from "../../ui/leave.ts";
import { Card } from "../../ui/page.tsx";
import { Countdown } from "../../ui/time.tsx";

/** Who is signed in here, until when, and the way out. */
export function SessionCard() {
  const t = settingsWords();
  const state = session.value;
  if (state.kind !== "signed_in") return null;
  const { username, expiresAt } = state.session;

  return (
    <Card
      title={t.session}
      actions={
        <Button icon="signOut" onClick={() => void leave(state.session)}>
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
