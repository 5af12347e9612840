import { useEffect, useMemo, useState } from "preact/hooks";
import type { NewKey, RelayKey } from "../../api/keys.ts";
import { readUsageCosts, type Use } from "../../api/usage.ts";
import { count } from "../../format/numbers.ts";
import { timeZone } from "../../format/times.ts";
import { keysWords } from "../../i18n/keys.ts";
import { locale } from "../../i18n/language.ts";
import { Button } from "../../ui/button.tsx";
import { Page } from "../../ui/page.tsx";
import { Pager } from "../../ui/pager.tsx";
import type { Sorting } from "../../ui/sorting.ts";
import { Empty } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";
import {
  allKeys,
  isLoadingKeys,
  keysChanged,
  keysFailure,
  loadKeys,
  stopLoadingKeys,
} from "./all-keys.ts";
import { BatchForm } from "./batch-form.tsx";
import { type KeyFilter, keysThatFit, sortedKeys } from "./filter-keys.ts";
import { KeyForm } from "./key-form.tsx";
import { KeyTable } from "./key-table.tsx";
import { KeyToolbar } from "./key-toolbar.tsx";
import { NewSecrets } from "./new-secret.tsx";
import { RotateKey } from "./rotate-key.tsx";

const PAGE_SIZE = 50;
/** As many as the relay tells at once. Beyond the thousand dearest, the column stays empty. */
const SPENDERS_MAX = 1_000;
const NO_FILTER: KeyFilter = { text: "", status: "present", tag: "" };

type Open =
  | { kind: "form"; key: RelayKey | null }
  | { kind: "batch" }
  | { kind: "rotate"; key: RelayKey }
  | { kind: "secrets"; keys: NewKey[]; missing: string[] };

/** All keys: found, sorted, and acted upon. */
export default function Keys() {
  const t = keysWords();
  const [filter, setFilter] = useState(NO_FILTER);
  const [sorting, setSorting] = useState<Sorting>({ by: "created", isDescending: true });
  const [page, setPage] = useState(0);
  const [open, setOpen] = useState<Open | null>(null);
  const use = useSpending();
  useEffect(() => {
    void loadKeys();
    return stopLoadingKeys;
  }, []);

  const keys = allKeys.value;
  const tongue = locale.value;
  const found = useMemo(
    () => (keys === null ? null : sortedKeys(keysThatFit(keys, filter), sorting, use, tongue)),
    [keys, filter, sorting, use, tongue],
  );
  const last = Math.max(0, Math.ceil((found?.length ?? 0) / PAGE_SIZE) - 1);
  const here = Math.min(page, last);
  const shown = found?.slice(here * PAGE_SIZE, (here + 1) * PAGE_SIZE) ?? null;
  const close = () => setOpen(null);

  return (
    <Page
      title={t.title}
      lead={isLoadingKeys.value && keys !== null ? t.loadingMore(count(keys.length)) : undefined}
      actions={
        <>
          <Button onClick={() => setOpen({ kind: "batch" })}>{t.createMany}</Button>
          <Button kind="primary" icon="plus" onClick={() => setOpen({ kind: "form", key: null })}>
            {t.create}
          </Button>
        </>
      }
    >
      <section class="card flush" aria-label={t.title} aria-busy={isLoadingKeys.value}>
        <KeyToolbar
          filter={filter}
          keys={keys ?? []}
          onFilter={(next) => {
            setFilter(next);
            setPage(0);
          }}
        />
        <KeyTable
          rows={shown}
          use={use}
          failure={keysFailure.value}
          onRetry={() => void loadKeys()}
          sorting={sorting}
          onSort={setSorting}
          onEdit={(key) => setOpen({ kind: "form", key })}
          onRotate={(key) => setOpen({ kind: "rotate", key })}
          empty={
            keys?.length === 0 ? (
              <Empty icon="keys" title={t.emptyTitle}>
                <p>{t.emptyText}</p>
              </Empty>
            ) : (
              <Empty icon="search" title={t.noMatchTitle}>
                <p>{t.noMatchText}</p>
                <Button onClick={() => setFilter(NO_FILTER)}>{t.clearFilters}</Button>
              </Empty>
            )
          }
        />
        {found !== null && found.length > 0 && (
          <Pager page={here} pageSize={PAGE_SIZE} total={found.length} onPage={setPage} />
        )}
      </section>
      {open?.kind === "form" && (
        <KeyForm
          of={open.key}
          onClose={close}
          onCreated={(key) => {
            keysChanged(key);
            setOpen({ kind: "secrets", keys: [key], missing: [] });
          }}
          onSaved={(key) => {
            keysChanged(key);
            close();
          }}
        />
      )}
      {open?.kind === "batch" && (
        <BatchForm
          onClose={close}
          onCreated={(made, missing) => {
            keysChanged(...made);
            setOpen({ kind: "secrets", keys: made, missing });
          }}
        />
      )}
      {open?.kind === "rotate" && (
        <RotateKey
          of={open.key}
          onClose={close}
          onRotated={(key) => {
            keysChanged(key);
            setOpen({ kind: "secrets", keys: [key], missing: [] });
          }}
        />
      )}
      {open?.kind === "secrets" && (
        <NewSecrets keys={open.keys} missing={open.missing} onClose={close} />
      )}
    </Page>
  );
}

/** What the keys have used in thirty days, by their ids. */
function useSpending(): ReadonlyMap<string, Use> {
  const zone = timeZone.value;
  const { value } = useResource(
    (signal) => readUsageCosts({ timeZone: zone, limit: SPENDERS_MAX }, signal),
    [zone],
  );
  return useMemo(
    () => new Map((value?.byKey ?? []).map(({ keyId, ...sums }) => [keyId, sums])),
    [value],
  );
}
