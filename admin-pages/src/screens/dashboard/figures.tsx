import type { Dashboard } from "../../api/dashboard.ts";
import { compact, count, dollars, percent } from "../../format/numbers.ts";
import { dashboardWords } from "../../i18n/dashboard.ts";
import { Card } from "../../ui/page.tsx";

/** Today, in figures, and the pace of now. */
export function TodayInFigures({ dashboard }: { dashboard: Dashboard }) {
  const t = dashboardWords();
  const { overview, recentActivity: today, systemAverages } = dashboard;
  const prompts =
    today.inputTokensToday + today.cacheCreateTokensToday + today.cacheReadTokensToday;
  const figures = [
    { label: t.requests, value: count(today.requestsToday), note: keysInWords(dashboard) },
    {
      label: t.errors,
      value: count(today.failedRequestsToday),
      note: t.errorShare(percent(shareOf(today.failedRequestsToday, today.requestsToday))),
    },
    {
      label: t.cost,
      value: dollars(today.costToday),
      note: t.costAll(dollars(overview.totalCost)),
    },
    {
      label: t.tokens,
      value: compact(today.allTokensToday),
      note: [
        `${compact(today.inputTokensToday)} ${t.tokensIn}`,
        `${compact(today.outputTokensToday)} ${t.tokensOut}`,
      ].join(" · "),
    },
    {
      label: t.cacheShare,
      value: percent(shareOf(today.cacheReadTokensToday, prompts)),
      note: t.cacheHint(compact(today.cacheReadTokensToday)),
    },
    {
      label: t.rpm,
      value: count(systemAverages.rpm),
      note: t.tpm(compact(systemAverages.tpm)),
    },
  ];
  return (
    <Card title={t.today}>
      <dl class="figures">
        {figures.map(({ label, value, note }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              {value}
              <small>{note}</small>
            </dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}

function keysInWords({ overview }: Dashboard): string {
  const { activeApiKeys, totalApiKeys, allApiKeysCounted } = overview;
  const more = allApiKeysCounted ? "" : "+";
  return dashboardWords().keys(count(activeApiKeys) + more, count(totalApiKeys) + more);
}

function shareOf(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
