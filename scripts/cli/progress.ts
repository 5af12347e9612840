import { say } from "./terminal.ts";

const BAR_WIDTH = 24;
/** Fewer are done before anyone could read of it. */
const WORTH_TELLING = 50;
const LINES = 4;

export interface Progress {
  /** So many more are done. */
  step(count: number): void;
  end(): void;
}

/** Shows on stderr how far a long work is: a bar in a terminal, a few lines elsewhere. */
export function startProgress(what: string, total: number): Progress {
  if (total < WORTH_TELLING) return { step() {}, end() {} };
  return process.stderr.isTTY ? bar(what, total) : lines(what, total);
}

function bar(what: string, total: number): Progress {
  let done = 0;
  const draw = () => {
    const filled = Math.round((BAR_WIDTH * done) / total);
    const drawn = "#".repeat(filled) + "-".repeat(BAR_WIDTH - filled);
    process.stderr.write(`\r${what} [${drawn}] ${done} of ${total}`);
  };
  draw();
  return {
    step(count) {
      done += count;
      draw();
    },
    end() {
      process.stderr.write("\n");
    },
  };
}

function lines(what: string, total: number): Progress {
  let done = 0;
  let told = 0;
  return {
    step(count) {
      done += count;
      const quarter = Math.floor((LINES * done) / total);
      if (quarter > told) say(`${what}: ${done} of ${total}`);
      told = quarter;
    },
    end() {},
  };
}
