import { setTimeout as sleep } from "node:timers/promises";
import { MICROS_PER_MS, MS_PER_S, machineMicros } from "../clock.ts";
import { Connection } from "./connection.ts";
import type { LoadFigures, OpenLoad } from "./job.ts";
import { requestBytes } from "./request-bytes.ts";
import { Tally } from "./tally.ts";

/** Asks at fixed times, on whatever connection is idle, or on a new one. */
export async function runOpen(job: OpenLoad, onWarm: () => void): Promise<LoadFigures> {
  const tally = new Tally(job.answerBytes);
  const requests = job.callers.map((caller) => requestBytes(job, caller));
  const idle: Connection[] = [];
  const beganAt = machineMicros();
  const startsAt = beganAt + job.warmMs * MICROS_PER_MS;
  const everyMicros = (MS_PER_S / job.perSecond) * MICROS_PER_MS;
  const total = Math.floor(((job.warmMs + job.forMs) * job.perSecond) / MS_PER_S);
  const warmed = setTimeout(onWarm, job.warmMs);

  const ask = async (index: number, dueAt: number): Promise<void> => {
    const request = requests[index % requests.length];
    if (request === undefined) throw new Error("nobody asks");
    let connection = idle.pop();
    while (connection?.isOpen === false) connection = idle.pop();
    connection ??= new Connection(job.port);
    try {
      const answer = await connection.ask(request);
      const nowAt = machineMicros();
      const fault = tally.fault(answer);
      if (fault !== null) tally.wrong(fault);
      else if (dueAt >= startsAt) tally.latencies.add(nowAt - dueAt);
      idle.push(connection);
    } catch (error) {
      connection.close();
      tally.wrong(error instanceof Error ? error.message : "a request failed");
    }
  };

  const asked: Promise<void>[] = [];
  for (let index = 0; index < total; index += 1) {
    const dueAt = beganAt + index * everyMicros;
    await waitUntil(dueAt);
    asked.push(ask(index, dueAt));
  }
  await Promise.all(asked);
  clearTimeout(warmed);
  for (const connection of idle) connection.close();
  return tally.figures(job.forMs * MICROS_PER_MS);
}

/** Timers come up to a millisecond late, which is as much as is measured: the rest is waited awake. */
async function waitUntil(atMicros: number): Promise<void> {
  const early = Math.floor((atMicros - machineMicros()) / MICROS_PER_MS) - 2;
  if (early > 0) await sleep(early);
  while (machineMicros() < atMicros) await new Promise((settle) => setImmediate(settle));
}
