import { type HeldKey, type Model, readHeldKey, readModelsOf } from "../../api/key-holder.ts";
import type { Use } from "../../api/usage.ts";
import { compact, count, dollars } from "../../format/numbers.ts";
import { date, wholeTime } from "../../format/times.ts";
import { commonWords } from "../../i18n/common.ts";
import { keyUsageWords } from "../../i18n/key-usage.ts";
import { BarList } from "../../ui/bar-list.tsx";
import { Chart } from "../../ui/chart.tsx";
import { DataTable } from "../../ui/data-table.tsx";
import { Card } from "../../ui/page.tsx";
import { Empty, FailureNotice, Loading, Notice } from "../../ui/states.tsx";
import { useResource } from "../../ui/use-resource.ts";
import { LimitsLeft } from "../keys/limits-left.tsx";
import { ModelUse } from "../keys/model-use.tsx";

const REFRESH_MS = 15_000;

/** Everything that a key tells its holder. */
export function HeldKeyReport({ apiKey }: { apiKey: string }) {
  const key = useResource((signal) => readHeldKey(apiKey, signal), [apiKey], REFRESH_MS);
  const models = useResource((signal) => readModelsOf(apiKey, signal), [apiKey]);
  if (key.value === null) {
    return key.failure === null ? (
      <Loading lines={8} />
    ) : (
      <FailureNotice failure={key.failure} onRetry={() => void key.reload()} />
    );
  }
  const { usage, limits } = key.value;
  return (
    <>
      {key.failure !== null && <Notice tone="warn">{commonWords().stale}</Notice>}
      <Sums heldKey={key.value} />
      <div class="grid wide-first">
        <div class="stack">
          <Days usage={usage} />
          <Shares usage={usage} />
          <ModelUse models={usage.byModel} />
        </div>
        <div class="stack">
          <LimitsLeft inUse={limits} />
          <Facts heldKey={key.value} />
        </div>
      </div>
      <Models rows={models.value} failure={models.failure} onRetry={() => void models.reload()} />
    </>
  );
}

function Sums({ heldKey: { name, usage } }: { heldKey: HeldKey }) {
  const t = keyUsageWords();
  const figure = (label: string, use: Use) => (
    <div>
      <dt>{label}</dt>
      <dd>
        {dollars(use.cost)}
        <small>
          {t.requests(count(use.requests))} · {t.tokens(compact(use.allTokens))}
        </small>
        {use.failedRequests > 0 && <small>{t.failed(count(use.failedRequests))}</small>}
      </dd>
    </div>
  );
  return (
    <Card title={name}>
      <dl class="figures">
        {figure(t.today, usage.daily)}
        {figure(t.thisMonth, usage.monthly)}
        {figure(t.allTime, usage.total)}
        <div>
          <dt>{t.running}</dt>
          <dd>
            {count(usage.inFlight)}
            <small>
              {t.pace}: {t.paceOf(count(usage.averages.rpm))}
            </small>
          </dd>
        </div>
      </dl>
    </Card>
  );
}

/** How the last days went. The days are UTC's, as in limits; each stands at its own date. */
function Days({ usage: { byDay } }: { usage: HeldKey["usage"] }) {
  const t = keyUsageWords();
  if (byDay.every(({ requests }) => requests === 0)) return null;
  const shared = {
    kind: "bars" as const,
    starts: byDay.map((day) => Date.parse(`${day.date}T00:00`)),
    formatStart: date,
  };
  return (
    <Card title={t.lastDays}>
      <div class="charts">
        <Chart
          {...shared}
          label={t.costByDay}
          format={dollars}
          series={[{ label: t.costByDay, colour: 1, values: byDay.map(({ cost }) => cost) }]}
        />
        <Chart
          {...shared}
          label={t.requestsByDay}
          format={count}
          series={[{ label: t.requestsByDay, colour: 1, values: byDay.map((day) => day.requests) }]}
        />
      </div>
    </Card>
  );
}

/** Of what the use consists: by model, and by kind of token. */
function Shares({ usage: { total, byModel } }: { usage: HeldKey["usage"] }) {
  const t = keyUsageWords();
  if (total.requests === 0) {
    return (
      <Card>
        <Empty icon="dashboard" title={t.noUse} />
      </Card>
    );
  }
  const kinds = [
    { id: "input", label: t.input, value: total.inputTokens },
    { id: "output", label: t.output, value: total.outputTokens },
    { id: "cacheWrite", label: t.cacheWrite, value: total.cacheCreateTokens },
    { id: "cacheRead", label: t.cacheRead, value: total.cacheReadTokens },
  ];
  return (
    <div class="grid">
      <Card title={t.costByModel}>
        <BarList
          bars={byModel
            .toSorted((a, b) => b.cost - a.cost)
            .map(({ model, cost }) => ({
              id: model,
              label: model,
              value: cost,
              shown: dollars(cost),
            }))}
        />
      </Card>
      <Card title={t.tokensByKind}>
        <BarList bars={kinds.map((kind) => ({ ...kind, shown: compact(kind.value) }))} />
      </Card>
    </div>
  );
}

function Facts({ heldKey }: { heldKey: HeldKey }) {
  const t = keyUsageWords();
  const { description, createdAt, expiresAt, limits } = heldKey;
  const { allowed, denied } = limits.models;
  return (
    <Card title={t.about}>
      <dl class="facts">
        {description !== "" && (
          <>
            <dt>{t.description}</dt>
            <dd>{description}</dd>
          </>
        )}
        <dt>{t.createdAt}</dt>
        <dd>{wholeTime(createdAt)}</dd>
        <dt>{t.expiresAt}</dt>
        <dd>{expiresAt === null ? commonWords().never : wholeTime(expiresAt)}</dd>
        <dt>{t.allowed}</dt>
        <dd>{allowed === null ? t.allModels : allowed.join(", ")}</dd>
        <dt>{t.denied}</dt>
        <dd>{denied.length === 0 ? commonWords().none : denied.join(", ")}</dd>
      </dl>
    </Card>
  );
}

function Models(
  props: Pick<Parameters<typeof DataTable<Model>>[0], "rows" | "failure" | "onRetry">,
) {
  const t = keyUsageWords();
  return (
    <Card title={t.models} isFlush>
      <DataTable
        {...props}
        caption={t.modelsCaption}
        keyOf={({ id }) => id}
        empty={<Empty icon="search" title={t.noModels} />}
        columns={[
          { id: "id", head: t.modelId, isMain: true, cell: ({ id }) => <code>{id}</code> },
          { id: "name", head: t.modelName, cell: ({ display_name }) => display_name },
        ]}
      />
    </Card>
  );
}
