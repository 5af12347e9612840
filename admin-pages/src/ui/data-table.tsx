import type { ComponentChildren } from "preact";
import type { Failure } from "../api/client.ts";
import { commonWords } from "../i18n/common.ts";
import { Icon } from "./icon.tsx";
import type { Sorting } from "./sorting.ts";
import { FailureNotice, Loading, Notice } from "./states.tsx";

export interface Column<Row> {
  id: string;
  head: string;
  cell: (row: Row) => ComponentChildren;
  /** Numbers stand at the right, below each other. */
  isNumber?: boolean;
  /** Names the row. One column of each table is it. */
  isMain?: boolean;
  /** Can be sorted by. */
  canSort?: boolean;
  /** Where the page is narrow: its cell is left out. */
  isExtra?: boolean;
  /** Its cell holds more than a word: where the page is narrow, it takes the whole width. */
  isBlock?: boolean;
  /** Buttons of the row: where the page is narrow, they stand beside its name. */
  isCorner?: boolean;
  /** Its head is for those who hear the page, as over buttons. */
  isHeadHidden?: boolean;
}

interface DataTableProps<Row> {
  /** What the table holds, for those who hear the page. */
  caption: string;
  columns: readonly Column<Row>[];
  /** Null while nothing has come. */
  rows: readonly Row[] | null;
  keyOf: (row: Row) => string;
  failure?: Failure | null;
  onRetry?: () => void;
  sorting?: Sorting;
  onSort?: (sorting: Sorting) => void;
  /** In place of a table without rows. */
  empty: ComponentChildren;
}

/** Rows of one kind; on a narrow page each becomes a block with its fields below each other. */
export function DataTable<Row>(props: DataTableProps<Row>) {
  const { caption, columns, rows, keyOf, failure = null, onRetry, sorting, onSort, empty } = props;
  if (rows === null) {
    return failure === null ? (
      <Loading />
    ) : (
      <FailureNotice failure={failure} {...(onRetry === undefined ? {} : { onRetry })} />
    );
  }
  return (
    <>
      {failure !== null && <Notice tone="warn">{commonWords().stale}</Notice>}
      {rows.length === 0 ? (
        empty
      ) : (
        <table class="data">
          <caption class="hidden">{caption}</caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <Head
                  key={column.id}
                  column={column}
                  {...(sorting === undefined ? {} : { sorting })}
                  {...(onSort === undefined ? {} : { onSort })}
                />
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={keyOf(row)}>
                {columns.map((column) => (
                  <Cell key={column.id} column={column} row={row} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function classOf<Row>(column: Column<Row>): string {
  const { isNumber, isMain, isExtra, isBlock, isCorner } = column;
  const names = [
    isNumber && "number",
    isMain && "main",
    isExtra && "extra",
    isBlock && "block",
    isCorner && "corner number",
  ];
  return names.filter(Boolean).join(" ");
}

function Cell<Row>({ column, row }: { column: Column<Row>; row: Row }) {
  const { head, cell, isMain, isHeadHidden } = column;
  if (isMain) {
    return (
      <th scope="row" class={classOf(column)}>
        {cell(row)}
      </th>
    );
  }
  return (
    <td class={classOf(column)} data-label={isHeadHidden ? undefined : head}>
      {cell(row)}
    </td>
  );
}

function Head<Row>({
  column,
  sorting,
  onSort,
}: {
  column: Column<Row>;
  sorting?: Sorting;
  onSort?: (sorting: Sorting) => void;
}) {
  const { id, head, canSort = false, isNumber = false, isHeadHidden } = column;
  const isSorted = sorting?.by === id;
  const isDescending = isSorted && sorting.isDescending;
  if (!canSort || onSort === undefined) {
    return (
      <th scope="col" class={classOf(column)}>
        <span class={isHeadHidden ? "hidden" : undefined}>{head}</span>
      </th>
    );
  }
  // Numbers are looked at from the largest down, names from A on.
  const next = { by: id, isDescending: isSorted ? !isDescending : isNumber };
  return (
    <th
      scope="col"
      class={classOf(column)}
      aria-sort={isSorted ? (isDescending ? "descending" : "ascending") : "none"}
    >
      <button type="button" class="sort" onClick={() => onSort(next)}>
        {head}
        <span class={isSorted ? "arrow on" : "arrow"}>
          <Icon name={isDescending ? "down" : "up"} />
        </span>
      </button>
    </th>
  );
}
