import { useState } from "preact/hooks";
import type { ModelUse } from "../../api/dashboard.ts";
import { readTrend, readUsageCosts, type UsageCosts } from "../../api/usage.ts";
import { dashboardWords } from "../../i18n/dashboard.ts";
import { Choice, Select } from "../../ui/fields.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Card } from "../../ui/page.tsx";
import { FailureNotice, Loading } from "../../ui/states.tsx";
import { type Resource, useResource } from "../../ui/use-resource.ts";
import { Breakdown, type Share } from "./breakdown.tsx";
import { TrendCharts } from "./trend-charts.tsx";
import {
  type Chosen,
  granularitiesOf,
  queryOf,
  RANGES,
  type Range,
  type UsageScope,
} from "./usage-scope.ts";

const REFRESH_MS = 60_000;
/** Of keys; there may be ten thousand. */
const DEAREST = 10;
/** Of an id whose name is gone. */
const TELLING_CHARS = 8;

/** What was used over a range: as it went, and by model, key and account, each of which can be looked at alone. */
export function Usage({
  scope,
  onScope,
  models,
}: {
  scope: UsageScope;
  onScope: (scope: UsageScope) => void;
  models: Resource<{ models: ModelUse[] }>;
}) {
  const t = dashboardWords();
  const query = queryOf(scope);
  const trend = useResource(
    (signal) => readTrend({ ...query, granularity: scope.granularity }, signal),
    [scope, query.timeZone],
    REFRESH_MS,
  );
  const costs = useResource(
    (signal) => readUsageCosts({ ...query, limit: DEAREST }, signal),
    [scope, query.timeZone],
    REFRESH_MS,
  );
  const choose = (one: Chosen) =>
    onScope({ ...scope, chosen: [...scope.chosen.filter(({ by }) => by !== one.by), one] });
  return (
    <>
      <Card title={t.usage} actions={<Controls scope={scope} onScope={onScope} />}>
        <div class="stack">
          <ChosenOnes scope={scope} onScope={onScope} />
          {trend.failure !== null && (
            <FailureNotice failure={trend.failure} onRetry={() => void trend.reload()} />
          )}
          {trend.value === null ? (
            trend.failure === null && <Loading lines={8} />
          ) : (
            <TrendCharts trend={trend.value} />
          )}
        </div>
      </Card>
      <div class="grid">
        <Breakdown
          title={t.byModel}
          by="model"
          source={models}
          shares={models.value?.models.map((use) => ({ ...use, id: use.model, name: use.model }))}
          onChoose={choose}
        />
        <Breakdown
          title={t.byKey}
          by="keyId"
          source={costs}
          shares={costs.value === null ? undefined : keyShares(costs.value)}
          onChoose={choose}
        />
        <Breakdown
          title={t.byAccount}
          by="accountId"
          source={costs}
          shares={costs.value === null ? undefined : accountShares(costs.value)}
          onChoose={choose}
        />
      </div>
    </>
  );
}

function keyShares({ byKey }: UsageCosts): Share[] {
  const t = dashboardWords();
  return byKey.map((use) => ({
    ...use,
    id: use.keyId,
    name: use.name ?? t.goneKey(use.keyId.slice(0, TELLING_CHARS)),
  }));
}

function accountShares({ byAccount }: UsageCosts): Share[] {
  const t = dashboardWords();
  return byAccount.map((use) => ({
    ...use,
    id: use.accountId,
    name:
      use.name ??
      (use.accountId === null ? t.unserved : t.goneAccount(use.accountId.slice(0, TELLING_CHARS))),
  }));
}

function Controls({ scope, onScope }: { scope: UsageScope; onScope: (scope: UsageScope) => void }) {
  const t = dashboardWords();
  const { range, granularity } = scope;
  const take = (next: Range) => {
    const possible = granularitiesOf(next);
    const kept = possible.includes(granularity) ? granularity : (possible[0] ?? "day");
    onScope({ ...scope, range: next, granularity: kept });
  };
  return (
    <>
      <Choice
        label={t.range}
        isLabelHidden
        value={range}
        options={RANGES.map((value) => ({ value, label: t.ranges[value] }))}
        onValue={take}
      />
      <Select
        aria-label={t.granularity}
        value={granularity}
        options={granularitiesOf(range).map((value) => ({ value, label: t.granularities[value] }))}
        onValue={(value) => onScope({ ...scope, granularity: value })}
      />
    </>
  );
}

function ChosenOnes({
  scope,
  onScope,
}: {
  scope: UsageScope;
  onScope: (scope: UsageScope) => void;
}) {
  const t = dashboardWords();
  if (scope.chosen.length === 0) return null;
  return (
    <div class="row">
      <span class="muted">{t.onlyShown}</span>
      {scope.chosen.map(({ by, name }) => (
        <button
          key={by}
          type="button"
          class="button small"
          aria-label={t.noFilter(name)}
          onClick={() =>
            onScope({ ...scope, chosen: scope.chosen.filter((other) => other.by !== by) })
          }
        >
          {name}
          <Icon name="close" />
        </button>
      ))}
    </div>
  );
}

/** What the dashboard's charts begin with. */
export function useUsageScope() {
  return useState<UsageScope>({ range: "7d", granularity: "hour", chosen: [] });
}
