import { useEffect, useMemo, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import type { LogEvent } from "../../api/logs.ts";
import { count } from "../../format/numbers.ts";
import { timeZone } from "../../format/times.ts";
import { logsWords } from "../../i18n/logs.ts";
import { BASE } from "../../screens.ts";
import { Badge, type Tone } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Page } from "../../ui/page.tsx";
import { Empty, FailureNotice, Loading, Notice } from "../../ui/states.tsx";
import { EventLine } from "./event-list.tsx";
import { LiveLog, type LiveState, type LogEntry } from "./live-log.ts";
import { LogParts } from "./log-parts.tsx";
import { filterIn, LogToolbar, searchOf } from "./log-toolbar.tsx";

const TONES: Record<LiveState, Tone> = {
  connecting: "plain",
  live: "good",
  paused: "info",
  waiting: "warn",
};

/** What happens, as it happens. The address holds the filter; what is searched for stays in the page. */
export default function Logs() {
  const t = logsWords();
  const { query, route } = useLocation();
  const search = searchOf(filterIn(query));
  const [text, setText] = useState("");
  const log = useMemo(() => new LiveLog(filterIn(query)), [search]);
  useEffect(() => {
    void log.start();
    return () => log.end();
  }, [log]);
  const state = log.state.value;
  const isPaused = state === "paused";
  const show = (next: string) => route(`${BASE}/logs${next}`, true);
  return (
    <Page
      title={t.title}
      lead={t.zone(timeZone.value)}
      actions={
        <>
          <LogParts />
          <span role="status">
            <Badge tone={TONES[state]}>{t.states[state]}</Badge>
          </span>
          <Button onClick={() => (isPaused ? log.resume() : log.pause())}>
            {isPaused ? t.resume : t.pause}
          </Button>
        </>
      }
    >
      <section class="card flush" aria-label={t.live}>
        <LogToolbar
          filter={filterIn(query)}
          text={text}
          onFilter={(filter) => show(searchOf(filter))}
          onText={setText}
        />
        {isPaused && <Notice>{t.pausedText}</Notice>}
        {state === "waiting" && <Notice tone="warn">{t.waitingText}</Notice>}
        {log.failure.value !== null && (
          <FailureNotice failure={log.failure.value} onRetry={() => void log.start()} />
        )}
        <Entries
          log={log}
          text={text}
          isFiltered={search !== "" || text !== ""}
          onClear={() => {
            setText("");
            show("");
          }}
        />
      </section>
    </Page>
  );
}

function Entries({
  log,
  text,
  isFiltered,
  onClear,
}: {
  log: LiveLog;
  text: string;
  isFiltered: boolean;
  onClear: () => void;
}) {
  const t = logsWords();
  const entries = log.entries.value;
  const shown = useMemo(() => entries?.filter((entry) => says(entry, text)), [entries, text]);
  if (shown === undefined) return log.failure.value === null ? <Loading lines={8} /> : null;
  return (
    <>
      {shown.length === 0 ? (
        <Empty
          icon={isFiltered ? "search" : "logs"}
          title={isFiltered ? t.noMatchTitle : t.emptyTitle}
        >
          <p>{isFiltered ? t.noMatchText : t.emptyText}</p>
          {isFiltered && <Button onClick={onClear}>{t.clearFilters}</Button>}
        </Empty>
      ) : (
        <ol class="events" aria-label={t.eventsLabel}>
          {shown.map((entry) => (
            <li key={`${entry.kind} ${entry.id}`} data-event-id={entry.id}>
              {entry.kind === "event" ? (
                <EventLine event={entry.event} />
              ) : (
                <Notice tone="warn">{t.gap(count(entry.from), count(entry.to))}</Notice>
              )}
            </li>
          ))}
        </ol>
      )}
      <div class="events-end">
        {log.hasOlder.value ? (
          <Button onClick={() => void log.loadOlder()}>{t.older}</Button>
        ) : (
          shown.length > 0 && <p class="muted small">{t.oldest}</p>
        )}
      </div>
    </>
  );
}

/** Whether an entry has the text somewhere. A gap concerns everybody. */
function says(entry: LogEntry, text: string): boolean {
  if (text === "" || entry.kind === "gap") return true;
  return textOf(entry.event).includes(text.toLowerCase());
}

function textOf({ event, requestId, keyId, accountId, detail }: LogEvent): string {
  const words = (logsWords().events as Record<string, string>)[event];
  return JSON.stringify([event, words, requestId, keyId, accountId, detail]).toLowerCase();
}
