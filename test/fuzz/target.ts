import { check, type IAsyncProperty } from "fast-check";

/** One kind of hostile input, and what must hold whatever it is. */
export interface Target<Stage> {
  name: string;
  /** Inputs in the short form that `npm test` runs: as many as fit into a second or two. */
  runs: number;
  /** Fails, with words, where the relay did what it must not. */
  property(stage: Stage): IAsyncProperty<unknown>;
  /** What must hold once all inputs were sent. Fails with words too. */
  afterwards?(stage: Stage): Promise<void>;
}

export interface Bounds {
  seed: number;
  /** Without it only the time bounds them. */
  runs?: number;
  forMs?: number;
}

export interface Figures {
  target: string;
  runs: number;
  /** The smallest input that was found, and what it did. */
  finding: string | null;
}

/** More than any time allows. */
const NO_BOUND = 1_000_000_000;
/** Findings are read by people. */
const INPUT_MAX_CHARS = 2_000;

export async function fuzz<Stage>(
  target: Target<Stage>,
  stage: Stage,
  { seed, runs = NO_BOUND, forMs }: Bounds,
): Promise<Figures> {
  const out = await check(target.property(stage), {
    seed,
    numRuns: runs,
    ...(forMs === undefined ? {} : { interruptAfterTimeLimit: forMs }),
  });
  const found = out.failed ? `${inWords(out.errorInstance)}\n  input: ${shown(out)}` : null;
  return {
    target: target.name,
    runs: out.numRuns,
    finding: found ?? (await failureOf(() => target.afterwards?.(stage))),
  };
}

/** Throws where the condition does not hold. */
export function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}

async function failureOf(act: () => Promise<void> | undefined): Promise<string | null> {
  try {
    await act();
    return null;
  } catch (error) {
    return `afterwards: ${inWords(error)}`;
  }
}

function shown({ counterexample, counterexamplePath }: Shown): string {
  const input = JSON.stringify(counterexample, (_, part) => readable(part)) ?? "";
  return `${input.slice(0, INPUT_MAX_CHARS)}\n  path: ${counterexamplePath}`;
}

function readable(part: unknown): unknown {
  return part instanceof Uint8Array ? Buffer.from(part).toString("latin1") : part;
}

interface Shown {
  counterexample: unknown;
  counterexamplePath: string | null;
}

function inWords(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
