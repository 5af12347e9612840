import type { ComponentChildren } from "preact";
import type { Failure } from "../../api/client.ts";
import type { RelayKey } from "../../api/keys.ts";
import type { Use } from "../../api/usage.ts";
import { count, dollars } from "../../format/numbers.ts";
import { date } from "../../format/times.ts";
import { commonWords } from "../../i18n/common.ts";
import { keysWords } from "../../i18n/keys.ts";
import { BASE } from "../../screens.ts";
import { Tags } from "../../ui/badge.tsx";
import { type Column, DataTable } from "../../ui/data-table.tsx";
import { Menu } from "../../ui/menu.tsx";
import type { Sorting } from "../../ui/sorting.ts";
import { keyActs } from "./key-acts.tsx";
import { KeyStatusBadge, LimitsInShort } from "./key-words.tsx";

const NOTHING = "–";

/** A page of keys. */
export function KeyTable({
  rows,
  use,
  failure,
  onRetry,
  sorting,
  onSort,
  onEdit,
  onRotate,
  empty,
}: {
  rows: readonly RelayKey[] | null;
  use: ReadonlyMap<string, Use>;
  failure: Failure | null;
  onRetry: () => void;
  sorting: Sorting;
  onSort: (sorting: Sorting) => void;
  onEdit: (key: RelayKey) => void;
  onRotate: (key: RelayKey) => void;
  empty: ComponentChildren;
}) {
  const t = keysWords();
  const spent = (key: RelayKey, show: (sums: Use) => string) => {
    const sums = use.get(key.id);
    return sums === undefined ? <span class="muted">{NOTHING}</span> : show(sums);
  };
  const columns: Column<RelayKey>[] = [
    {
      id: "name",
      head: t.name,
      isMain: true,
      canSort: true,
      cell: (key) => (
        <>
          <a href={`${BASE}/keys/${key.id}`}>{key.name}</a> <Tags tags={key.tags} />
          {key.description !== "" && <span class="cell-note">{key.description}</span>}
        </>
      ),
    },
    {
      id: "state",
      head: t.state,
      canSort: true,
      cell: ({ status }) => <KeyStatusBadge status={status} />,
    },
    {
      id: "key",
      head: t.key,
      isExtra: true,
      cell: ({ hint }) => <span class="mono muted">{hint}</span>,
    },
    { id: "limits", head: t.limits, cell: ({ limits }) => <LimitsInShort limits={limits} /> },
    {
      id: "requests",
      head: t.requests30,
      isNumber: true,
      canSort: true,
      isExtra: true,
      cell: (key) => spent(key, ({ requests }) => count(requests)),
    },
    {
      id: "spent",
      head: t.spent,
      isNumber: true,
      canSort: true,
      cell: (key) => spent(key, ({ cost }) => dollars(cost)),
    },
    {
      id: "created",
      head: t.created,
      canSort: true,
      isExtra: true,
      cell: ({ createdAt }) => <span class="nowrap">{date(createdAt)}</span>,
    },
    {
      id: "actions",
      head: t.actions,
      isHeadHidden: true,
      isCorner: true,
      cell: (key) => (
        <Menu
          label={commonWords().actionsFor(key.name)}
          items={keyActs(key, { onEdit, onRotate })}
        />
      ),
    },
  ];
  return (
    <DataTable
      caption={t.title}
      columns={columns}
      rows={rows}
      keyOf={({ id }) => id}
      failure={failure}
      onRetry={onRetry}
      sorting={sorting}
      onSort={onSort}
      empty={empty}
    />
  );
}
