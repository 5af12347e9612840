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
  let lastAt = 0;
  const warmed = setTimeout(onWarm, job.warmMs);

  let turn = 0;
  const choose = (connection: number): number => {
    switch (job.callersBy) {
      case "connection":
        return connection % requests.length;
      case "chance":
        return Math.floor(Math.random() * requests.length);
      case "turn":
        turn += 1;
        return turn - 1;
    }
  };

  const loop = async (index: number): Promise<void> => {
    const connection = new Connection(job.port);
    try {
      for (;;) {
        const request = requests[choose(index)];
        if (request === undefined) return;
        const askedAt = machineMicros();
        const answer = await connection.ask(request);
        const nowAt = machineMicros();
        const fault = tally.fault(answer);
        if (fault !== null) tally.wrong(fault);
        // What was running at the end is not measured: it would make the last moment too long. But
        // a load so short that nothing was answered in time waits for its first answer.
        if (nowAt > endsAt && tally.latencies.count > 0) return;
        if (fault === null && nowAt >= startsAt) {
          tally.latencies.add(nowAt - askedAt);
          lastAt = nowAt;
        }
        if (nowAt > endsAt) return;
      }
    } catch (error) {
      tally.wrong(error instanceof Error ? error.message : "a request failed");
    } finally {
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: job.connections }, (_, index) => loop(index)));
  clearTimeout(warmed);
  return tally.figures(Math.max(endsAt, lastAt) - startsAt);
}
