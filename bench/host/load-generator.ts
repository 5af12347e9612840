import { once } from "node:events";
import { join } from "node:path";
import type { Job, LoadFigures } from "../load/job.ts";
import { type Helper, startHelper } from "./helper.ts";

/** The load generator, as the benchmark drives it: one job at a time. */
export class LoadGenerator {
  readonly #helper: Helper;
  readonly #answered = new Map<number, number>();

  private constructor(helper: Helper) {
    this.#helper = helper;
  }

  static async start(): Promise<LoadGenerator> {
    return new LoadGenerator(await startHelper(join(import.meta.dirname, "../load/main.ts")));
  }

  get pid(): number {
    return this.#helper.pid;
  }

  /** @param onWarm called when the warm-up is over and measuring begins */
  async run(job: Job, onWarm: () => void = () => {}): Promise<LoadFigures> {
    const { process } = this.#helper;
    process.send(job);
    for (;;) {
      const [message] = await once(process, "message");
      if (typeof message !== "object" || message === null) continue;
      if ("warm" in message) onWarm();
      if ("figures" in message) {
        const figures = message.figures as LoadFigures;
        this.#answered.set(job.port, this.answered(job.port) + figures.answeredInAll);
        return figures;
      }
    }
  }

  /** How many requests have been answered on a port so far. */
  answered(port: number): number {
    return this.#answered.get(port) ?? 0;
  }

  stop(): Promise<void> {
    return this.#helper.stop();
  }
}
