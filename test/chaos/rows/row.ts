import { type Kept, kept } from "../conservation.ts";
import type { LoadOptions, Sight } from "../load.ts";
import { play, type RowFigures } from "../run.ts";
import type { Stage } from "../stage.ts";

/** One thing that goes wrong while clients ask. */
export interface FaultRow<S extends Stage = Stage> {
  name: string;
  /** What clients may see besides whole answers while it lasts, and until the relay has recovered. */
  allowed: readonly Sight[];
  /** How the load differs from the usual one. */
  load?: Partial<Pick<LoadOptions, "clients" | "fault" | "leaving">>;
  /** An admin acts meanwhile, and what it was told is looked after. */
  hasAdmin?: boolean;
  /**
   * Makes it go wrong, and resolves when it does so no more.
   *
   * @param tell hears in words of what is not as it should be
   */
  strike: (stage: S, forMs: number, tell: (problem: string) => void) => Promise<void>;
}

export interface Played {
  figures: RowFigures[];
  ledger: Kept[];
}

/** Rows that are played one after the other on one stage. */
export interface FaultGroup {
  names: readonly string[];
  /** Why it cannot be played on this machine, or null. */
  whyNot: () => string | null;
  /** @param tell hears of each row that begins */
  play(names: readonly string[], forMs: number, tell: (name: string) => void): Promise<Played>;
}

export function faultGroup<S extends Stage>(
  open: () => Promise<S>,
  rows: readonly FaultRow<S>[],
  whyNot: () => string | null = () => null,
): FaultGroup {
  return {
    names: rows.map(({ name }) => name),
    whyNot,
    async play(names, forMs, tell) {
      const stage = await open();
      try {
        const figures: RowFigures[] = [];
        for (const row of rows.filter(({ name }) => names.includes(name))) {
          tell(row.name);
          figures.push(await play(stage, row, forMs));
        }
        const seen = figures.flatMap((row) => row.seen);
        return { figures, ledger: await kept(stage, seen) };
      } finally {
        await stage.close();
      }
    },
  };
}
