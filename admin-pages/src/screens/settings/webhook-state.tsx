import type { Webhook } from "../../api/alerts.ts";
import { count } from "../../format/numbers.ts";
import { alertsWords } from "../../i18n/alerts.ts";
import { Badge } from "../../ui/badge.tsx";
import { Countdown, Time } from "../../ui/time.tsx";

/** Whether a webhook takes what it is told, and what waits for it where it does not. */
export function WebhookState({ webhook: { enabled, delivery } }: { webhook: Webhook }) {
  const t = alertsWords();
  const { lastSuccessAt, lastFailure, failures, waiting, nextTryAt } = delivery;
  if (!enabled) return <Badge tone="plain">{t.off}</Badge>;
  if (failures > 0) {
    return (
      <div>
        <Badge tone="bad">{t.failing}</Badge>
        {lastFailure !== null && <span class="cell-note">{lastFailure}</span>}
        {waiting > 0 && (
          <span class="cell-note">
            {t.waiting(count(waiting))}
            {nextTryAt !== null && (
              <>
                {" · "}
                <Countdown until={nextTryAt} words={t.nextTry} />
              </>
            )}
          </span>
        )}
      </div>
    );
  }
  if (lastSuccessAt === null) return <Badge tone="plain">{t.never}</Badge>;
  return (
    <div>
      <Badge tone="good">{t.fine}</Badge>
      <span class="cell-note">
        <Time at={lastSuccessAt} how="relative" />
      </span>
    </div>
  );
}
