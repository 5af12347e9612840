import { readLogs } from "../../api/logs.ts";
import { requestsWords } from "../../i18n/requests.ts";
import { BASE } from "../../screens.ts";
import { Card } from "../../ui/page.tsx";
import { FailureNotice, Loading } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { EventList } from "../logs/event-list.tsx";

/** A request leaves few. */
const EVENTS_MAX = 100;

/** What the log says of a request. */
export function RequestEvents({ id }: { id: string }) {
  const t = requestsWords();
  const { value, failure, reload } = useResource(
    (signal) => readLogs({ requestId: id }, null, EVENTS_MAX, signal),
    [id],
  );
  return (
    <Card
      title={t.events}
      isFlush
      actions={<a href={`${BASE}/logs?requestId=${encodeURIComponent(id)}`}>{t.toLog}</a>}
    >
      {value === null ? (
        failure === null ? (
          <Loading lines={2} />
        ) : (
          <FailureNotice failure={failure} onRetry={() => void reload()} />
        )
      ) : value.events.length === 0 ? (
        <p class="muted nothing">{t.noEvents}</p>
      ) : (
        <EventList label={t.eventsCaption} events={value.events.toReversed()} />
      )}
    </Card>
  );
}
