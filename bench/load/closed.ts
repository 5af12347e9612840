import { MICROS_PER_MS, machineMicros } from "../clock.ts";
import { Connection } from "./connection.ts";
import type { Caller, ClosedLoad, LoadFigures } from "./job.ts";
import { requestBytes } from "./request-bytes.ts";
import { Tally } from "./tally.ts";

/** Each connection asks again as soon as it has its answer. */
export async function runClosed(job: ClosedLoad, onWarm: () => void): Promise<LoadFigures> {
  const tally = new Tally(job.answerBytes);
  const requests = job.callers.map((caller: Caller) => requestBytes(job, caller));
  const startsAt = machineMicros() + job.warmMs * MICROS_PER_MS;
  const endsAt = startsAt + job.forMs * MICROS_PER_MS;
  const warmed = setTimeout(onWarm, job.warmMs);

  const loop = async (index: number): Promise<void> => {
    const connection = new Connection(job.port);
    try {
      for (;;) {
        const choice = job.anyCaller ? Math.floor(Math.random() * requests.length) : index;
        const request = requests[choice % requests.length];
        if (request === undefined) throw new Error("nobody asks");
        const askedAt = machineMicros();
        const answer = await connection.ask(request);
        const nowAt = machineMicros();
        // What was running at the end counts nowhere: it would make the last moment too long.
        if (nowAt > endsAt) return;
        const fault = tally.fault(answer);
        if (fault !== null) tally.wrong(fault);
        else if (nowAt >= startsAt) tally.latencies.add(nowAt - askedAt);
      }
    } catch (error) {
      tally.wrong(error instanceof Error ? error.message : "a request failed");
    } finally {
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: job.connections }, (_, index) => loop(index)));
  clearTimeout(warmed);
  return tally.figures(endsAt - startsAt);
}
