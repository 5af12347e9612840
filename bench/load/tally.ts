import type { Answer } from "./connection.ts";
import type { LoadFigures } from "./job.ts";
import { Samples } from "./samples.ts";

const STREAM_END = "message_stop";
const MAX_NAMED = 3;

/** Adds up a load: how long right answers took, and what was wrong with the others. */
export class Tally {
  readonly latencies = new Samples();
  readonly delays = new Samples();
  answeredInAll = 0;
  readonly #answerBytes: number | null;
  readonly #wrong: string[] = [];
  #wrongCount = 0;

  /** @param answerBytes bytes of a right answer; null: it must end as a stream does */
  constructor(answerBytes: number | null) {
    this.#answerBytes = answerBytes;
  }

  /** Takes an answer in. @returns why it is not the right one, or null */
  fault({ status, bodyBytes, tail }: Answer): string | null {
    this.answeredInAll += 1;
    if (status !== "200") return `answered ${status}: ${tail}`;
    if (this.#answerBytes === null) {
      return tail.includes(STREAM_END) ? null : "a stream broke off";
    }
    return bodyBytes === this.#answerBytes
      ? null
      : `an answer of ${bodyBytes} bytes, not ${this.#answerBytes}`;
  }

  wrong(what: string): void {
    this.#wrongCount += 1;
    if (this.#wrong.length < MAX_NAMED && !this.#wrong.includes(what)) this.#wrong.push(what);
  }

  figures(tookMicros: number): LoadFigures {
    const hasDelays = this.delays.count > 0;
    return {
      answers: this.latencies.count,
      answeredInAll: this.answeredInAll,
      tookMicros,
      p50Micros: this.latencies.quantile(0.5),
      p99Micros: this.latencies.quantile(0.99),
      eventDelayP50Micros: hasDelays ? this.delays.quantile(0.5) : null,
      eventDelayP99Micros: hasDelays ? this.delays.quantile(0.99) : null,
      events: this.delays.count,
      wrong: this.#wrong,
      wrongCount: this.#wrongCount,
    };
  }
}
