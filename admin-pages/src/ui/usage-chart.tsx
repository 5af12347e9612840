import { useMemo, useState } from "preact/hooks";
import { readTrend, type TrendPoint, type UsageFilter } from "../api/usage.ts";
import { compact, count, dollars } from "../format/numbers.ts";
import { date, shortTime, timeZone } from "../format/times.ts";
import { keysWords } from "../i18n/keys.ts";
import { Chart, type Series } from "./chart.tsx";
import { Choice } from "./fields.tsx";
import { Card } from "./page.tsx";
import { FailureNotice, Loading } from "./states.tsx";
import { useResource } from "./use-resource.ts";

const DAY_MS = 86_400_000;
const RANGES = {
  day: { granularity: "hour", days: 1 },
  week: { granularity: "day", days: 7 },
  month: { granularity: "day", days: 30 },
  quarter: { granularity: "day", days: 90 },
} as const;
const MEASURES = ["cost", "tokens", "requests"] as const;

type Range = keyof typeof RANGES;
type Measure = (typeof MEASURES)[number];

/** What a key or an account has used over time, by range and measure. */
export function UsageChart({ filter }: { filter: UsageFilter }) {
  const t = keysWords();
  const [range, setRange] = useState<Range>("month");
  const [measure, setMeasure] = useState<Measure>("cost");
  const zone = timeZone.value;
  const { granularity, days } = RANGES[range];
  const { value, failure, reload } = useResource(
    (signal) => {
      const fromMs = Date.now() - (days - (granularity === "day" ? 1 : 0)) * DAY_MS;
      const from = granularity === "day" ? dayIn(zone, fromMs) : new Date(fromMs).toISOString();
      return readTrend({ granularity, from, timeZone: zone, ...filter }, signal);
    },
    [range, zone, filter],
  );
  const points = value?.points;
  const starts = useMemo(() => (points ?? []).map(({ start }) => Date.parse(start)), [points]);
  const series = useSeries(points, measure);
  const title = granularity === "hour" ? t.usageByHour : t.usageByDay;
  return (
    <Card
      title={title}
      actions={
        <>
          <Choice
            label={t.measure}
            isLabelHidden
            value={measure}
            options={MEASURES.map((name) => ({ value: name, label: t.measures[name] }))}
            onValue={setMeasure}
          />
          <Choice
            label={t.range}
            isLabelHidden
            value={range}
            options={(Object.keys(RANGES) as Range[]).map((name) => ({
              value: name,
              label: t.ranges[name],
            }))}
            onValue={setRange}
          />
        </>
      }
    >
      {points === undefined ? (
        failure === null ? (
          <Loading lines={6} />
        ) : (
          <FailureNotice failure={failure} onRetry={() => void reload()} />
        )
      ) : (
        <Chart
          label={`${t.measures[measure]} · ${zone}`}
          kind="bars"
          starts={starts}
          series={series}
          format={measure === "cost" ? dollars : measure === "tokens" ? compact : count}
          formatStart={granularity === "hour" ? shortTime : date}
        />
      )}
    </Card>
  );
}

function useSeries(points: readonly TrendPoint[] | undefined, measure: Measure): Series[] {
  const t = keysWords();
  return useMemo(() => {
    const of = (label: string, colour: Series["colour"], value: (point: TrendPoint) => number) => ({
      label,
      colour,
      values: (points ?? []).map(value),
    });
    switch (measure) {
      case "cost":
        return [of(t.cost, 1, ({ cost }) => cost)];
      case "requests":
        return [
          of(t.succeeded, 1, ({ requests, failedRequests }) => requests - failedRequests),
          of(t.failed, 4, ({ failedRequests }) => failedRequests),
        ];
      case "tokens":
        return [
          of(t.input, 1, ({ inputTokens }) => inputTokens),
          of(t.output, 2, ({ outputTokens }) => outputTokens),
          of(t.cacheWrite, 3, ({ cacheCreateTokens }) => cacheCreateTokens),
          of(t.cacheRead, 5, ({ cacheReadTokens }) => cacheReadTokens),
        ];
    }
  }, [points, measure, t]);
}

/** `2026-11-24`: the day that it is then, in the zone. */
function dayIn(zone: string, atMs: number): string {
  return new Intl.DateTimeFormat("sv-SE", { timeZone: zone }).format(atMs);
}
