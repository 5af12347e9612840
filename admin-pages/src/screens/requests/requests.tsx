import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { listRequests, type RelayedRequest } from "../../api/requests.ts";
import { compact, dollars } from "../../format/numbers.ts";
import { took } from "../../format/times.ts";
import { requestsWords } from "../../i18n/requests.ts";
import { BASE } from "../../screens.ts";
import { Button, LinkButton } from "../../ui/button.tsx";
import { CursorPager } from "../../ui/cursor-pager.tsx";
import { type Column, DataTable } from "../../ui/data-table.tsx";
import { Page } from "../../ui/page.tsx";
import { Empty } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { type Names, nameIn, useNames } from "./names.ts";
import { OutcomeBadge } from "./outcome-badge.tsx";
import { filterIn, RequestToolbar, searchOf } from "./request-toolbar.tsx";

const PAGE_SIZE = 50;
const REFRESH_MS = 5_000;

/** The newest requests, and those before them, by whatever filter. The address holds the filter. */
export default function Requests() {
  const t = requestsWords();
  const { query, route } = useLocation();
  const filter = filterIn(query);
  const names = useNames();
  /** Where each page but the first begins. */
  const [cursors, setCursors] = useState<string[]>([]);
  const filterKey = JSON.stringify(filter);
  useEffect(() => setCursors([]), [filterKey]);
  const before = cursors.at(-1) ?? null;
  const { value, failure, reload } = useResource(
    (signal) => listRequests(filter, before, PAGE_SIZE, signal),
    [filter, before],
    // Pages of the past stay as they are.
    before === null ? REFRESH_MS : undefined,
  );
  const older = value?.before ?? null;
  const isFiltered = searchOf(filter) !== "";
  const show = (search: string) => route(`${BASE}/requests${search}`, true);
  return (
    <Page title={t.title} lead={t.lead}>
      <section class="card flush" aria-label={t.title}>
        <RequestToolbar
          filter={filter}
          names={names}
          onFilter={(next) => show(searchOf(next))}
          onFind={(id) => route(`${BASE}/requests/${encodeURIComponent(id)}`)}
        />
        <DataTable
          caption={t.caption}
          columns={columnsOf(names)}
          rows={value?.requests ?? null}
          keyOf={({ id }) => id}
          failure={failure}
          onRetry={() => void reload()}
          empty={isFiltered ? <NoMatch onClear={() => show("")} /> : <NothingYet />}
        />
        {(older !== null || cursors.length > 0) && (
          <CursorPager
            page={cursors.length}
            hasOlder={older !== null}
            onNewer={() => setCursors(cursors.slice(0, -1))}
            onOlder={() => older !== null && setCursors([...cursors, older])}
          />
        )}
      </section>
    </Page>
  );
}

function columnsOf(names: Names): Column<RelayedRequest>[] {
  const t = requestsWords();
  return [
    {
      id: "at",
      head: t.at,
      isMain: true,
      cell: ({ id, startedAt }) => (
        <a class="nowrap" href={`${BASE}/requests/${id}`}>
          <Time at={startedAt} />
        </a>
      ),
    },
    {
      id: "outcome",
      head: t.outcome,
      cell: ({ outcome, status }) => <OutcomeBadge outcome={outcome} status={status} />,
    },
    { id: "model", head: t.model, cell: ({ model }) => model },
    { id: "key", head: t.key, cell: ({ keyId }) => nameIn(names.keys, keyId) },
    {
      id: "account",
      head: t.account,
      cell: ({ accountId }) => (accountId === null ? "–" : nameIn(names.accounts, accountId)),
    },
    {
      id: "duration",
      head: t.duration,
      isNumber: true,
      cell: ({ durationMs }) => (
        <span class="nowrap">{durationMs === null ? "–" : took(durationMs)}</span>
      ),
    },
    {
      id: "tokens",
      head: t.tokens,
      isNumber: true,
      isExtra: true,
      cell: ({ tokens }) => compact(Object.values(tokens).reduce((all, one) => all + one, 0)),
    },
    { id: "cost", head: t.cost, isNumber: true, cell: ({ cost }) => dollars(cost) },
  ];
}

function NothingYet() {
  const t = requestsWords();
  return (
    <Empty icon="requests" title={t.emptyTitle}>
      <p>{t.emptyText}</p>
      <LinkButton href={`${BASE}/start`}>{t.toStart}</LinkButton>
    </Empty>
  );
}

function NoMatch({ onClear }: { onClear: () => void }) {
  const t = requestsWords();
  return (
    <Empty icon="search" title={t.noMatchTitle}>
      <p>{t.noMatchText}</p>
      <Button onClick={onClear}>{t.clearFilters}</Button>
    </Empty>
  );
}
