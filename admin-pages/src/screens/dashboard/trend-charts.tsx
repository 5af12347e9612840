import type { Trend, TrendPoint } from "../../api/usage.ts";
import { compact, count, dollars } from "../../format/numbers.ts";
import { date, shortTime, took } from "../../format/times.ts";
import { dashboardWords } from "../../i18n/dashboard.ts";
import { Chart, type Series } from "../../ui/chart.tsx";
import { Notice } from "../../ui/states.tsx";

/** How use went over time. */
export function TrendCharts({ trend }: { trend: Trend }) {
  const t = dashboardWords();
  const { points, granularity, exact } = trend;
  const starts = points.map(({ start }) => Date.parse(start));
  const of = (
    label: string,
    colour: Series["colour"],
    value: (point: TrendPoint) => number | null,
  ): Series => ({ label, colour, values: points.map(value) });
  const shared = {
    starts,
    kind: "bars" as const,
    formatStart: granularity === "day" ? date : shortTime,
  };
  return (
    <>
      {!exact && <Notice>{t.inexact}</Notice>}
      <div class="charts">
        <Chart
          {...shared}
          label={t.chartRequests}
          format={count}
          series={[
            of(t.completed, 1, ({ requests, failedRequests }) => requests - failedRequests),
            of(t.failed, 4, ({ failedRequests }) => failedRequests),
          ]}
        />
        <Chart
          {...shared}
          label={t.chartCost}
          format={dollars}
          series={[of(t.cost, 1, ({ cost }) => cost)]}
        />
        <Chart
          {...shared}
          label={t.chartTokens}
          format={compact}
          series={[
            of(t.cacheRead, 6, ({ cacheReadTokens }) => cacheReadTokens),
            of(t.cacheWrite, 3, ({ cacheCreateTokens }) => cacheCreateTokens),
            of(t.input, 1, ({ inputTokens }) => inputTokens),
            of(t.output, 2, ({ outputTokens }) => outputTokens),
          ]}
        />
        <Chart
          {...shared}
          kind="lines"
          label={t.chartTimes}
          format={took}
          series={[
            of(t.firstByte, 1, ({ averageFirstByteMs }) => averageFirstByteMs),
            of(t.whole, 2, ({ averageDurationMs }) => averageDurationMs),
          ]}
        />
      </div>
    </>
  );
}
