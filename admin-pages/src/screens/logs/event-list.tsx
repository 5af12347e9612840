import type { LogEvent } from "../../api/logs.ts";
import { clockTime, date, wholeTime } from "../../format/times.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { logsWords } from "../../i18n/logs.ts";
import { BASE } from "../../screens.ts";
import { Badge, type Tone } from "../../ui/badge.tsx";

const TONES: Record<LogEvent["level"], Tone> = {
  debug: "plain",
  info: "info",
  warn: "warn",
  error: "bad",
};
/** Of an id, to tell it by. */
const TELLING_CHARS = 8;

/** Events below each other, each with what it says and whom it is about. */
export function EventList({ label, events }: { label: string; events: readonly LogEvent[] }) {
  return (
    <ol class="events" aria-label={label}>
      {events.map((event) => (
        <li key={event.id} data-event-id={event.id}>
          <EventLine event={event} />
        </li>
      ))}
    </ol>
  );
}

export function EventLine({ event: one }: { event: LogEvent }) {
  const t = logsWords();
  const { at, level, event, requestId, keyId, accountId, detail } = one;
  return (
    <>
      <time class="muted mono" dateTime={at} title={wholeTime(at)}>
        {date(at) === date(Date.now()) ? clockTime(at) : `${date(at)}, ${clockTime(at)}`}
      </time>
      <Badge tone={TONES[level]}>{wordFor(t.levelNames, level)}</Badge>
      <div class="event">
        <p>
          <span class="event-words">{wordFor(t.events, event)}</span>{" "}
          <code class="muted">{event}</code>
        </p>
        <p class="event-detail muted small">
          {Object.entries(detail).map(
            ([name, value]) =>
              value !== null && (
                <span key={name}>
                  {name}: {String(value)}
                </span>
              ),
          )}
          {keyId !== null && (
            <a href={`${BASE}/keys/${keyId}`}>
              {t.keyOf} {keyId.slice(0, TELLING_CHARS)}
            </a>
          )}
          {accountId !== null && (
            <a href={`${BASE}/accounts/${accountId}`}>
              {t.accountOf} {accountId.slice(0, TELLING_CHARS)}
            </a>
          )}
          {requestId !== null && (
            <a
              class="mono"
              href={`${BASE}/logs?requestId=${encodeURIComponent(requestId)}`}
              title={t.followRequest(requestId)}
            >
              {requestId}
            </a>
          )}
        </p>
      </div>
    </>
  );
}
