import { once } from "node:events";
import { join } from "node:path";
import type { Job, LoadFigures } from "../load/job.ts";
import { type Helper, startHelper } from "./helper.ts";

/** The load generator, as the benchmark drives it: one job at a time. */
export class LoadGenerator {
  readonly #helper: Helper;

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
      if ("figures" in message) return message.figures as LoadFigures;
    }
  }

  stop(): Promise<void> {
    return this.#helper.stop();
  }
}
