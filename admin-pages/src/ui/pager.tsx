import { count } from "../format/numbers.ts";
import { commonWords } from "../i18n/common.ts";
import { IconButton } from "./button.tsx";

/** Steps through a list. Pages count from 0. */
export function Pager({
  page,
  pageSize,
  total,
  onPage,
}: {
  page: number;
  pageSize: number;
  total: number;
  onPage: (page: number) => void;
}) {
  const t = commonWords();
  const last = Math.max(0, Math.ceil(total / pageSize) - 1);
  const from = Math.min(total, page * pageSize + 1);
  const to = Math.min(total, (page + 1) * pageSize);
  return (
    <nav class="pager" aria-label={t.pageOf(count(page + 1), count(last + 1))}>
      <span aria-live="polite">{t.rangeOf(count(from), count(to), count(total))}</span>
      <IconButton
        icon="left"
        label={t.previous}
        disabled={page === 0}
        onClick={() => onPage(page - 1)}
      />
      <IconButton
        icon="right"
        label={t.next}
        disabled={page >= last}
        onClick={() => onPage(page + 1)}
      />
    </nav>
  );
}
