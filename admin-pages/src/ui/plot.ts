import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { shortTime, timeZone } from "../format/times.ts";
import { locale } from "../i18n/language.ts";
import { type ChartProps, inWords, type Series } from "./chart.tsx";

const HEIGHT_PX = 200;
const BAR_SHARE = 0.7;
const BAR_MAX_PX = 40;
const MS_PER_S = 1_000;
const HOUR_MS = 3_600_000;
/** A longer range is told by days, a shorter one by hours. */
const DAYS_FROM_MS = 48 * HOUR_MS;
/** Axis labels need so much room between them. */
const LABEL_GAP_PX = 90;
const VALUE_AXIS_PX = 64;
const TIME_AXIS_PX = 30;

export interface PlotHandle {
  setData: (starts: readonly number[], series: readonly Series[]) => void;
  destroy: () => void;
}

/** Draws a chart into a place, as wide as that is, and keeps it so. */
export function plot(place: HTMLElement, props: ChartProps): PlotHandle {
  const { kind, series, format, formatStart = shortTime } = props;
  const colour = (name: string) => resolvedColour(place, name);
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line-soft"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
  };
  const tip = document.createElement("div");
  tip.className = "chart-tip";
  tip.hidden = true;
  let shown = { starts: props.starts, series };

  const showTip = (chart: uPlot) => {
    const { idx, left = 0 } = chart.cursor;
    const start = idx == null ? undefined : shown.starts[idx];
    tip.hidden = start === undefined;
    if (start === undefined || idx == null) return;
    const lines = shown.series.map(
      ({ label, values }) => `${label}: ${inWords(values[idx], format)}`,
    );
    tip.textContent = [formatStart(start), ...lines].join("\n");
    const isRight = left > chart.over.clientWidth / 2;
    tip.style.left = isRight ? "" : `${left + 12}px`;
    tip.style.right = isRight ? `${chart.over.clientWidth - left + 12}px` : "";
  };

  const bars = uPlot.paths.bars?.({ size: [BAR_SHARE, BAR_MAX_PX], align: 1 });
  // Of bars that stand on each other the highest sum is drawn first, and the others over it.
  const drawn = kind === "bars" ? [...series].reverse() : series;
  const chart = new uPlot(
    {
      width: Math.max(1, place.clientWidth),
      height: HEIGHT_PX,
      // So that the axis is divided at this zone's midnights.
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * MS_PER_S), timeZone.peek()),
      // A label at the end sticks out by half of it.
      padding: [8, 24, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: kind === "lines" } },
      hooks: { setCursor: [showTip] },
      scales: {
        // A bar stands behind its beginning: without room for it the newest would not be seen.
        x: {
          time: true,
          range: (_, low, high) => [low, kind === "bars" ? high + bucketOf(shown.starts) : high],
        },
        y: { range: (_, _low, high) => [0, niceTop(high)] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          space: LABEL_GAP_PX,
          size: TIME_AXIS_PX,
          values: (_, splits) => splits.map((at) => tickLabel(at * MS_PER_S, props.starts)),
        },
        { ...axis, size: VALUE_AXIS_PX, values: (_, splits) => splits.map(format) },
      ],
      series: [
        {},
        ...drawn.map((one) => ({
          stroke: colour(`--chart-${one.colour}`),
          width: kind === "bars" ? 0 : 2,
          points: { show: false },
          ...(kind === "bars" && bars !== undefined
            ? { fill: colour(`--chart-${one.colour}`), paths: bars }
            : {}),
        })),
      ],
    },
    dataOf(props.starts, series, kind),
    place,
  );
  chart.over.append(tip);
  const observer = new ResizeObserver(() =>
    chart.setSize({ width: Math.max(1, place.clientWidth), height: HEIGHT_PX }),
  );
  observer.observe(place);
  return {
    setData(starts, next) {
      shown = { starts, series: next };
      chart.setData(dataOf(starts, next, kind));
    },
    destroy() {
      observer.disconnect();
      chart.destroy();
    },
  };
}

/** How long the newest bucket is, in seconds. */
function bucketOf(starts: readonly number[]): number {
  const [before, last] = starts.slice(-2);
  const lengthMs = before === undefined || last === undefined ? HOUR_MS : last - before;
  return lengthMs / MS_PER_S;
}

function dataOf(
  starts: readonly number[],
  series: readonly Series[],
  kind: ChartProps["kind"],
): uPlot.AlignedData {
  const times = starts.map((startMs) => startMs / MS_PER_S);
  if (kind === "lines") return [times, ...series.map(({ values }) => [...values])];
  let below: number[] = times.map(() => 0);
  const stacked = series.map(({ values }) => {
    below = below.map((sum, at) => sum + (values[at] ?? 0));
    return below;
  });
  return [times, ...stacked.reverse()];
}

function tickLabel(atMs: number, starts: readonly number[]): string {
  const spanMs = (starts.at(-1) ?? 0) - (starts[0] ?? 0);
  const at = new Date(atMs);
  const zone = { timeZone: timeZone.peek() };
  return spanMs > DAYS_FROM_MS
    ? at.toLocaleDateString(locale.value, { ...zone, month: "short", day: "numeric" })
    : at.toLocaleTimeString(locale.value, {
        ...zone,
        hour: "2-digit",
        minute: "2-digit",
        hourCycle: "h23",
      });
}

/** An axis has to have a height, also where nothing was used. */
function niceTop(high: number | null): number {
  return high === null || high <= 0 ? 1 : high * 1.08;
}

/** A canvas does not know custom properties: the browser is asked what they come to. */
function resolvedColour(place: HTMLElement, name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  place.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
