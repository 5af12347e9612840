import { useEffect, useId, useRef, useState } from "preact/hooks";
import { shortTime, timeZone } from "../format/times.ts";
import { commonWords } from "../i18n/common.ts";
import { language } from "../i18n/language.ts";
import { theme } from "../theme.ts";
import { Button } from "./button.tsx";
import type { PlotHandle } from "./plot.ts";

export interface Series {
  label: string;
  /** Null where there is nothing to tell, which is not nothing. */
  values: readonly (number | null)[];
  /** One of the chart colours of the stylesheet. */
  colour: 1 | 2 | 3 | 4 | 5 | 6;
}

export interface ChartProps {
  /** What is shown: the figure's caption. */
  label: string;
  /** Beginning of each bucket, in unix milliseconds. */
  starts: readonly number[];
  /** Bars stand on each other in this order; lines share the axis. */
  series: readonly Series[];
  kind: "bars" | "lines";
  /** A value in words, on the axis and in the table. */
  format: (value: number) => string;
  /** A bucket's beginning in words. */
  formatStart?: (startMs: number) => string;
}

/** A chart, its legend, and the same as a table. The drawing is loaded with the first chart. */
export function Chart(props: ChartProps) {
  const { label, series } = props;
  const t = commonWords();
  const captionId = useId();
  const [asTable, setAsTable] = useState(false);
  return (
    <figure class="chart" aria-labelledby={captionId}>
      <figcaption>
        <span id={captionId}>{label}</span>
        {series.length > 1 && (
          <span class="legend">
            {series.map(({ label: name, colour }) => (
              <span key={name}>
                <i class={`swatch chart-${colour}`} />
                {name}
              </span>
            ))}
          </span>
        )}
        <Button kind="quiet" onClick={() => setAsTable(!asTable)}>
          {asTable ? t.showChart : t.showTable}
        </Button>
      </figcaption>
      {asTable ? <ChartTable {...props} /> : <Drawing {...props} />}
    </figure>
  );
}

function Drawing(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const newest = useRef(props);
  newest.current = props;
  const look = `${theme.value} ${language.value} ${timeZone.value} ${props.kind} ${props.series.map(({ label, colour }) => label + colour)}`;
  const handle = useRef<PlotHandle | null>(null);
  const [isDrawn, setDrawn] = useState(false);

  useEffect(() => {
    let isGone = false;
    void import("./plot.ts").then(({ plot }) => {
      if (isGone || place.current === null) return;
      handle.current = plot(place.current, newest.current);
      setDrawn(true);
    });
    return () => {
      isGone = true;
      handle.current?.destroy();
      handle.current = null;
    };
  }, [look]);

  const { starts, series } = props;
  useEffect(() => handle.current?.setData(starts, series), [starts, series]);
  return <div ref={place} class={isDrawn ? "drawing" : "drawing skeleton"} aria-hidden="true" />;
}

function ChartTable({ label, starts, series, format, formatStart = shortTime }: ChartProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
    <section class="scroll" tabIndex={0} aria-label={label}>
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">{commonWords().time}</th>
            {series.map((one) => (
              <th key={one.label} scope="col" class="number">
                {one.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {starts.map((startMs, at) => (
            <tr key={startMs}>
              <th scope="row">{formatStart(startMs)}</th>
              {series.map((one) => (
                <td key={one.label} class="number">
                  {inWords(one.values[at], format)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function inWords(value: number | null | undefined, format: ChartProps["format"]): string {
  return value === null || value === undefined ? "–" : format(value);
}
