import type { Dashboard } from "../../api/dashboard.ts";
import { count } from "../../format/numbers.ts";
import { wordFor } from "../../i18n/dictionary.ts";
import { settingsWords } from "../../i18n/settings.ts";
import { Card } from "../../ui/page.tsx";
import { FailureNotice, Loading, Notice } from "../../ui/states.tsx";
import type { Resource } from "../../ui/use-resource.ts";

/** Where the relay keeps what it knows. */
export function Storage({
  dashboard: { value, failure, reload },
}: {
  dashboard: Resource<Dashboard>;
}) {
  const t = settingsWords();
  return (
    <Card title={t.store}>
      {value !== null ? (
        <Facts dashboard={value} />
      ) : failure === null ? (
        <Loading lines={3} />
      ) : (
        <FailureNotice failure={failure} onRetry={() => void reload()} />
      )}
    </Card>
  );
}

function Facts({ dashboard: { overview, systemHealth } }: { dashboard: Dashboard }) {
  const t = settingsWords();
  const { activeApiKeys, totalApiKeys, allApiKeysCounted } = overview;
  const more = allApiKeysCounted ? "" : "+";
  const { keyStore, ledgerShards } = systemHealth;
  return (
    <div class="stack">
      {keyStore === "unavailable" && <Notice tone="bad">{t.storeDown}</Notice>}
      <dl class="facts">
        <dt>{t.keyStore}</dt>
        <dd>{wordFor(t.stores, keyStore)}</dd>
        <dt>{t.keys}</dt>
        <dd>{t.keysOf(count(activeApiKeys) + more, count(totalApiKeys) + more)}</dd>
        <dt>{t.ledger}</dt>
        <dd>{t.ledgerParts(count(ledgerShards))}</dd>
      </dl>
    </div>
  );
}
