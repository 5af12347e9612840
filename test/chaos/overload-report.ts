import { table } from "../../bench/report/table.ts";
import type { PhaseFigures } from "./flood/job.ts";
import type { KeptSums, OverloadFigures } from "./overload.ts";

const MS_PER_S = 1_000;

/** What clients saw while more was asked than the relay can take, and what became of it. */
export function overloadText(figures: readonly OverloadFigures[], floodMs: number): string {
  const seen = figures.map(({ name, capacity, flood }) => {
    const phase = floodOf(flood.phases);
    const perSecond = (count: number) => String(Math.round(count / (floodMs / MS_PER_S)));
    return [
      name,
      String(Math.round(capacity)),
      perSecond(phase.offered),
      perSecond(phase.keptOff),
      String(Math.round(phase.servedPerSecond)),
      String(Math.round(phase.servedP50Ms)),
      String(Math.round(phase.servedP99Ms)),
      perSecond(phase.refused),
      String(Math.round(phase.refusedP99Ms)),
      String(sum(flood.phases, "broken")),
      String(sum(flood.phases, "hung")),
      String(sum(flood.phases, "dishonest")),
      flood.normalAfterMs === null ? "not" : (flood.normalAfterMs / MS_PER_S).toFixed(2),
    ];
  });
  const left = figures.map((one) => [
    one.name,
    String(Math.round(one.peakMb)),
    String(one.filesBefore),
    String(one.peakFiles),
    String(one.filesAfter),
    String(one.kept.billed),
    String(one.kept.inMeters),
    String(one.kept.inLedger),
    String(one.kept.tokensOff),
    String(one.kept.failed),
    String(one.kept.estimated),
    String(one.kept.unsettled),
    String(one.kept.openLeases),
    one.generatorCores.toFixed(2),
    one.flood.lateP99Ms.toFixed(1),
  ]);
  const told = new Set(figures.flatMap(({ flood }) => flood.examples));
  return [
    table([
      ["", "capacity/s", "offered/s", "kept off/s", "served/s", "p50 ms", "p99 ms"].concat([
        "refused/s",
        "p99 ms",
        "broken",
        "hung",
        "dishonest",
        "normal after s",
      ]),
      ...seen,
    ]),
    "",
    table([
      ["", "most MB", "files before", "most", "after", "billed", "in meters", "in ledger"].concat([
        "tokens off",
        "failed",
        "estimated",
        "unsettled",
        "open",
        "clients' cores",
        "late ms",
      ]),
      ...left,
    ]),
    "",
    "Who was not served was told:",
    ...told,
  ].join("\n");
}

/** Whether every answer was honest, nothing was lost, and all was well again. How fast it was says nothing. */
export function isHonest({ flood, kept, isWell }: OverloadFigures): boolean {
  const isTold = (["broken", "hung", "dishonest"] as const).every(
    (fate) => sum(flood.phases, fate) === 0,
  );
  return isTold && isKept(kept) && isWell;
}

function isKept(kept: KeptSums): boolean {
  const { billed, inMeters, inLedger, tokensOff, estimated, unsettled, failed, openLeases } = kept;
  const isCounted = inMeters === billed + failed && inLedger === inMeters && tokensOff === 0;
  return isCounted && estimated === 0 && unsettled === 0 && openLeases === 0;
}

function floodOf(phases: readonly PhaseFigures[]): PhaseFigures {
  const flood = phases[1];
  if (flood === undefined) throw new Error("there was no flood");
  return flood;
}

function sum(phases: readonly PhaseFigures[], fate: "broken" | "hung" | "dishonest"): number {
  return phases.reduce((all, phase) => all + phase[fate], 0);
}
