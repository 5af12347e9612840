import type { Account } from "../../api/accounts.ts";
import { accountsWords } from "../../i18n/accounts.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { Badge, type Tone } from "../../ui/badge.tsx";
import { Countdown } from "../../ui/time.tsx";

const TONES: Record<string, Tone> = {
  ready: "good",
  disabled: "plain",
  expired: "warn",
  trouble: "bad",
  no_egress: "bad",
  cooling_down: "warn",
  other_encryption_key: "bad",
};

export function AccountBadge({ status }: { status: string }) {
  return <Badge tone={TONES[status] ?? "info"}>{wordFor(accountsWords().status, status)}</Badge>;
}

/** Whether only a new login or credential helps. */
export function needsCredential({ trouble }: Account): boolean {
  return trouble?.kind === "needs_relogin" || trouble?.kind === "credential_rejected";
}

/** Why an account does not serve, and until when, counting down. */
export function AccountReasons({ account }: { account: Account }) {
  const t = accountsWords();
  const { trouble, coolDowns, status, schedulable, enabled } = account;
  return (
    <>
      {trouble !== null && (
        <span class="cell-note">
          {wordFor(t.trouble, trouble.kind)} {asSentence(trouble.detail)}{" "}
          {trouble.until === null ? (
            t.personMustAct
          ) : (
            <Countdown until={trouble.until} words={t.triesAgain} />
          )}
        </span>
      )}
      {coolDowns.map(({ scope, until, reason }) => (
        <span key={scope} class="cell-note">
          {scope === "*" ? t.wholeAccount : scope}: <Countdown until={until} words={t.restsFor} /> ·{" "}
          {reason}
        </span>
      ))}
      {trouble === null && Object.hasOwn(t.statusHelp, status) && status !== "disabled" && (
        <span class="cell-note">{wordFor(t.statusHelp, status)}</span>
      )}
      {enabled && !schedulable && <span class="cell-note">{t.noNewWork}</span>}
    </>
  );
}

/** What upstream said ends as it likes; another sentence follows here. */
function asSentence(text: string): string {
  return text === "" || /[.!?。！？]$/.test(text) ? text : `${text}.`;
}
