import type { FigureName, LoadReport } from "./rounds.ts";

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The value that a part of all does not pass: of few values, the last ones are the slowest. */
export function quantile(values: number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN;
}

/** How far the rounds lay apart, as a part of their median; null for a single round. */
export function spread(values: number[]): number | null {
  if (values.length < 2) return null;
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/** One figure of one subject, in the order of the rounds; empty where it was not measured. */
export function roundsOf(report: LoadReport, subject: string, figure: FigureName): number[] {
  const rounds = report.subjects.find((each) => each.subject === subject)?.rounds ?? [];
  return rounds.flatMap((round) => round[figure] ?? []);
}

export interface Ratio {
  figure: number | null;
  spread: number | null;
}

/**
 * A figure of one subject against that of another in the same round: what slowed both down is no part
 * of it. The median of the rounds counts.
 */
export function ratio(report: LoadReport, over: string, under: string, figure: FigureName): Ratio {
  const below = roundsOf(report, under, figure);
  return ratioOf(roundsOf(report, over, figure).map((value, round) => value / (below[round] ?? 0)));
}

/** The same of what each adds to the latency of the fake upstream itself. */
export function addedRatio(report: LoadReport, over: string, under: string): Ratio {
  const direct = median(roundsOf(report, "direct", "p50Ms"));
  const below = roundsOf(report, under, "p50Ms");
  return ratioOf(
    roundsOf(report, over, "p50Ms").map(
      (value, round) => (value - direct) / ((below[round] ?? 0) - direct),
    ),
  );
}

function ratioOf(ratios: number[]): Ratio {
  const known = ratios.filter(Number.isFinite);
  if (known.length === 0) return { figure: null, spread: null };
  return { figure: median(known), spread: spread(known) };
}
