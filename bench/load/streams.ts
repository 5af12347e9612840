import { setTimeout as sleep } from "node:timers/promises";
import { machineMicros } from "../clock.ts";
import { TIME_DIGITS, TIME_MARK } from "../upstream/answers.ts";
import { Connection } from "./connection.ts";
import type { LoadFigures, StreamLoad } from "./job.ts";
import { requestBytes } from "./request-bytes.ts";
import { Tally } from "./tally.ts";

/** Many streams at once; each event says when it was sent. */
export async function runStreams(job: StreamLoad, onWarm: () => void): Promise<LoadFigures> {
  const tally = new Tally(job.answerBytes);
  onWarm();
  const beganAt = machineMicros();
  const stream = async (index: number): Promise<void> => {
    await sleep((index * job.beginOverMs) / job.streams);
    const caller = job.callers[index % job.callers.length];
    if (caller === undefined) throw new Error("nobody asks");
    let events = 0;
    let cut = "";
    const connection = new Connection(job.port, (bytes) => {
      const nowAt = machineMicros();
      const text = cut + bytes.toString("latin1");
      let at = text.indexOf(TIME_MARK);
      let end = 0;
      while (at >= 0) {
        end = at + TIME_MARK.length + TIME_DIGITS;
        if (end > text.length) break;
        events += 1;
        tally.delays.add(nowAt - Number(text.slice(at + TIME_MARK.length, end)));
        at = text.indexOf(TIME_MARK, end);
      }
      // A time that was cut in two, or a mark that may have been.
      cut = at >= 0 ? text.slice(at) : text.slice(Math.max(end, text.length - 1));
    });
    const askedAt = machineMicros();
    try {
      const answer = await connection.ask(requestBytes(job, caller));
      const fault = tally.fault(answer);
      if (fault !== null) tally.wrong(fault);
      else if (events !== job.eventsEach)
        tally.wrong(`a stream of ${events} events, not ${job.eventsEach}`);
      else tally.latencies.add(machineMicros() - askedAt);
    } catch (error) {
      tally.wrong(error instanceof Error ? error.message : "a stream failed");
    } finally {
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: job.streams }, (_, index) => stream(index)));
  return tally.figures(machineMicros() - beganAt);
}
