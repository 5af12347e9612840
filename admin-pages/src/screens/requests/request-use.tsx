import type { RelayedRequest } from "../../api/requests.ts";
import { count, dollars } from "../../format/numbers.ts";
import { requestsWords } from "../../i18n/requests.ts";
import { BASE } from "../../screens.ts";
import { Card } from "../../ui/page.tsx";
import { Notice } from "../../ui/states.tsx";

const KINDS = ["input", "output", "cacheWrite5m", "cacheWrite1h", "cacheRead"] as const;

/** What a request used, what it costs, and by which price. */
export function RequestUse({ request }: { request: RelayedRequest }) {
  const t = requestsWords();
  const { tokens, webSearches, cost, priceId, priceKnown, estimated } = request;
  return (
    <Card title={t.usage}>
      <div class="stack">
        {estimated && <Notice tone="warn">{t.estimated}</Notice>}
        {priceId !== null && !priceKnown && (
          <Notice tone="warn">
            <p>
              {t.unlisted} <a href={`${BASE}/settings`}>{t.toPrices}</a>
            </p>
          </Notice>
        )}
        <table class="plain">
          <caption class="hidden">{t.usageCaption}</caption>
          <tbody>
            {KINDS.map((kind) => (
              <Line key={kind} name={t[kind]} value={count(tokens[kind])} />
            ))}
            {webSearches > 0 && <Line name={t.webSearches} value={count(webSearches)} />}
            <Line name={t.total} value={dollars(cost)} isSum />
          </tbody>
        </table>
        {priceId !== null && (
          <p class="muted small">
            {t.price}: <span class="mono">{priceId}</span>
          </p>
        )}
      </div>
    </Card>
  );
}

function Line({ name, value, isSum = false }: { name: string; value: string; isSum?: boolean }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td class="number">{isSum ? <strong>{value}</strong> : value}</td>
    </tr>
  );
}
