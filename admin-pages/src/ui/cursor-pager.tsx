import { count } from "../format/numbers.ts";
import { requestsWords } from "../i18n/requests.ts";
import { IconButton } from "./button.tsx";

/** Steps through a list whose length nobody knows. Pages count from 0. */
export function CursorPager({
  page,
  hasOlder,
  onNewer,
  onOlder,
}: {
  page: number;
  hasOlder: boolean;
  onNewer: () => void;
  onOlder: () => void;
}) {
  const t = requestsWords();
  const name = t.page(count(page + 1));
  return (
    <nav class="pager" aria-label={name}>
      <span aria-live="polite">{name}</span>
      <IconButton icon="left" label={t.newer} disabled={page === 0} onClick={onNewer} />
      <IconButton icon="right" label={t.older} disabled={!hasOlder} onClick={onOlder} />
    </nav>
  );
}
